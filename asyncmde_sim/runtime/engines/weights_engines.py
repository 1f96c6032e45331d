"""What the engines of every library take from a folder of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asyncmde_sim.depth.weights_folder import (
    DEFAULT_WEIGHTS,
    RELATIVE_STAND_IN,
    WeightsConfig,
    find_weights,
    is_ours,
    read_config,
)
from asyncmde_sim.runtime.engines import RelativeEngine


@dataclass(frozen=True)
class WeightsEngines:
    """One set of weights, seen through one camera.

    Args:
        weights: Name of shipped weights, or a folder of ours; None is the default weights.
        focal: Focal length of the camera whose images they see, as a share of the image's width; None is
            that of our weights. A thing looks as large at twice the distance through twice the focal length,
            so the depth of our networks is scaled by the ratio (Metric3D, arXiv 2307.10984, its canonical
            camera).

    Raises:
        ValueError: ``focal`` is not positive.
    """

    weights: str | None
    focal: float | None = None

    def __post_init__(self) -> None:
        if self.focal is not None and not (math.isfinite(self.focal) and self.focal > 0):
            raise ValueError(f"focal is {self.focal} of the image's width, but it must be positive")

    @cached_property
    def folder(self) -> Path:
        """The folder of our weights.

        Raises:
            FileNotFoundError: There is none.
            ValueError: The weights are not ours, so they have no fast path.
        """
        foreign = self.weights is not None and not is_ours(self.weights) and Path(self.weights).is_dir()
        if foreign or self.weights == RELATIVE_STAND_IN:
            raise ValueError(
                f"{self.weights} is a slow path alone: a fast path must be trained for it before "
                "'async' or 'fast' can use it"
            )
        return find_weights(self.weights)

    @cached_property
    def config(self) -> WeightsConfig:
        """What our weights were made for."""
        return read_config(self.folder)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input of our networks, pixels."""
        return self.config.height, self.config.width

    @property
    def relative(self) -> RelativeEngine:
        """The slow path's engine if it gives relative depth; that of our weights does not.

        Raises:
            ValueError: It gives metric depth.
        """
        raise ValueError(
            f"the weights {self.weights or DEFAULT_WEIGHTS!r} give metric depth, which needs no alignment: "
            "leave align out, or use the weights of a relative Depth Anything model"
        )

    @property
    def scale(self) -> float:
        """Factor on the depth of our networks."""
        return 1.0 if self.focal is None else self.focal / self.config.focal
