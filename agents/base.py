"""What every agent is and what agents share: pose history and points from depth."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

HISTORY_S = 5.0

STALE_S = 1.0
"""Depth older than this moves no robot: it stops until newer depth comes."""


class Agent(Protocol):
    """Maps observations of the depth wrapper to actions."""

    def reset(self, seed: int | None = None) -> None:
        """Forget the last episode; ``seed`` draws whatever the agent draws."""
        ...

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """The action (N,) in [-1, 1] for one observation."""
        ...


def odometry_pose(odometry: NDArray[np.floating]) -> NDArray[np.float64]:
    """4x4 ``T_odometry_body`` of an observed ``x y z qw qx qy qz`` (7,)."""
    values = np.asarray(odometry, dtype=np.float64)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(values[[4, 5, 6, 3]]).as_matrix()
    pose[:3, 3] = values[:3]
    return pose


class PoseHistory:
    """The body's poses of the last seconds, to place an estimate where its frame was captured."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._poses: list[NDArray[np.float64]] = []

    def add(self, time_s: float, pose: NDArray[np.float64]) -> None:
        """Add the pose (4, 4) at a time later than all others."""
        if self._times and time_s <= self._times[-1]:
            raise ValueError(
                f"the observation's time is {time_s} s after {self._times[-1]} s, but time must grow: "
                "call reset() at the start of an episode"
            )
        self._times.append(time_s)
        self._poses.append(pose)
        while self._times[0] < time_s - HISTORY_S:
            del self._times[0], self._poses[0]

    def at(self, time_s: float) -> NDArray[np.float64]:
        """The pose (4, 4) nearest in time.

        Raises:
            RuntimeError: Nothing was added yet.
        """
        if not self._times:
            raise RuntimeError("the history is empty: add a pose first")
        after = min(bisect_left(self._times, time_s), len(self._times) - 1)
        before = max(after - 1, 0)
        nearer = after if self._times[after] - time_s <= time_s - self._times[before] else before
        return self._poses[nearer]


def depth_points(
    depth: NDArray[np.float32], rays: NDArray[np.float32], T_frame_camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points (N, 3), in the frame of ``T_frame_camera`` (4, 4), of all pixels that have depth.

    Args:
        depth: (H, W) planar depth in metres, 0 for none.
        rays: (H, W, 3) ray of each pixel in the camera frame, with z = 1.
        T_frame_camera: Pose of the camera in the frame wanted.
    """
    valid = depth > 0
    points = rays[valid] * depth[valid][:, None]
    return points @ T_frame_camera[:3, :3].T + T_frame_camera[:3, 3]
