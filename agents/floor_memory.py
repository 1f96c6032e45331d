"""What a ground robot remembers of the floor: each estimate entered where its frame was captured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.base import PoseHistory
from asyncmde_sim.agents.grid import OccupancyGrid
from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.scenes.raycast import pixel_rays


class FloorMemory:
    """An occupancy grid in the odometry frame that grows with the observations of one episode.

    Args:
        robot: The robot, whose camera looks ahead.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._radius_m = robot.body.radius_m
        self._history = PoseHistory()
        self._captured_s = -math.inf
        self.grid = OccupancyGrid(robot, pixel_rays(robot.camera))

    def see(self, observation: dict[str, Any], pose: NDArray[np.float64]) -> None:
        """Take an observation of the depth wrapper, with the body at ``pose`` (4, 4)."""
        time_s = float(observation["time"][0])
        self._history.add(time_s, pose)
        if not observation["has_depth"]:
            return
        captured_s, position = time_s - float(observation["depth_age"][0]), pose[:2, 3]
        if captured_s > self._captured_s + 1e-6:
            if math.isfinite(self._captured_s):
                self.grid.fade(position, captured_s - self._captured_s)
            self.grid.integrate(observation["depth"], self._history.at(captured_s))
            self._captured_s = captured_s
        self.grid.visit(position, self._radius_m)
