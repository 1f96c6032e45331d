"""The robots: what an agent may know about the body it steers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import Camera


@dataclass(frozen=True)
class RobotSpec:
    """A robot, its camera and its limits. Actions in [-1, 1] are fractions of these limits.

    Args:
        name: What it is called.
        body: Its collision volume.
        camera: Its only camera.
        T_body_camera: 4x4 pose of the camera in the body frame (x forward, y left, z up; the origin is
            the foot of a ground robot and the centre of a flying one).
        control_dt_ns: Time between control steps, which is also the camera's frame interval.
        max_speed_mps: Top speed.
        max_yaw_rate_radps: Top yaw rate.
        max_accel_mps2: Largest acceleration (and braking) the agent may count on.
    """

    name: str
    body: RobotBody
    camera: Camera
    T_body_camera: NDArray[np.float64]
    control_dt_ns: int
    max_speed_mps: float
    max_yaw_rate_radps: float
    max_accel_mps2: float

    def __post_init__(self) -> None:
        if self.control_dt_ns <= 0:
            raise ValueError(f"control_dt_ns is {self.control_dt_ns}, but a control step takes time")
        for name in ("max_speed_mps", "max_yaw_rate_radps", "max_accel_mps2"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be positive")
