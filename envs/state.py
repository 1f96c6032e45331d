"""The state of a robot's body and what follows from it: camera motion, odometry, body-frame vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.scenes.camera import RigidMotion


@dataclass(frozen=True)
class BodyState:
    """Where a body is and how it moves.

    Args:
        pose: 4x4 ``T_world_body``; the origin is the foot of a ground robot, the centre of a flying one.
        velocity: Velocity of that origin in the world, m/s, shape (3,).
        rate: Rotation rate in the body frame, rad/s, shape (3,).
    """

    pose: NDArray[np.float64]
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    rate: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    @property
    def position(self) -> NDArray[np.float64]:
        """Position of the origin in the world, (3,) metres."""
        return self.pose[:3, 3]

    @property
    def rotation(self) -> NDArray[np.float64]:
        """3x3 rotation from the body to the world."""
        return self.pose[:3, :3]

    @property
    def yaw(self) -> float:
        """Heading of the body's x axis in the world's x-y plane, radians."""
        return math.atan2(self.pose[1, 0], self.pose[0, 0])

    def to_body(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """A world vector (3,) in the body frame."""
        return self.rotation.T @ vector

    def camera_motion(self, T_body_camera: NDArray[np.float64]) -> RigidMotion:
        """The motion of a camera that is fixed to the body at ``T_body_camera`` (4x4)."""
        lever = self.rotation @ np.cross(self.rate, T_body_camera[:3, 3])
        return RigidMotion(
            pose=self.pose @ T_body_camera,
            linear_velocity=self.velocity + lever,
            angular_velocity=T_body_camera[:3, :3].T @ self.rate,
        )


def yaw_pose(position: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    """4x4 pose at ``position`` (3,) with heading ``yaw`` radians and no tilt."""
    pose = np.eye(4)
    c, s = math.cos(yaw), math.sin(yaw)
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:3, 3] = position
    return pose


def inverse_pose(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of a rigid 4x4 pose."""
    inverse = np.eye(4)
    inverse[:3, :3] = pose[:3, :3].T
    inverse[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return inverse


def pose_vector(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """A 4x4 pose as ``x y z qw qx qy qz`` (7,), with qw >= 0."""
    qx, qy, qz, qw = Rotation.from_matrix(pose[:3, :3]).as_quat()
    sign = -1.0 if qw < 0 else 1.0
    return np.concatenate([pose[:3, 3], sign * np.array([qw, qx, qy, qz])])


class Odometry:
    """Integrates the body's motion from the start of an episode, with drift on request.

    The odometry frame has its origin at the start, x along the start heading and z up. With noise n, each
    step's translation is scaled by 1 + e, where e starts at a normal draw of deviation n, and the heading
    error grows as a random walk of n radians per square root of a second. Without noise it is exact.

    Args:
        start: 4x4 ``T_world_body`` at the start.
        noise: Size of the drift, not negative; 0.02 is a fair wheel odometer.
        rng: Draws the drift.
    """

    def __init__(self, start: NDArray[np.float64], noise: float, rng: np.random.Generator) -> None:
        self._noise = noise
        self._rng = rng
        heading = math.atan2(start[1, 0], start[0, 0])
        self._T_odometry_world = inverse_pose(yaw_pose(start[:3, 3], heading))
        self._scale = 1.0 + noise * rng.standard_normal()
        self._previous = start
        self.pose = self._T_odometry_world @ start

    def update(self, pose: NDArray[np.float64], dt_s: float) -> None:
        """Take the true ``T_world_body`` (4x4) a time ``dt_s`` after the previous one."""
        if self._noise == 0:
            self.pose = self._T_odometry_world @ pose
            return
        increment = inverse_pose(self._previous) @ pose
        increment[:3, 3] *= self._scale
        turned = self.pose @ increment
        error = self._noise * math.sqrt(dt_s) * self._rng.standard_normal()
        turned[:3, :3] = yaw_pose(np.zeros(3), error)[:3, :3] @ turned[:3, :3]
        turned[:3, :3] = Rotation.from_matrix(turned[:3, :3]).as_matrix()
        self.pose = turned
        self._previous = pose
