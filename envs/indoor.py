"""The ground robot's environments: a furnished flat, empty of people or not."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.base import NoEpisodeError
from asyncmde_sim.envs.navigation import GoalPlan, NavigationEnv, draw_start_and_goal
from asyncmde_sim.envs.paths import Way, geodesic_path
from asyncmde_sim.envs.robots import make_rover
from asyncmde_sim.envs.rover import advance_rover
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.envs.walkers import Route, Walkers, plan_route
from asyncmde_sim.scenes.backend import Mover
from asyncmde_sim.scenes.camera import Camera

WAY_M = (3.0, 14.0)
"""Range of geodesic distances from start to goal."""


class IndoorStatic(NavigationEnv):
    """A differential-drive robot drives to a point in another room; success within 0.2 m (geodesic).

    Args:
        max_speed_mps: Top speed; None is 1.2 m/s.
        camera: The camera; None is the sharp default.
        **options: See ``SceneEnv``.
    """

    scene_kind: ClassVar[Literal["flat", "hall"]] = "flat"
    action_size: ClassVar[int] = 2
    goal_radius_m: ClassVar[float] = 0.2
    waiting_s: ClassVar[float] = 20.0
    """Part of the time limit that does not depend on the way."""

    def __init__(
        self, *, max_speed_mps: float | None = None, camera: Camera | None = None, **options: Any
    ) -> None:
        super().__init__(make_rover(max_speed_mps, camera), **options)

    def _plan_episode(self, rng: np.random.Generator) -> GoalPlan:
        start, goal, way = draw_start_and_goal(self.backend, self.robot.body, rng, WAY_M)
        state = BodyState(yaw_pose(start, rng.uniform(-math.pi, math.pi)))
        limit = self.waiting_s + 6.0 * way / self.robot.max_speed_mps
        return GoalPlan(state, limit, goal, way)

    def _advance(self, action: NDArray[np.float64], rng: np.random.Generator) -> tuple[BodyState, ...]:
        return (advance_rover(self.state, action, self.robot, self.dt_s),)


class IndoorDynamic(IndoorStatic):
    """The same among people and carts whose routes cross the robot's way; see ``envs.walkers``.

    Args:
        **options: See ``IndoorStatic``; a difficulty of 0 to 1 also means 1 to 4 walkers.
    """

    waiting_s: ClassVar[float] = 40.0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._walker_count = round(1 + 3 * self.difficulty)

    def _plan_episode(self, rng: np.random.Generator) -> GoalPlan:
        for _ in range(10):
            plan = super()._plan_episode(rng)
            routes = self._routes(plan, rng)
            if routes is not None:
                self._walkers = Walkers(routes, rng)
                return plan
        raise NoEpisodeError(
            f"scene {self.backend.name!r} has no room for {self._walker_count} walkers on the robot's way: "
            "lower the difficulty or use a larger scene"
        )

    def _routes(self, plan: GoalPlan, rng: np.random.Generator) -> list[Route] | None:
        planner = self.backend.planner
        field = planner.distance_field(plan.goal, self.robot.body)
        path = geodesic_path(field, plan.start.position, plan.goal, flies=False)
        if path is None:
            return None
        way = Way(path)
        routes: list[Route] = []
        for _ in range(6 * self._walker_count):
            route = plan_route(planner, rng, way)
            if route is not None and _starts_apart(route, routes):
                routes.append(route)
            if len(routes) == self._walker_count:
                return routes
        return None

    def _movers_at(self, time_s: float) -> tuple[Mover, ...]:
        if time_s > 0:
            self._walkers.advance(self.dt_s, self.state.position, self.robot.body.radius_m)
        return self._walkers.movers()


def _starts_apart(route: Route, others: list[Route]) -> bool:
    here = route.way.position(route.start_m)
    return all(np.linalg.norm(here - other.way.position(other.start_m)) > 1.0 for other in others)
