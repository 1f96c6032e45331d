"""Differential-drive dynamics with acceleration limits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.envs.state import BodyState, yaw_pose

MAX_YAW_ACCEL_RADPS2 = 10.0


def advance_rover(state: BodyState, action: NDArray[np.float64], robot: RobotSpec, dt_s: float) -> BodyState:
    """The state one control step later.

    Speed and yaw rate move towards the commanded ones as fast as the limits allow; the body follows the arc
    of their means over the step, which is exact for constant speed and yaw rate.

    Args:
        state: State of a level body on the floor.
        action: Fractions (2,) in [-1, 1] of the top speed (forward +) and the top yaw rate (left +).
        robot: The limits.
        dt_s: Time of the step, seconds.
    """
    speed, rate = float(state.to_body(state.velocity)[0]), float(state.rate[2])
    most = robot.max_accel_mps2 * dt_s
    new_speed = speed + min(max(action[0] * robot.max_speed_mps - speed, -most), most)
    most = MAX_YAW_ACCEL_RADPS2 * dt_s
    new_rate = rate + min(max(action[1] * robot.max_yaw_rate_radps - rate, -most), most)
    way, turn = (speed + new_speed) / 2 * dt_s, (rate + new_rate) / 2 * dt_s
    heading = state.yaw + turn / 2
    chord = way * np.sinc(turn / 2 / math.pi)
    position = state.position + chord * np.array([math.cos(heading), math.sin(heading), 0.0])
    pose = yaw_pose(position, state.yaw + turn)
    return BodyState(pose, pose[:3, 0] * new_speed, np.array([0.0, 0.0, new_rate]))
