"""Folders of weights: a ``config.json`` that says what they were made for, beside the networks' files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SHIPPED_FOLDER = Path(__file__).parent / "weights"
DEFAULT_WEIGHTS = "asyncmde-indoor"
RELATIVE_STAND_IN = "relative-stand-in"
"""Name of the shipped slow path without its scale and shift; see ``torch_engine.RelativeStandIn``."""


@dataclass(frozen=True)
class WeightsConfig:
    """What a folder of weights was made for.

    Args:
        name: Name of the weights.
        height: Image height of the networks' input, pixels.
        width: Image width of the networks' input, pixels.
        max_depth_m: Largest depth that they give.
        focal: Focal length of the camera that they were trained on, as a share of its image's width.
    """

    name: str
    height: int = 168
    width: int = 224
    max_depth_m: float = 20.0
    focal: float = 0.5

    def __post_init__(self) -> None:
        for key in ("height", "width"):
            if getattr(self, key) < 32:
                raise ValueError(f"{key} is {getattr(self, key)}, but the networks need at least 32 px")
        for key in ("max_depth_m", "focal"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} is {getattr(self, key)}, but it must be positive")


def find_weights(name_or_folder: str | None) -> Path:
    """The folder of shipped weights or of the user's own; None is the default weights.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    name = name_or_folder or DEFAULT_WEIGHTS
    for folder in (SHIPPED_FOLDER / name, Path(name)):
        if (folder / "config.json").is_file():
            return folder
    shipped = sorted(p.parent.name for p in SHIPPED_FOLDER.glob("*/config.json"))
    raise FileNotFoundError(
        f"no weights {name!r}: give a folder with a config.json, or one of the shipped {shipped}"
    )


def is_ours(name_or_folder: str) -> bool:
    """Whether weights are ours: a shipped name, or a folder whose config has no ``model_type``."""
    for folder in (SHIPPED_FOLDER / name_or_folder, Path(name_or_folder)):
        if (folder / "config.json").is_file():
            return "model_type" not in json.loads((folder / "config.json").read_text())
    return False


def read_config(folder: Path) -> WeightsConfig:
    """The config of a folder of weights.

    Raises:
        ValueError: The config is not one of ours.
    """
    path = folder / "config.json"
    try:
        return WeightsConfig(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(
            f"{path} is not a config of depth weights ({error}): write it with save_network"
        ) from error
