"""Follows a route on the floor, with local avoidance beneath."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.base import odometry_pose
from asyncmde_sim.agents.rover_avoid import RoverAvoidAgent
from asyncmde_sim.envs.robots import RobotSpec

LOOKAHEAD_M = 1.5


class RouteFollower:
    """Gives ``RoverAvoidAgent`` a point of the route a little ahead as its goal.

    Args:
        robot: The robot that it steers.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._driver = RoverAvoidAgent(robot)
        self.route = np.zeros((0, 2))
        """Points (N, 2) to drive along, in the odometry frame; set it whenever there is a better one."""

    def reset(self) -> None:
        """Forget the last episode."""
        self._driver.reset()
        self.route = np.zeros((0, 2))

    def watch(self, observation: dict[str, Any]) -> None:
        """Take note of an observation without driving."""
        self._driver.watch(observation)

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """Fractions (2,) of the top speed and of the top yaw rate; ``route`` has a point."""
        pose = odometry_pose(observation["odometry"])
        ranges = np.linalg.norm(self.route - pose[:2, 3], axis=1)
        nearest = int(np.argmin(ranges))
        beyond = np.flatnonzero(ranges[nearest:] > LOOKAHEAD_M)
        target = self.route[nearest + int(beyond[0]) if len(beyond) else -1]
        offset = np.array([*(target - pose[:2, 3]), 0.0])
        return self._driver.act({**observation, "goal": pose[:3, :3].T @ offset})
