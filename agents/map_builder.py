"""The map that an agent builds of what it sees: a TSDF in its odometry frame."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.base import PoseHistory, odometry_pose
from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.mapping import FloorPlan, MapConfig, TsdfMap, floor_plan
from asyncmde_sim.mapping.weighting import range_weights

FUSE_INTERVAL_S = 0.1
"""Estimates are entered no more often than this: neighbours show the same."""

DRIVEN_STEP_M = 0.1

BLIND_M = 0.8
"""So near to where the robot started, which its camera cannot see, the floor counts as free."""

TOP_MARGIN_M = 0.05
"""What is so little above the robot is an obstacle, too."""

CONFIG = MapConfig(voxel_m=0.05, truncation_voxels=3.0, max_range_m=4.0, edge_m=0.3)


class MapBuilder:
    """Enters each estimate where the camera was when its frame was captured.

    Args:
        robot: The robot; it drives on the floor, which is at height 0 of its odometry frame.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._camera = robot.camera.pinhole
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.map = TsdfMap(CONFIG)
        self._history = PoseHistory()
        self._captured_s = -math.inf
        self._driven: list[NDArray[np.float64]] = []

    def see(self, observation: dict[str, Any]) -> None:
        """Take an observation of the depth wrapper."""
        time_s = float(observation["time"][0])
        self.pose = odometry_pose(observation["odometry"])
        """4x4 ``T_odometry_body``."""
        self._history.add(time_s, self.pose)
        if not self._driven or np.linalg.norm(self.pose[:2, 3] - self._driven[-1]) > DRIVEN_STEP_M:
            self._driven.append(self.pose[:2, 3])
        captured_s = time_s - float(observation["depth_age"][0])
        if observation["has_depth"] and captured_s >= self._captured_s + FUSE_INTERVAL_S - 1e-6:
            self._captured_s = captured_s
            body = self._history.at(captured_s)
            depth = observation["depth"]
            camera = body @ self._robot.T_body_camera
            self.map.fuse(depth, self._camera, camera, range_weights(depth))

    def plan(self, goal: NDArray[np.float64] | None = None) -> FloorPlan:
        """The floor as the map shows it now, with the cell of a goal (2,) in it, seen or not."""
        body, driven = self._robot.body, np.array(self._driven)
        plan = floor_plan(self.map, 0.0, body.height_m + TOP_MARGIN_M, driven, body.radius_m, goal)
        near = np.linalg.norm(plan.centres - driven[0], axis=-1) < BLIND_M
        return replace(plan, free=plan.free | (near & ~plan.occupied))
