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
from asyncmde_sim.envs.learning import DepthView, Encoded, Encoder, Observation, ViewConfig
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


class FloorView(DepthView):
    """``DepthView``, and ``around`` (4, directions) float32 in [-1, 1] from an occupancy grid.

    The directions go around the robot from ahead to the left. For each of them: the way that is free for the
    body, and the way that was seen, over 3.5 m; the share of that way on which the robot has been before; the
    cosine of the angle between direction and goal, 0 without a goal; the distance to the nearest obstacle at
    0.25 m and at 0.6 m, over 0.5 m. The grid is that of the written agent, built from the depth in ``depth``.

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
        around = spaces.Box(-1.0, 1.0, (CHANNELS, self.config.directions), np.float32)
        return spaces.Dict({**super().space.spaces, "around": around})

    def reset(self) -> None:
        """Forget the last episode."""
        super().reset()
        self._floor = FloorMemory(self._robot)
        self._trail = np.zeros((TRAIL_CELLS, TRAIL_CELLS), bool)

    def see(self, observation: Observation) -> Encoded:
        """What is learned from at one step."""
        pose = odometry_pose(observation["odometry"])
        self._floor.see(observation, pose)
        around = self._around(observation, pose)
        self._trail[tuple(_trail_cells(pose[:2, 3]))] = True
        return {**super().see(observation), "around": around}

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
        return np.array([free, known, been, self._towards_goal(observation), *room], np.float32)

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
