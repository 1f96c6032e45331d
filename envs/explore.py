"""The ground robot explores a furnished flat that it does not know."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.base import END_REWARD, EpisodePlan, SceneEnv
from asyncmde_sim.envs.coverage import FloorCoverage, reachable_floor
from asyncmde_sim.envs.robots import make_rover
from asyncmde_sim.envs.rover import advance_rover
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.camera import Camera

START_MARGIN_M = 0.1
SECONDS = 30.0
SECONDS_PER_M2 = 2.0
"""The time limit is so long, and so much longer for each square metre of the floor."""


class IndoorExplore(SceneEnv[EpisodePlan]):
    """A differential-drive robot has to see the floor of a flat; success is 90 % of what it can reach.

    A tenth of a metre of floor counts as seen once the camera has truly seen it from no farther than 4 m,
    whatever depth the agent was given. The task gains 10 for the whole floor. There is no goal.

    Args:
        max_speed_mps: Top speed; None is 1.2 m/s.
        camera: The camera; None is the sharp default.
        **options: See ``SceneEnv``.
    """

    scene_kind: ClassVar[Literal["flat", "hall"]] = "flat"
    action_size: ClassVar[int] = 2
    success_coverage: ClassVar[float] = 0.9

    def __init__(
        self, *, max_speed_mps: float | None = None, camera: Camera | None = None, **options: Any
    ) -> None:
        super().__init__(make_rover(max_speed_mps, camera), **options)

    def _plan_episode(self, rng: np.random.Generator) -> EpisodePlan:
        start = self.backend.sample_free(rng, self.robot.body, 1, START_MARGIN_M)[0]
        self._coverage = FloorCoverage(reachable_floor(self.backend, self.robot, start), self.robot)
        limit = SECONDS + SECONDS_PER_M2 * self._coverage.area_m2
        return EpisodePlan(BodyState(yaw_pose(start, rng.uniform(-math.pi, math.pi))), limit)

    def _advance(self, action: NDArray[np.float64], rng: np.random.Generator) -> tuple[BodyState, ...]:
        return (advance_rover(self.state, action, self.robot, self.dt_s),)

    def _begin_task(self) -> None:
        self._see()
        self._covered: list[float] = []

    def _progress(self) -> tuple[float, bool]:
        before = self._coverage.share
        self._see()
        share = self._coverage.share
        self._covered.append(share)
        return END_REWARD * (share - before), share >= self.success_coverage

    def _task_info(self) -> dict[str, float]:
        return {"coverage": self._coverage.share}

    def _task_metrics(self, success: bool) -> dict[str, float]:
        """``mean_coverage`` is the coverage's mean over the time limit; after the end it stays as it was."""
        steps = max(round(self.plan.time_limit_s / self.dt_s), len(self._covered))
        share = self._coverage.share
        total = sum(self._covered) + share * (steps - len(self._covered))
        return {"coverage": share, "mean_coverage": total / steps, "floor_m2": self._coverage.area_m2}

    def _see(self) -> None:
        self._coverage.see(self._rendering.depth, self.state.pose @ self.robot.T_body_camera)
