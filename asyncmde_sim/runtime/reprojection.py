"""Depth carried to another view: what a camera that knows its own motion need not estimate again."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics

Depth = NDArray[np.float32]

NEAREST_M = 0.05
"""A point nearer to the camera plane is dropped."""
REACH_PX = 0.75
COVERED = 1.35
"""A carried depth that is so many times the new estimate is taken for covered by something that has come."""


def reproject(depth: Depth, T_present_earlier: NDArray[np.float64], camera: Intrinsics) -> Depth:
    """Depth (H, W) of an earlier view as seen from the present one; the nearest surface wins.

    Each point covers the pixels whose centres are less than ``REACH_PX`` from where it lands, along each
    axis: that closes the gaps of a view that is a little nearer, and leaves a view from the same place as
    it was.

    Args:
        depth: Metres along the optical axis, 0 for none.
        T_present_earlier: 4x4, takes points of the earlier camera to the present one.
        camera: The camera of both.

    Returns:
        (H, W) float32, 0 where nothing lands.
    """
    height, width = depth.shape
    camera = camera.resized(width, height)
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns].astype(np.float64)
    points = np.stack(((columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z))
    x, y, z = T_present_earlier[:3, :3] @ points + T_present_earlier[:3, 3:]
    ahead = z > NEAREST_M
    x, y, z = x[ahead], y[ahead], z[ahead]
    column, row = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    nearest = np.full(height * width, np.inf)
    for right, down in itertools.product((-1, 1), repeat=2):
        at_column, at_row = (
            np.rint(c + side * (REACH_PX - 0.5)) for c, side in ((column, right), (row, down))
        )
        inside = (at_column >= 0) & (at_column < width) & (at_row >= 0) & (at_row < height)
        cell = (at_row[inside] * width + at_column[inside]).astype(np.int64)
        np.minimum.at(nearest, cell, z[inside])
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32).reshape(height, width)


def combine(estimate: Depth, carried: Depth) -> Depth:
    """The estimate, averaged in log depth with the carried depth wherever that is there and not covered.

    Args:
        estimate: (H, W) metres, of the present view; 0 for none.
        carried: The same of an earlier view, from ``reproject``.
    """
    use = (carried > 0) & (carried < COVERED * estimate)
    combined = estimate.copy()
    combined[use] = np.sqrt(estimate[use] * carried[use])
    return combined
