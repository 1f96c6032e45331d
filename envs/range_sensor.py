"""A small forward range sensor beside the camera, simulated from true depth.

It is like ST's VL53L5CX with 4 x 4 zones: a square view of 45 degrees and up to 4 m. The noise of 2 % of the
distance is assumed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.camera import Camera

ZONES = 4
"""Along each side."""
FIELD_OF_VIEW_RAD = math.pi / 4
MAX_RANGE_M = 4.0
NOISE = 0.02
"""Standard deviation as a share of the distance."""


def measure_ranges(
    depth: NDArray[np.floating], camera: Camera, rng: np.random.Generator
) -> NDArray[np.float32]:
    """One reading a zone, taken at the zone's centre, along the camera's optical axis.

    Args:
        depth: True depth (H, W) metres, 0 for none.
        camera: The camera; its lens distortion is ignored.
        rng: Draws the noise.

    Returns:
        (ZONES * ZONES, 3) float32: column and row in pixels, 0 at the centre of the first, and metres along
        the optical axis, 0 for none: beyond ``MAX_RANGE_M``, or outside the image, where the pixel is the
        nearest inside.
    """
    height, width = depth.shape
    slopes = ((np.arange(ZONES) + 0.5) / ZONES * 2 - 1) * math.tan(FIELD_OF_VIEW_RAD / 2)
    x, y = (grid.ravel() for grid in np.meshgrid(slopes, slopes))
    columns = np.rint(width / 2 - 0.5 + camera.focal_px * x)
    rows = np.rint(height / 2 - 0.5 + camera.focal_px * y)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    true = depth[rows.astype(np.intp), columns.astype(np.intp)].astype(np.float64)
    measured = true * (1 + NOISE * rng.standard_normal(len(true)))
    in_range = measured * np.sqrt(1 + x**2 + y**2) <= MAX_RANGE_M
    return np.stack([columns, rows, np.where(inside & in_range, measured, 0.0)], axis=1).astype(np.float32)
