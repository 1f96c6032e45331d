"""Alignment by the height of the camera above the floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.alignment.fit import Fit, robust_fit
from asyncmde_sim.runtime.alignment.fitted import Array, FittedAlignment
from asyncmde_sim.runtime.types import Frame


class FloorAlignment(FittedAlignment):
    """Scale and shift from the height of the camera above a flat floor, and its tilt.

    Every pixel below the horizon would have a known depth if it showed the floor. The scale and shift that
    make the most of those pixels floor are fitted to them (RANSAC, then reweighted least squares).

    It fails, and holds the last fit, where the floor is less than a tenth of the image: a camera that looks
    up, or stands before a wall. Depth is wrong by as much as the height is, everywhere. What is level but no
    floor (a table that fills the lower image, a step) is taken for the floor, and depth comes out too large
    by height / (height - its height). From high above, the floor is all at about the same distance, and what
    is near is extrapolated.

    A frame needs ``camera_height_m``, and ``view``, whose pose is z up.
    """

    MIN_SHARE = 0.1
    FARTHEST_FLOOR_M = 8.0

    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""
        if frame.view is None or frame.camera_height_m is None:
            raise ValueError(
                "the alignment 'floor' needs the camera's height and tilt, but the frame lacks them (from an "
                "environment: info['camera_height_m'], info['T_odometry_camera'] and a pinhole camera): use "
                "'ranges' or 'odometry'"
            )

    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        assert frame.view is not None and frame.camera_height_m is not None
        floor = floor_inverse_depth(frame)
        below = known & (floor > 1 / self.FARTHEST_FLOOR_M)
        found = robust_fit(normal[below], floor[below])
        if found is None:
            return None
        fit, inliers = found
        return fit if inliers.sum() >= self.MIN_SHARE * normal.size else None


def floor_inverse_depth(frame: Frame) -> Array:
    """(H, W) 1 / depth that a flat floor would have in each pixel, not positive above the horizon, 1/m."""
    assert frame.view is not None and frame.camera_height_m is not None
    height, width = frame.image.shape[:2]
    camera = frame.view.camera.resized(width, height)
    right, down, forward = frame.view.pose[2, :3]
    columns, rows = np.arange(width), np.arange(height)[:, None]
    upward = right * (columns - camera.cx) / camera.fx + down * (rows - camera.cy) / camera.fy + forward
    return -upward / frame.camera_height_m
