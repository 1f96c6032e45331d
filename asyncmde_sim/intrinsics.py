"""A pinhole camera, as the networks, the recordings and the environments share it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; pixel centres lie at integer coordinates, as data sets have it.

    Args:
        width: Image width, pixels.
        height: Image height, pixels.
        fx: Focal length along x, pixels.
        fy: Focal length along y, pixels.
        cx: Principal point, pixels right of the centre of the first column.
        cy: The same below the centre of the first row.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("width", "height", "fx", "fy"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"camera {name} is {value}, but it must be finite and positive")
        for name in ("cx", "cy"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"camera {name} is {getattr(self, name)}, but it must be finite")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The 3x3 matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def focal_share(self) -> float:
        """Focal length along x as a share of the image's width, whatever its size."""
        return self.fx / self.width

    def resized(self, width: int, height: int) -> Intrinsics:
        """The same camera for images of another size."""
        x, y = width / self.width, height / self.height
        return Intrinsics(
            width, height, x * self.fx, y * self.fy, x * (self.cx + 0.5) - 0.5, y * (self.cy + 0.5) - 0.5
        )
