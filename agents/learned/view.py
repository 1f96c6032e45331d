"""What a learned agent of a ground robot also sees: its memory of the floor around it."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from asyncmde_sim.agents.base import odometry_pose
from asyncmde_sim.agents.floor_memory import FloorMemory
from asyncmde_sim.agents.grid import CELL_M
from asyncmde_sim.agents.route import plan_route
from asyncmde_sim.envs.learning import FAR_GOAL_M, DepthView, Encoded, Encoder, Observation, ViewConfig
from asyncmde_sim.envs.robots import RobotSpec

REACH_M, STEP_M = 3.5, 0.05
"""How far the memory is told of, and the steps along each direction."""

PASSAGE_M = 0.05
"""Room beyond the body's radius that a free way has."""

TRAIL_CELL_M, TRAIL_CELLS = 0.25, 200
"""Side of the cells in which the robot remembers to have been, and how many there are along each side."""

NEAR_M, ROOM_M = (0.25, 0.6), 0.5
"""Where beside the robot it is told how much room there is, and what reads as 1."""

CHANNELS = 4 + len(NEAR_M)
"""Of ``around``."""

LOOKAHEADS_M = (0.4, 1.0, 2.0)
"""How far along the route the directions lie in which it is told to lead."""

REPLAN_S = 0.5


class FloorView(DepthView):
    """``DepthView``, and ``around`` (6 * directions,) float32 in [-1, 1] from an occupancy grid.

    The directions go around the robot from ahead to the left. All of them for the first channel, then for the
    next: the way that is free for the
    body, and the way that was seen, over 3.5 m; the share of that way on which the robot has been before; the
    cosine of the angle between direction and goal, 0 without a goal; the distance to the nearest obstacle at
    0.25 m and at 0.6 m, over 0.5 m. The grid is that of the written agent, built from the depth in ``depth``.

    With a goal also ``route`` (7,) float32 in [-1, 1], of a route planned on that grid twice a second: the
    cosine and sine of the direction to its points 0.4, 1 and 2 m ahead, and its length over 15 m.

    Args:
        config: Sizes; ``directions`` is not 0.
        robot: The robot; it does not fly.
        has_goal: Whether the task has a goal.
    """

    def __init__(self, config: ViewConfig, robot: RobotSpec, has_goal: bool) -> None:
        self._angles = np.arange(config.directions) * (2 * math.pi / config.directions)
        self._steps = np.arange(STEP_M, REACH_M + STEP_M / 2, STEP_M)
        super().__init__(config, robot, has_goal)

    @property
    def space(self) -> spaces.Dict:
        """Of what ``see`` returns."""
        added = {"around": spaces.Box(-1.0, 1.0, (CHANNELS * self.config.directions,), np.float32)}
        if self._has_goal:
            added["route"] = spaces.Box(-1.0, 1.0, (2 * len(LOOKAHEADS_M) + 1,), np.float32)
        return spaces.Dict({**super().space.spaces, **added})

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self._floor = FloorMemory(self._robot)
        self._route: NDArray[np.float64] | None = None
        self._planned_s = -math.inf
        self._trail = np.zeros((TRAIL_CELLS, TRAIL_CELLS), bool)

    def see(self, observation: Observation) -> Encoded:
        """What is learned from at one step."""
        pose = odometry_pose(observation["odometry"])
        self._floor.see(observation, pose)
        seen = {**super().see(observation), "around": self._around(observation, pose)}
        self._trail[tuple(_trail_cells(pose[:2, 3]))] = True
        if self._has_goal:
            seen["route"] = self._along_route(observation, pose)
        return seen

    def _along_route(self, observation: Observation, pose: NDArray[np.float64]) -> NDArray[np.float32]:
        position, time_s = pose[:2, 3], float(observation["time"][0])
        if self._route is None or time_s - self._planned_s >= REPLAN_S:
            goal = (pose[:3, :3] @ observation["goal"] + pose[:3, 3])[:2]
            room_m = self._robot.body.radius_m + PASSAGE_M
            self._route, self._planned_s = plan_route(self._floor.grid, position, goal, room_m), time_s
        ahead = self._route[int(np.linalg.norm(self._route - position, axis=1).argmin()) :]
        ways = np.concatenate([[0.0], np.linalg.norm(np.diff(ahead, axis=0), axis=1).cumsum()])
        told: list[float] = []
        for lookahead in LOOKAHEADS_M:
            offset = [np.interp(lookahead, ways, ahead[:, k]) - position[k] for k in (0, 1)]
            bearing = math.atan2(offset[1], offset[0]) - math.atan2(pose[1, 0], pose[0, 0])
            told += [math.cos(bearing), math.sin(bearing)]
        return np.clip(np.array([*told, ways[-1] / FAR_GOAL_M], np.float32), -1.0, 1.0)

    def _around(self, observation: Observation, pose: NDArray[np.float64]) -> NDArray[np.float32]:
        position = pose[:2, 3]
        headings = math.atan2(pose[1, 0], pose[0, 0]) + self._angles
        directions = np.stack([np.cos(headings), np.sin(headings)], axis=1)
        points = position + self._steps[:, None, None] * directions
        clear, seen = self._floor.grid.room(position, REACH_M + 2 * CELL_M).at(points)
        wanted = min(self._robot.body.radius_m + PASSAGE_M, float(clear[0].max()))
        count = len(self._steps)
        free = _first(clear < wanted) / count
        known = _first(~seen) / count
        been = self._trail[tuple(_trail_cells(points).T)].T.mean(axis=0)
        room = [np.minimum(clear[round(near / STEP_M) - 1] / ROOM_M, 1.0) for near in NEAR_M]
        channels = [free, known, been, self._towards_goal(observation), *room]
        return np.concatenate(channels).astype(np.float32)

    def _towards_goal(self, observation: Observation) -> NDArray[np.float64]:
        if not self._has_goal:
            return np.zeros(len(self._angles))
        x, y = float(observation["goal"][0]), float(observation["goal"][1])
        return np.cos(self._angles - math.atan2(y, x))


def _trail_cells(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Cells (..., 2) of points (..., 2), clamped to the trail's grid."""
    cells = np.floor(points / TRAIL_CELL_M).astype(np.intp) + TRAIL_CELLS // 2
    return np.clip(cells, 0, TRAIL_CELLS - 1)


def _first(hit: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The first row (N,) that is true in each column of (M, N), M where none is."""
    return np.where(hit.any(axis=0), hit.argmax(axis=0), len(hit))


def make_view(config: ViewConfig, robot: RobotSpec, has_goal: bool) -> Encoder:
    """The encoder for a robot and a task.

    Raises:
        ValueError: The robot flies, and ``directions`` is not 0.
    """
    if config.directions and robot.body.flies:
        raise ValueError(
            f"directions is {config.directions}, but the robot {robot.name!r} flies and keeps no map of the "
            "floor: give 0"
        )
    return (FloorView if config.directions else DepthView)(config, robot, has_goal)


def view_for(config: ViewConfig, env: gym.Env[Any, Any]) -> Encoder:
    """The encoder for an environment with the depth wrapper; see ``make_view``."""
    robot: RobotSpec = env.unwrapped.robot  # type: ignore[attr-defined]
    return make_view(config, robot, "goal" in env.observation_space.spaces)  # type: ignore[attr-defined]
