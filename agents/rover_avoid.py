"""Obstacle avoidance for the ground robot, on depth alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.base import STALE_S, odometry_pose
from asyncmde_sim.agents.floor_memory import FloorMemory
from asyncmde_sim.agents.grid import CELL_M, LocalRoom
from asyncmde_sim.agents.route import bearing_aside, plan_route, wrapped
from asyncmde_sim.envs.robots import RobotSpec

SAFETY_M = 0.03
"""Kept beyond the body's radius while driving ..."""

PASSAGE_M = 0.06
"""... and wanted where it plans to pass: a gap that is only just wide enough is not entered."""

AMPLE_M = 0.2
"""Room beyond the body's radius that a short cut keeps where the route has it: depth is off by a tenth."""

SLOW_PER_S = 4.0
"""Top speed per metre of room beyond the body's radius, above ``CREEP_MPS``."""

REPLAN_S = 0.5
LOOKAHEAD_M = 1.0
TURN_GAIN_PER_S = 4.0
BRAKING = 0.7
"""Part of the largest braking that the agent counts on."""

CREEP_MPS = 0.25
"""Top speed where the way ahead was not seen."""

STUCK_S = 4.0
RETREAT_M, ARRIVED_M, TRAIL_STEP_M = 1.0, 0.3, 0.1
"""How far it goes back on its own trail when stuck, how near to there is enough, and the trail's points."""

KEEP_M = 0.7
"""What is nearer than this is not forgotten with the map: low things there are out of the camera's view."""


