"""A planning agent: drives to its goal on its own map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.floor_route import speeds, travel_times, way_back
from asyncmde_sim.agents.follow import RouteFollower
from asyncmde_sim.agents.map_builder import MapBuilder
from asyncmde_sim.agents.route import UNSEEN_SPEED
from asyncmde_sim.agents.rover_avoid import PASSAGE_M
from asyncmde_sim.envs.robots import RobotSpec

REPLAN_S = 0.5


class PlanAgent:
    """Plans to the goal on the distance field of the map that it builds, again and again as the map grows.

    What was not seen may be driven through, more slowly. Where the map shows no way, the agent beneath,
    ``RoverAvoidAgent``, goes for the goal on what it sees around it.

    Args:
        robot: The robot that it steers.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._room_m = robot.body.radius_m + PASSAGE_M
        self._builder = MapBuilder(robot)
        self._follower = RouteFollower(robot)
        self.reset()

    @property
    def map(self) -> Any:
        """Its map, in the odometry frame."""
        return self._builder.map

    def reset(self, seed: int | None = None) -> None:
        """Forget the last episode; the agent draws nothing."""
        self._builder.reset()
        self._follower.reset()
        self._planned_s = -math.inf

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """Fractions (2,) of the top speed and of the top yaw rate."""
        self._builder.see(observation)
        if not observation["has_depth"]:
            self._follower.watch(observation)
            return np.zeros(2, np.float32)
        time_s = float(observation["time"][0])
        if time_s - self._planned_s >= REPLAN_S:
            self._planned_s = time_s
            self._plan(observation["goal"])
        return self._follower.act(observation)

    def _plan(self, goal: NDArray[np.float32]) -> None:
        pose = self._builder.pose
        there = (pose[:3, :3] @ goal + pose[:3, 3])[:2]
        plan = self._builder.plan(there)
        speed = speeds(plan, [pose[:2, 3], there], self._room_m, UNSEEN_SPEED)
        times = travel_times(plan, speed, there)
        route = way_back(plan, times, pose[:2, 3])
        self._follower.route = np.concatenate([route, there[None]]) if len(route) > 1 else there[None]
