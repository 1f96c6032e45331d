"""What the environments with a point goal have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.base import MAX_DISTANCE_M, EpisodePlan, NoEpisodeError, SceneEnv, symmetric_box
from asyncmde_sim.metrics.navigation import soft_spl, spl
from asyncmde_sim.scenes.backend import DistanceField, RobotBody, SceneBackend

PASSAGE_M = 0.07
"""Start and goal are joined by a way with this much room beside the robot: depth is not exact."""
END_MARGIN_M = 0.03
"""More room than that around both."""


@dataclass(frozen=True)
class GoalPlan(EpisodePlan):
    """An episode with a point goal.

    Args:
        goal: Goal position of the body's origin in the world, (3,).
        shortest_path_m: Geodesic distance from start to goal; finite and positive.
    """

    goal: NDArray[np.float64]
    shortest_path_m: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.shortest_path_m) and self.shortest_path_m > 0):
            raise ValueError(
                f"shortest_path_m is {self.shortest_path_m}, but an episode needs a finite positive way to "
                "its goal: draw another start or goal"
            )


class NavigationEnv(SceneEnv[GoalPlan]):
    """A robot on its way to a point goal. The task gains the metres by which the geodesic way shrinks."""

    goal_radius_m: ClassVar[float]

    def _task_spaces(self) -> dict[str, gym.spaces.Box]:
        return {"goal": symmetric_box(np.full(3, MAX_DISTANCE_M))}

    def _begin_task(self) -> None:
        self._goal_field: DistanceField = self.backend.distance_field(self.plan.goal, self.robot.body)
        self._distance = self.plan.shortest_path_m

    def _progress(self) -> tuple[float, bool]:
        before = self._distance
        distance = float(self._goal_field(self.state.position[None])[0])
        if math.isfinite(distance):
            self._distance = distance
        return before - self._distance, math.isfinite(distance) and distance <= self.goal_radius_m

    def _task_observation(self) -> dict[str, NDArray[np.float64]]:
        return {"goal": self.state.to_body(self.plan.goal - self.state.position)}

    def _task_info(self) -> dict[str, float]:
        return {"distance_to_goal": self._distance}

    def _task_metrics(self, success: bool) -> dict[str, float]:
        shortest, path = self.plan.shortest_path_m, self._record.path_m
        return {
            "spl": spl(success, shortest, path),
            "soft_spl": soft_spl(self._distance, shortest, path),
            "shortest_path": shortest,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_goal_field"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._plan is not None:
            self._goal_field = self.backend.distance_field(self._plan.goal, self.robot.body)


def draw_start_and_goal(
    backend: SceneBackend,
    body: RobotBody,
    rng: np.random.Generator,
    way_m: tuple[float, float],
    attempts: int = 20,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Free positions of a start and a goal whose geodesic distance lies in ``way_m``.

    A way with ``PASSAGE_M`` to spare on each side joins them. Pairs that cannot see each other (another room,
    another aisle) come first; if the first half of the attempts finds none, any pair counts.

    Returns:
        Start (3,), goal (3,) and their geodesic distance in metres.

    Raises:
        NoEpisodeError: There is no such pair in the scene.
    """
    lift = np.array([0.0, 0.0, 0.0 if body.flies else body.height_m / 2])
    wide = replace(body, radius_m=body.radius_m + PASSAGE_M)
    for attempt in range(attempts):
        goal = backend.sample_free(rng, wide, 1, END_MARGIN_M)[0]
        starts = backend.sample_free(rng, wide, 64, END_MARGIN_M)
        ways = backend.distance_field(goal, body)(starts)
        ways[~np.isfinite(backend.distance_field(goal, wide)(starts))] = np.inf
        offsets = goal - starts
        spans = np.linalg.norm(offsets, axis=1)
        allowed = np.isfinite(ways) & (ways >= way_m[0]) & (ways <= way_m[1]) & (spans > 0)
        if attempt < attempts // 2 and allowed.any():
            directions = offsets / np.maximum(spans, 1e-9)[:, None]
            allowed &= backend.range_along(starts + lift, directions) < spans
        if allowed.any():
            index = int(np.argmax(allowed))
            return starts[index], goal, float(ways[index])
    raise NoEpisodeError(
        f"scene {backend.name!r} has no start and goal between {way_m[0]} m and {way_m[1]} m apart for this "
        "robot: use a larger scene or a smaller robot"
    )
