"""How well inverse depths explain what an earlier view saw: a plane sweep over a sparse set of points.

The direct method (Newcombe et al., DTAM, ICCV 2011): each point is carried into an earlier image at a ladder
of inverse depths, and the grey levels there are compared with those around the point. Nothing is matched or
tracked, so points that many depths explain alike simply say little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.intrinsics import Intrinsics

Array = NDArray[np.float64]
Grey = NDArray[np.float32]

LADDER = np.linspace(0.0, 2.5, 121)
"""Inverse depths that are tried, 1/m: evenly spaced, as parallax is in pixels."""
BLOCK_PX = 6
"""One point in each square of this side: the one with the steepest grey level."""
MIN_GRADIENT = 3.0
"""Grey levels a pixel; a square that is smoother has no point."""
BORDER_PX = 8
PATCH = tuple((row, column) for row in (-2, 0, 2) for column in (-2, 0, 2))
"""Pixels around a point that are compared, rows and columns from it."""
MAX_DIFFERENCE = 20.0
"""Grey levels; more counts as much, so that what is hidden, or has moved, does not decide."""
NEAREST = 0.05
"""A point must lie so far ahead of the earlier camera, as a share of its depth."""


@dataclass(frozen=True)
class Points:
    """N points of an image: rows and columns (N,)."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)


def grey(image: NDArray[np.uint8]) -> Grey:
    """An image (H, W, 3) as smoothed grey levels (H, W)."""
    return ndimage.gaussian_filter(image.mean(axis=-1, dtype=np.float32), 1.0)


def textured_points(image: Grey) -> Points:
    """The points of an image (H, W) that can be recognised."""
    steepness = np.hypot(*np.gradient(image))
    inner = np.zeros_like(steepness)
    inside = slice(BORDER_PX, -BORDER_PX)
    inner[inside, inside] = steepness[inside, inside]
    rows, columns = (size // BLOCK_PX for size in image.shape)
    blocks = inner[: rows * BLOCK_PX, : columns * BLOCK_PX].reshape(rows, BLOCK_PX, columns, BLOCK_PX)
    blocks = blocks.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    row, column = np.nonzero(blocks.max(axis=-1) > MIN_GRADIENT)
    down, right = np.divmod(blocks[row, column].argmax(axis=-1), BLOCK_PX)
    return Points(row * BLOCK_PX + down, column * BLOCK_PX + right)


def sweep(
    present: Grey, points: Points, earlier: Sequence[tuple[Grey, Array]], camera: Intrinsics
) -> NDArray[np.float32]:
    """The differences (N, len(LADDER)) in grey levels of the points at each inverse depth.

    Args:
        present: The image of the points.
        points: N points.
        earlier: Earlier images, each with 4x4 ``T_earlier_present``; their differences are averaged. A point
            that leaves one of them at some depth is compared with the others alone, and one that leaves all
            of them differs by half of ``MAX_DIFFERENCE``.
        camera: The camera of all of them, for images of this size.
    """
    total = np.zeros((len(points), len(LADDER)), np.float32)
    seen = np.zeros_like(total)
    for image, T_earlier_present in earlier:
        differences = _differences(present, points, image, T_earlier_present, camera)
        there = np.isfinite(differences)
        seen += there
        total += np.where(there, differences, 0.0)
    return np.where(seen > 0, total / np.maximum(seen, 1.0), MAX_DIFFERENCE / 2)


def cost(differences: NDArray[np.float32], inverse_depth: Array) -> float:
    """The mean difference of N points at inverse depths (N,), 1/m; beyond the ladder its ends count."""
    step = np.clip(inverse_depth / LADDER[1], 0.0, len(LADDER) - 1.001)
    index = step.astype(np.intp)
    share = step - index
    point = np.arange(len(differences))
    between = (1 - share) * differences[point, index] + share * differences[point, index + 1]
    return float(between.mean())


def _differences(
    present: Grey, points: Points, image: Grey, T_earlier_present: Array, camera: Intrinsics
) -> NDArray[np.float32]:
    """(N, len(LADDER)), NaN where a pixel of the patch is not in the earlier image."""
    height, width = image.shape
    total = np.zeros((len(points), len(LADDER)), np.float32)
    for down, right in PATCH:
        rows, columns = points.rows + down, points.columns + right
        rays = np.stack(
            [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(len(points))]
        )
        x, y, z = (T_earlier_present[:3, :3] @ rays)[:, :, None] + T_earlier_present[
            :3, 3, None, None
        ] * LADDER[None, None]
        ahead = np.where(z > NEAREST, z, np.nan)
        column, row = camera.fx * x / ahead + camera.cx, camera.fy * y / ahead + camera.cy
        inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
        levels = ndimage.map_coordinates(
            image, [np.where(inside, row, 0.0), np.where(inside, column, 0.0)], order=1
        )
        difference = np.minimum(np.abs(levels - present[rows, columns][:, None]), MAX_DIFFERENCE)
        total += np.where(inside, difference, np.nan) / len(PATCH)
    return total
