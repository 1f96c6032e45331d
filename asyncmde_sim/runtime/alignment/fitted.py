"""The interface of an alignment, and what ours share: a fit in each frame, held where there is none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.alignment.fit import Fit
from asyncmde_sim.runtime.types import Frame

Depth = NDArray[np.float32]
Relative = NDArray[np.float32]
Array = NDArray[np.float64]

NEAREST_M = 0.05
FARTHEST_M = 100.0
"""Aligned depth lies between the two."""
FAR, NEAR = 5, 95
"""Percentiles of a frame's relative depth between which it is normalised."""


class Alignment(Protocol):
    """Brings relative depth to metres, frame by frame."""

    def reset(self) -> None:
        """Forget everything: a new episode starts."""
        ...

    def check(self, frame: Frame) -> None:
        """Check that a frame holds what the alignment needs.

        Raises:
            ValueError: It does not; the message says what is missing.
        """
        ...

    def align(self, relative: Relative, frame: Frame) -> Depth | None:
        """Depth (H, W) float32 metres, 0 for none in a pixel; None where nothing can be said yet.

        Args:
            relative: (H, W) float32, larger is nearer; a value that is not finite is no depth.
            frame: What the robot has; its image is of the same size. Times increase.
        """
        ...


class FittedAlignment(ABC):
    """An alignment that fits a scale and a shift to each frame, and holds the last fit where it cannot.

    A fit is for relative depth that is 0 at the frame's ``FAR`` percentile and 1 at its ``NEAR`` one. So what
    a held fit keeps is how far away the far and the near end of the view are, and no result depends on the
    scale and shift that the model chose for a frame. It is held until there is a new one, however old it is.

    Attributes:
        fitted: Whether the last frame had evidence of its own.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.fitted = False
        self._fit: Fit | None = None

    def align(self, relative: Relative, frame: Frame) -> Depth | None:
        """See ``Alignment``; None before the first good fit, and where no value is finite.

        Raises:
            ValueError: The frame lacks what the alignment needs, or is of another size.
        """
        self.check(frame)
        if relative.shape != frame.image.shape[:2]:
            raise ValueError(
                f"relative depth has shape {relative.shape}, but its image is {frame.image.shape[:2]}: "
                "resize it to the image"
            )
        known = np.isfinite(relative)
        if not known.any():
            self.fitted = False
            return None
        normal = _normalised(relative, known)
        fit = self._find(normal, known, frame, self._fit)
        self.fitted = fit is not None and fit.shift > 0  # else the far end lies beyond infinity
        if self.fitted:
            self._fit = fit
        if self._fit is None:
            return None
        inverse = np.clip(self._fit.inverse_depth(normal), 1 / FARTHEST_M, 1 / NEAREST_M)
        return np.where(known, 1 / inverse, 0.0).astype(np.float32)

    @abstractmethod
    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""

    @abstractmethod
    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        """The fit of a frame, None where it tells too little.

        Args:
            normal: (H, W) normalised relative depth, 0 where unknown.
            known: (H, W) where it is known.
            frame: The frame.
            last: The last good fit.
        """


def _normalised(relative: Relative, known: NDArray[np.bool_]) -> Array:
    values = relative[known].astype(np.float64)
    far, near = np.percentile(values, (FAR, NEAR))
    normal = np.zeros(relative.shape)
    normal[known] = (values - far) / (near - far or 1.0)
    return normal
