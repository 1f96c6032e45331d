"""A mapping agent: explores an unknown flat with whatever depth it gets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.floor_route import speeds, travel_times, way_back
from asyncmde_sim.agents.follow import RouteFollower
from asyncmde_sim.agents.frontiers import Frontier, find_frontiers
from asyncmde_sim.agents.map_builder import MapBuilder
from asyncmde_sim.agents.route import wrapped
from asyncmde_sim.agents.rover_avoid import PASSAGE_M, TURN_GAIN_PER_S
from asyncmde_sim.envs.robots import RobotSpec

REPLAN_S = 1.0
LOOK_RATE = 0.6
"""Part of the top yaw rate while it looks around."""

GAIN_PER_CELL = 0.1
"""Travel time that one more cell of a frontier is worth."""

KEEP = 1.5
"""The present frontier counts as that much better: no changing of mind half-way."""

ARRIVED_M, FACING_RAD = 0.4, 0.3
"""So near to a frontier's place it turns to the frontier, and has looked when it faces it so well."""

PATIENCE_S = 12.0
"""A frontier that was looked at, or not reached in this time, and is still there, is given up ..."""

GIVEN_UP_M = 0.6
"""... with all that is so near to it."""


class ExploreAgent:
    """Goes to the nearest large frontier of its own map, until there are none.

    It looks around at the start, and where no frontier is left. Beneath, ``RoverAvoidAgent`` avoids what
    stands or moves in the way.

    Args:
        robot: The robot that it steers.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
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
        self._look_rad = 2 * math.pi
        self._yaw: float | None = None
        self._planned_s = -math.inf
        self._target: Frontier | None = None
        self._begun_s, self._looked = 0.0, False
        self._given_up: list[NDArray[np.float64]] = []

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """Fractions (2,) of the top speed and of the top yaw rate."""
        self._builder.see(observation)
        if not observation["has_depth"]:
            self._follower.watch(observation)
            return np.zeros(2, np.float32)
        time_s = float(observation["time"][0])
        if self._look_rad <= 0 and time_s - self._planned_s >= REPLAN_S:
            self._plan(time_s)
        if self._look_rad > 0 or self._target is None:
            self._follower.watch(observation)
            return self._look()
        self._yaw = None
        if np.linalg.norm(self._target.place - self._builder.pose[:2, 3]) < ARRIVED_M:
            self._follower.watch(observation)
            return self._face(self._target)
        return self._follower.act(observation)

    def _face(self, frontier: Frontier) -> NDArray[np.float32]:
        pose = self._builder.pose
        x, y = frontier.points.mean(axis=0) - pose[:2, 3]
        bearing = wrapped(math.atan2(y, x) - math.atan2(pose[1, 0], pose[0, 0]))
        self._looked = self._looked or abs(bearing) < FACING_RAD
        rate = TURN_GAIN_PER_S * bearing / self._robot.max_yaw_rate_radps
        return np.array([0.0, min(max(rate, -1.0), 1.0)], np.float32)

    def _look(self) -> NDArray[np.float32]:
        pose = self._builder.pose
        yaw = math.atan2(pose[1, 0], pose[0, 0])
        if self._yaw is not None:
            self._look_rad -= abs(wrapped(yaw - self._yaw))
        self._yaw = yaw
        return np.array([0.0, LOOK_RATE if self._look_rad > 0 else 0.0], np.float32)

    def _plan(self, time_s: float) -> None:
        self._planned_s = time_s
        plan, position = self._builder.plan(), self._builder.pose[:2, 3]
        speed = speeds(plan, [position], self._room_m, unseen_speed=0.0)
        times = travel_times(plan, speed, position)
        frontiers = find_frontiers(plan, times)
        if self._target is not None and (self._looked or time_s - self._begun_s > PATIENCE_S):
            self._given_up.append(self._target.points.mean(axis=0))
        before = self._target
        self._target = min((f for f in frontiers if not self._is_given_up(f)), key=self._cost, default=None)
        if self._target is None:
            if self._given_up or before is not None:
                self._look_rad = 2 * math.pi
            self._given_up.clear()
            return
        if before is None or not _same(before, self._target):
            self._begun_s, self._looked = time_s, False
        self._follower.route = way_back(plan, times, self._target.place)[::-1]

    def _cost(self, frontier: Frontier) -> float:
        cost = frontier.time - GAIN_PER_CELL * len(frontier.points)
        return cost - KEEP if self._target is not None and _same(self._target, frontier) else cost

    def _is_given_up(self, frontier: Frontier) -> bool:
        middle = frontier.points.mean(axis=0)
        return any(np.linalg.norm(middle - point) < GIVEN_UP_M for point in self._given_up)


def _same(a: Frontier, b: Frontier) -> bool:
    """Whether two frontiers share a place, roughly: frontiers move as the map grows."""
    apart = np.linalg.norm(a.points[:, None] - b.points[None], axis=-1)
    return bool(apart.min() < 0.3)
