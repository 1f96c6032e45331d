"""Poses that a map can be built from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

RIGID_TOLERANCE = 1e-3


def check_rigid(pose: NDArray[np.float64], name: str = "the pose") -> None:
    """Check that a 4x4 pose is a rotation and a translation.

    Raises:
        ValueError: It is not; the message says why.
    """
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise ValueError(f"{name} is {pose.tolist()}, but a finite 4x4 matrix is needed")
    turn = pose[:3, :3]
    stretch = float(np.abs(turn @ turn.T - np.eye(3)).max())
    if stretch > RIGID_TOLERANCE or np.linalg.det(turn) < 0 or (pose[3] != [0, 0, 0, 1]).any():
        raise ValueError(
            f"{name} is not rigid (its axes are off by {stretch:.2g}, its determinant is "
            f"{np.linalg.det(turn):.3g}): give a rotation and a translation in metres"
        )


def find_jump(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    duration_s: float,
    speed_mps: float,
    rate_radps: float,
) -> str | None:
    """What makes the step between two 4x4 poses a jump, or None.

    Args:
        before: Pose.
        after: The next pose.
        duration_s: Time between them, seconds.
        speed_mps: A camera that moves faster has jumped.
        rate_radps: One that turns faster, too.
    """
    moved = float(np.linalg.norm(after[:3, 3] - before[:3, 3]))
    turned = float(Rotation.from_matrix(before[:3, :3].T @ after[:3, :3]).magnitude())
    if moved > speed_mps * duration_s:
        return f"{moved:.2f} m in {duration_s:.3f} s, faster than {speed_mps:g} m/s"
    if turned > rate_radps * duration_s:
        return f"{math.degrees(turned):.0f} degrees in {duration_s:.3f} s, faster than {rate_radps:g} rad/s"
    return None
