"""An agent that sees nothing: the control that shows what avoiding is worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.base import odometry_pose
from asyncmde_sim.envs.robots import RobotSpec

TURN_GAIN_PER_S = 4.0
"""Yaw error to yaw rate."""


class StraightAgent:
    """Heads straight for the goal at top speed, whatever is in between.

    Args:
        robot: The robot, of either kind.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self.robot = robot

    def reset(self, seed: int | None = None) -> None:
        """There is nothing to forget; the agent draws nothing."""

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """The next action, (2,) for a ground robot and (4,) for a flying one, in [-1, 1]."""
        rotation = odometry_pose(observation["odometry"])[:3, :3]
        goal = rotation @ np.asarray(observation["goal"], dtype=np.float64)
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
        bearing = math.remainder(math.atan2(goal[1], goal[0]) - yaw, 2 * math.pi)
        turn = TURN_GAIN_PER_S * bearing / self.robot.max_yaw_rate_radps
        if not self.robot.body.flies:
            return np.clip([max(0.0, math.cos(bearing)), turn], -1.0, 1.0).astype(np.float32)
        level = np.array([math.cos(bearing), math.sin(bearing)]) * math.hypot(goal[0], goal[1])
        direction = np.array([*level, goal[2]]) / max(float(np.linalg.norm(goal)), 1e-9)
        return np.clip([*direction, turn], -1.0, 1.0).astype(np.float32)
