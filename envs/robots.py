"""The robots: what an agent may know about the body it steers."""

from __future__ import annotations

import math
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
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be positive and finite")


CAMERA_AXES = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of a level camera that looks along the body's x axis."""


def camera_mount(position: tuple[float, float, float], pitch_up_rad: float = 0.0) -> NDArray[np.float64]:
    """4x4 ``T_body_camera`` of a forward camera at ``position`` (metres), pitched up by ``pitch_up_rad``."""
    c, s = math.cos(pitch_up_rad), math.sin(pitch_up_rad)
    mount = np.eye(4)
    mount[:3, :3] = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]]) @ CAMERA_AXES
    mount[:3, 3] = position
    return mount


def make_rover(max_speed_mps: float | None = None, camera: Camera | None = None) -> RobotSpec:
    """The ground robot: a differential drive of 0.36 m diameter with a level camera 0.45 m above the floor.

    Raises:
        ValueError: The speed is not positive.
    """
    return RobotSpec(
        name="rover",
        body=RobotBody(radius_m=0.18, height_m=0.5),
        camera=camera or Camera(),
        T_body_camera=camera_mount((0.0, 0.0, 0.45)),
        control_dt_ns=math.ceil(1e9 / 30),
        max_speed_mps=1.2 if max_speed_mps is None else max_speed_mps,
        max_yaw_rate_radps=2.5,
        max_accel_mps2=2.5,
    )


QUAD_SPEED_MPS = 5.0
QUAD_CAMERA = Camera(exposure_s=0.006, blur_samples=3, readout_s=0.013)
"""A small rolling-shutter camera indoors: 6 ms exposure, 13 ms readout."""


def make_quad(max_speed_mps: float | None = None, camera: Camera | None = None) -> RobotSpec:
    """The flying robot: a quadrotor in a sphere of 0.3 m diameter; its camera looks 12 degrees up.

    Raises:
        ValueError: The speed is not positive.
    """
    return RobotSpec(
        name="quad",
        body=RobotBody(radius_m=0.15, flies=True),
        camera=camera or QUAD_CAMERA,
        T_body_camera=camera_mount((0.05, 0.0, 0.0), pitch_up_rad=0.2),
        control_dt_ns=round(1e9 / 60),
        max_speed_mps=QUAD_SPEED_MPS if max_speed_mps is None else max_speed_mps,
        max_yaw_rate_radps=3.0,
        max_accel_mps2=8.0,
    )
