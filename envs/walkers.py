"""People and carts that walk their routes.

A walker goes to and fro on a fixed route that stays in free space. It does not plan around anybody. When the
robot or another walker stands within reach in front of it, it stops, and if its way is still taken after a
moment it turns round. So a robot is never run over from behind while it waits, but a robot that drives into
a walker's way too late, or into its side, collides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.paths import Way, geodesic_path, smooth_path
from asyncmde_sim.envs.state import yaw_pose
from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import RigidMotion
from asyncmde_sim.scenes.generate.movers import MOVER_KINDS, mover_mesh, mover_radius

SPEEDS_MPS = {"person": (0.6, 1.4), "cart": (0.4, 0.9)}
"""Range of walking speeds by the first word of the mover's kind."""

STOP_GAP_M = 0.45
PATIENCE_S = 2.0
TURN_RATE_RADPS = 3.0
ROUTE_MARGIN_M = 0.06


@dataclass(frozen=True)
class Route:
    """Where one walker walks.

    Args:
        kind: Kind of its mesh.
        way: Its way on the floor.
        speed_mps: Its speed.
        start_m: Distance along the way at which it starts.
    """

    kind: str
    way: Way
    speed_mps: float
    start_m: float


def walker_kinds() -> tuple[str, ...]:
    """The kinds of movers that walk."""
    return tuple(kind for kind in MOVER_KINDS if kind.split("_")[0] in SPEEDS_MPS)


def walker_body(kind: str) -> RobotBody:
    """The upright cylinder that a walker sweeps as it walks: as wide as its mesh, whose length lies along it."""
    low, high = mover_mesh(kind).bounds
    return RobotBody(radius_m=float(max(-low[1], high[1])), height_m=float(high[2]))


def plan_route(
    backend: SceneBackend, rng: np.random.Generator, robot_way: Way, start_clear_m: float = 1.5
) -> Route | None:
    """A route across the robot's way, or None if this draw gives none.

    It passes through a point of the robot's way and has 1.5 to 6 m to each side. The walker starts where
    it is at least ``start_clear_m`` from the robot's start.
    """
    kind = str(rng.choice(walker_kinds()))
    body = walker_body(kind)
    wide = RobotBody(body.radius_m + ROUTE_MARGIN_M, body.height_m)
    crossings = robot_way.position(rng.uniform(0.2, 0.95, 8) * robot_way.length)
    speed = float(rng.uniform(*SPEEDS_MPS[kind.split("_")[0]]))
    free = backend.clearance(crossings, wide) > 0
    if not free.any():
        return None
    crossing = crossings[int(np.argmax(free))]
    field = backend.distance_field(crossing, wide)
    ends = backend.sample_free(rng, wide, 16, margin_m=mover_radius(kind) - body.radius_m)
    ways = field(ends)
    ends = ends[(ways > 1.5) & (ways < 6.0)]
    halves = [path for end in ends[:3] if (path := geodesic_path(field, end, crossing, False, 0.2)) is not None]
    if len(halves) < 2:
        return None
    one = halves[0]
    other = max(halves[1:], key=lambda path: float(np.linalg.norm(path[0] - one[0])))
    points = smooth_path(np.concatenate([one, other[-2::-1]]), backend, body)
    if points is None:
        return None
    way = Way(points)
    starts = rng.uniform(0.0, way.length, 8)
    apart = np.linalg.norm(way.position(starts) - robot_way.position(0.0), axis=1) >= start_clear_m
    if not apart.any():
        return None
    return Route(kind, way, speed, float(starts[apart][0]))


class Walkers:
    """The walkers of one episode, advanced step by step.

    Args:
        routes: Their routes.
        rng: Draws in which direction each one starts.
    """

    def __init__(self, routes: Sequence[Route], rng: np.random.Generator) -> None:
        self._routes = tuple(routes)
        self._radius = np.array([mover_radius(route.kind) for route in routes])
        self._at = np.array([route.start_m for route in routes])
        self._sense = np.where(rng.random(len(routes)) < 0.5, 1.0, -1.0)
        self._heading = np.array([self._heading_along(i) for i in range(len(routes))])
        self._waited = np.zeros(len(routes))
        self._speed = np.zeros(len(routes))
        self._turn = np.zeros(len(routes))

    def advance(self, dt_s: float, robot: NDArray[np.float64], robot_radius_m: float) -> None:
        """Move everybody by ``dt_s`` seconds; the robot stands at ``robot`` (3,)."""
        positions = self._positions()
        for i, route in enumerate(self._routes):
            others = np.delete(positions, i, axis=0)
            bodies = np.concatenate([others, robot[None]])
            radii = np.append(np.delete(self._radius, i), robot_radius_m)
            blocked = self._blocked(i, positions[i], bodies, radii)
            self._waited[i] = self._waited[i] + dt_s if blocked else 0.0
            at_end = self._at[i] <= 0 if self._sense[i] < 0 else self._at[i] >= route.way.length
            if at_end or self._waited[i] > PATIENCE_S:
                self._sense[i] = -self._sense[i]
                self._waited[i] = 0.0
            off = _wrapped(self._heading_along(i) - self._heading[i])
            turn = min(max(off, -TURN_RATE_RADPS * dt_s), TURN_RATE_RADPS * dt_s)
            self._heading[i] += turn
            self._turn[i] = turn / dt_s
            walks = not blocked and abs(off) < math.pi / 4
            self._speed[i] = route.speed_mps if walks else 0.0
            if walks:
                moved = self._at[i] + self._sense[i] * route.speed_mps * dt_s
                self._at[i] = min(max(moved, 0.0), route.way.length)

    def movers(self) -> tuple[Mover, ...]:
        """Everybody's pose and velocity now."""
        result = []
        for i, (route, position) in enumerate(zip(self._routes, self._positions(), strict=True)):
            pose = yaw_pose(position, float(self._heading[i]))
            velocity = self._sense[i] * route.way.direction(self._at[i]) * self._speed[i]
            spin = np.array([0.0, 0.0, self._turn[i]])
            result.append(Mover(route.kind, RigidMotion(pose, velocity, spin)))
        return tuple(result)

    def _positions(self) -> NDArray[np.float64]:
        points = [r.way.position(at) for r, at in zip(self._routes, self._at, strict=True)]
        return np.array(points).reshape(-1, 3)

    def _heading_along(self, i: int) -> float:
        direction = self._sense[i] * self._routes[i].way.direction(self._at[i])
        return math.atan2(direction[1], direction[0])

    def _blocked(
        self, i: int, position: NDArray[np.float64], bodies: NDArray[np.float64], radii: NDArray[np.float64]
    ) -> bool:
        ahead = self._sense[i] * self._routes[i].way.direction(self._at[i])
        offsets = (bodies - position) * [1.0, 1.0, 0.0]
        ranges = np.linalg.norm(offsets, axis=1)
        gaps = ranges - radii - self._radius[i]
        return bool(((gaps < STOP_GAP_M) & (offsets @ ahead > 0.3 * ranges)).any())


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
