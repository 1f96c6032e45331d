"""People and carts that walk their routes.

A walker goes to and fro on a fixed route that stays in free space. It does not plan around anybody. When the
robot or another walker stands within reach in front of it, it stops, and if its way is still taken after a
moment it turns round. With the robot right beside it, it neither turns nor steps except away. So nobody walks
into a robot that waits, but a robot that drives into a walker, or into its way too late, collides.
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
BESIDE_GAP_M = 0.1
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
    """The upright cylinder that a walker sweeps as it walks along its mesh's length: as wide as the mesh."""
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
    halves = [
        path for end in ends[:3] if (path := geodesic_path(field, end, crossing, False, 0.2)) is not None
    ]
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
        count = len(routes)
        self._routes = tuple(routes)
        self._radius = np.array([mover_radius(route.kind) for route in routes])
        self._pace = np.array([route.speed_mps for route in routes])
        self._length = np.array([route.way.length for route in routes])
        self._at = np.array([route.start_m for route in routes])
        self._sense = np.where(rng.random(count) < 0.5, 1.0, -1.0)
        self._waited, self._speed, self._turn = np.zeros(count), np.zeros(count), np.zeros(count)
        self._place()
        self._heading = self._course()

    def advance(self, dt_s: float, robot: NDArray[np.float64], robot_radius_m: float) -> None:
        """Move everybody by ``dt_s`` seconds; the robot stands at ``robot`` (3,)."""
        blocked, beside = self._blocked(robot, robot_radius_m)
        self._waited = np.where(blocked, self._waited + dt_s, 0.0)
        at_end = np.where(self._sense < 0, self._at <= 0, self._at >= self._length)
        turns_round = at_end | (self._waited > PATIENCE_S)
        self._sense[turns_round] *= -1
        self._waited[turns_round] = 0.0
        off = _wrapped(self._course() - self._heading)
        turned = np.clip(off, -TURN_RATE_RADPS * dt_s, TURN_RATE_RADPS * dt_s) * ~beside
        self._heading = self._heading + turned
        self._turn = turned / dt_s
        walks = ~blocked & ((np.abs(off) < math.pi / 4) | beside)
        self._speed = np.where(walks, self._pace, 0.0)
        self._at = np.clip(self._at + self._sense * self._speed * dt_s, 0.0, self._length)
        self._place()

    def movers(self) -> tuple[Mover, ...]:
        """Everybody's pose and velocity now."""
        velocities = (self._sense * self._speed)[:, None] * self._along
        return tuple(
            Mover(
                route.kind,
                RigidMotion(
                    yaw_pose(self._position[i], float(self._heading[i])),
                    velocities[i],
                    np.array([0.0, 0.0, self._turn[i]]),
                ),
            )
            for i, route in enumerate(self._routes)
        )

    def _place(self) -> None:
        """Positions (N, 3) and directions (N, 3) of the ways where everybody is."""
        ways = [(route.way, float(at)) for route, at in zip(self._routes, self._at, strict=True)]
        self._position = np.array([way.position(at) for way, at in ways]).reshape(-1, 3)
        self._along = np.array([way.direction(at) for way, at in ways]).reshape(-1, 3)

    def _course(self) -> NDArray[np.float64]:
        """The headings (N,) in which everybody wants to walk."""
        ahead = self._sense[:, None] * self._along
        return np.arctan2(ahead[:, 1], ahead[:, 0])

    def _blocked(
        self, robot: NDArray[np.float64], robot_radius_m: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whose way (N,) is taken by the robot or by another walker, and who has the robot beside it (N,)."""
        everyone = np.arange(len(self._routes))
        bodies = np.concatenate([self._position, robot[None]])
        radii = np.append(self._radius, robot_radius_m)
        offsets = bodies[None, :, :2] - self._position[:, None, :2]
        ranges = np.linalg.norm(offsets, axis=2)
        ahead = np.einsum("ijk,ik->ij", offsets, self._sense[:, None] * self._along[:, :2])
        gaps = ranges - radii - self._radius[:, None]
        taken = (gaps < STOP_GAP_M) & (ahead > 0.3 * ranges)
        taken[everyone, everyone] = False
        beside = gaps[:, -1] < BESIDE_GAP_M
        return taken.any(axis=1) | (beside & (ahead[:, -1] > 0)), beside


def _wrapped(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    return (angles + math.pi) % (2 * math.pi) - math.pi
