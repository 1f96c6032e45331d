"""What ``depth.turning.Turn`` does, without torch: feature maps brought along with a camera that turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FloatArray = NDArray[np.float32]
MIN_FORWARD = 1e-3
"""See ``depth.turning``."""


class TurnedGrid:
    """A camera's rotation between two images, for maps of one size.

    Args:
        rotation: (3, 3), takes a direction in the present camera (x right, y down, z forward) to the same
            direction in the earlier camera.
        camera: The camera of both images.
        size: Height and width of the maps.
    """

    def __init__(self, rotation: NDArray[np.float64], camera: Intrinsics, size: tuple[int, int]) -> None:
        height, width = size
        scaled = camera.resized(width, height)
        x = (np.arange(width) - scaled.cx) / scaled.fx
        y = (np.arange(height) - scaled.cy) / scaled.fy
        flat = np.stack((*np.meshgrid(x, y), np.ones(size)))
        right, down, forward = np.tensordot(rotation, flat, 1).reshape(3, -1)
        near = np.maximum(forward, MIN_FORWARD)
        behind = forward <= MIN_FORWARD
        column = np.where(behind, width, scaled.fx * right / near + scaled.cx)
        row = np.where(behind, height, scaled.fy * down / near + scaled.cy)
        inside_x, inside_y = (np.abs(at - (n - 1) / 2) <= n / 2 for at, n in ((column, width), (row, height)))
        self._seen = (inside_x & inside_y).reshape(1, 1, *size).astype(np.float32)
        self._weights = _bilinear(np.clip(column, 0, width - 1), np.clip(row, 0, height - 1), size)

    def __call__(self, *maps: FloatArray) -> tuple[FloatArray, ...]:
        """Maps (1, C, h, w) of the earlier image as the present camera sees them; edges are repeated."""
        joined = np.concatenate(maps, axis=1)
        channels = joined.shape[1]
        cells = np.ascontiguousarray(joined.reshape(channels, -1).T)
        turned = np.ascontiguousarray((self._weights @ cells).T).reshape(joined.shape)
        splits = np.cumsum([m.shape[1] for m in maps])[:-1]
        return tuple(np.split(turned, splits, axis=1))

    @property
    def seen(self) -> FloatArray:
        """(1, 1, h, w): 1 where the earlier camera saw what is at a cell of the present maps, else 0."""
        return self._seen


def _bilinear(column: NDArray[np.float64], row: NDArray[np.float64], size: tuple[int, int]) -> csr_array:
    """(cells, cells) weights of the cells around each place."""
    from scipy.sparse import csr_array  # a device that turns nothing needs no scipy

    height, width = size
    left, top = np.floor(column).astype(int), np.floor(row).astype(int)
    across, along = column - left, row - top
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    cells = np.stack([y * width + x for y in (top, bottom) for x in (left, right)], 1)
    shares = np.stack([y * x for y in (1 - along, along) for x in (1 - across, across)], 1)
    starts = np.arange(0, cells.size + 1, 4)
    shape = (height * width, height * width)
    return csr_array((shares.astype(np.float32).ravel(), cells.ravel(), starts), shape=shape)