class RoverAvoidAgent:
    """Maps what the depth shows, plans on it and drives no faster than it can stop within what it saw.

    Each estimate is entered where its frame was captured. Space that was never seen may be planned through,
    at a price, and entered at a creep. Without an estimate, or with one older than ``base.STALE_S``, the
    robot stands still; an old one shortens the way that counts as free. When nothing moves for some seconds
    the map is forgotten, the robot looks around and goes back a little on its own trail: whoever stood in its
    way may have been waiting for it.

    Args:
        robot: The robot that it steers.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._room_m = robot.body.radius_m + SAFETY_M
        self._passage_m = robot.body.radius_m + PASSAGE_M
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget the last episode; the agent draws nothing."""
        self._floor = FloorMemory(self._robot)
        self._grid = self._floor.grid
        self._route: NDArray[np.float64] | None = None
        self._planned_s = -math.inf
        self._moved_s = 0.0
        self._look_rad = 0.0
        self._previous: tuple[float, float] | None = None
        self._trail: list[NDArray[np.float64]] = []
        self._refuge: NDArray[np.float64] | None = None

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """Fractions (2,) of the top speed and of the top yaw rate."""
        time_s, age_s = float(observation["time"][0]), float(observation["depth_age"][0])
        pose = odometry_pose(observation["odometry"])
        self._floor.see(observation, pose)
        if not observation["has_depth"] or age_s > STALE_S:
            self._moved_s = time_s
            return np.zeros(2, np.float32)
        position = pose[:2, 3]
        yaw = math.atan2(pose[1, 0], pose[0, 0])
        goal = (pose[:3, :3] @ observation["goal"] + pose[:3, 3])[:2]
        speed = float(observation["velocity"][0])
        self._notice_stuck(time_s, speed, position, yaw)
        if self._look_rad > 0:
            return np.array([0.0, 0.6], np.float32)
        goal = self._destination(position, goal)
        if time_s - self._planned_s >= REPLAN_S or self._route is None:
            self._route = plan_route(self._grid, position, goal, self._passage_m)
            self._planned_s = time_s
        room = self._grid.room(position, 2.2)
        bearing = wrapped(self._target_bearing(position, room) - yaw)
        return self._drive(position, yaw, speed, bearing, room, age_s, float(np.linalg.norm(goal - position)))

    def watch(self, observation: dict[str, Any]) -> None:
        """Take note of an observation while somebody else steers."""
        self._floor.see(observation, odometry_pose(observation["odometry"]))
        self._moved_s = float(observation["time"][0])

    def _notice_stuck(self, time_s: float, speed: float, position: NDArray[np.float64], yaw: float) -> None:
        before, self._previous = self._previous, (time_s, yaw)
        if before is not None and self._look_rad > 0:
            self._look_rad -= abs(wrapped(yaw - before[1]))
            self._moved_s = time_s
        if abs(speed) > 0.05:
            self._moved_s = time_s
        if time_s - self._moved_s > STUCK_S:
            self._grid.forget(position, KEEP_M)
            self._look_rad = 2 * math.pi
            back = [p for p in self._trail if np.linalg.norm(p - position) > RETREAT_M]
            self._refuge = back[-1] if back and self._refuge is None else None
            self._route = None
            self._moved_s = time_s

    def _destination(self, position: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where to go now: back to the refuge, until the robot is there, or to the goal."""
        if not self._trail or np.linalg.norm(position - self._trail[-1]) > TRAIL_STEP_M:
            self._trail.append(position)
        if self._refuge is not None and np.linalg.norm(self._refuge - position) < ARRIVED_M:
            self._refuge = self._route = None
        return goal if self._refuge is None else self._refuge

    def _target_bearing(self, position: NDArray[np.float64], room: LocalRoom) -> float:
        """Direction in the odometry frame of the farthest point of the route in a straight free line.

        That line keeps as much room as the route does, up to ``AMPLE_M``. If there is none, the direction of
        the next point, or what is nearest to it and free.
        """
        assert self._route is not None
        ranges = np.linalg.norm(self._route - position, axis=1)
        nearest = int(np.argmin(ranges))
        ahead = self._route[nearest:]
        ranges = ranges[nearest:]
        within = np.flatnonzero(ranges <= LOOKAHEAD_M)
        last = int(within[-1]) if len(within) else 0
        least_m = self._room_m + 0.02
        kept_m = np.minimum.accumulate(room.at(ahead[: last + 1])[0]) - CELL_M
        wanted_m = np.clip(kept_m, least_m, self._robot.body.radius_m + AMPLE_M)
        target = ahead[last]
        for candidate in range(last, 0, -2):
            target = ahead[candidate]
            steps = np.linspace(0, 1, max(int(ranges[candidate] / CELL_M), 2))[:, None]
            clear, _ = room.at(position + steps * (target - position))
            if (clear[1:] >= min(wanted_m[candidate], clear[0])).all():
                return _bearing(target - position)
        return bearing_aside(room, position, _bearing(target - position), least_m)

    def _drive(
        self,
        position: NDArray[np.float64],
        yaw: float,
        speed: float,
        bearing: float,
        room: LocalRoom,
        age_s: float,
        to_goal_m: float,
    ) -> NDArray[np.float32]:
        robot = self._robot
        rate = TURN_GAIN_PER_S * bearing
        rate = min(max(rate, -robot.max_yaw_rate_radps), robot.max_yaw_rate_radps)
        wanted = robot.max_speed_mps * max(math.cos(bearing), 0.0) ** 3 if abs(bearing) < 1.0 else 0.0
        wanted = min(wanted, 0.3 + 1.2 * to_goal_m)
        for part in (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.1):
            if self._safe(position, yaw, part * wanted, rate, room, age_s):
                return np.array(
                    [part * wanted / robot.max_speed_mps, rate / robot.max_yaw_rate_radps], np.float32
                )
        return np.array([0.0, rate / robot.max_yaw_rate_radps], np.float32)

    def _safe(
        self,
        position: NDArray[np.float64],
        yaw: float,
        speed: float,
        rate: float,
        room: LocalRoom,
        age_s: float,
    ) -> bool:
        """Whether the arc at this speed and rate is free, and seen, over the way needed to stop on it.

        Near obstacles only a lower speed is safe.
        """
        robot = self._robot
        reaction_s = age_s + 2 * robot.control_dt_ns * 1e-9
        way = speed * reaction_s + speed**2 / (2 * BRAKING * robot.max_accel_mps2) + 0.08
        along = np.arange(CELL_M / 2, way + robot.body.radius_m, CELL_M / 2)
        turn = np.clip(rate / max(speed, 0.1) * along, -0.5 * math.pi, 0.5 * math.pi)
        heading = yaw + turn / 2
        direction = np.stack([np.cos(heading), np.sin(heading)], axis=1)
        clear, seen = room.at(position + (along * np.sinc(turn / 2 / math.pi))[:, None] * direction)
        least = float(clear[along <= way].min())
        if least < min(self._room_m, room.at(position[None])[0][0]):
            return False
        top = CREEP_MPS + SLOW_PER_S * (least - robot.body.radius_m)
        return speed <= CREEP_MPS or (speed <= top and bool(seen.all()))


def _bearing(offset: NDArray[np.float64]) -> float:
    return math.atan2(offset[1], offset[0])
