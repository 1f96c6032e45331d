"""Walkers keep to free space, cross the robot's way, and never walk into a robot that stands."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.envs.paths import Way, geodesic_path
from asyncmde_sim.envs.walkers import SPEEDS_MPS, Route, Walkers, plan_route, walker_body, walker_kinds
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.generate.movers import mover_radius

ROBOT = RobotBody(0.18, 0.5)
DT_S = 1 / 30


@pytest.fixture(scope="module")
def robot_way(backend) -> Way:
    goal = np.array([11.0, 1.0, 0.0])
    path = geodesic_path(backend.distance_field(goal, ROBOT), np.array([1.0, 4.0, 0.0]), goal, flies=False)
    assert path is not None
    return Way(path)


@pytest.fixture(scope="module")
def routes(backend, robot_way) -> list[Route]:
    rng = np.random.default_rng(0)
    drawn = [plan_route(backend, rng, robot_way) for _ in range(12)]
    return [route for route in drawn if route is not None]


def walk(routes: list[Route], robot: np.ndarray, steps: int, seed: int = 0) -> list:
    walkers = Walkers(routes, np.random.default_rng(seed))
    frames = [walkers.movers()]
    for _ in range(steps):
        walkers.advance(DT_S, robot, ROBOT.radius_m)
        frames.append(walkers.movers())
    return frames


FAR = np.array([100.0, 100.0, 0.0])


def test_a_geodesic_path_goes_through_the_door(backend, robot_way):
    points = robot_way.position(np.linspace(0, robot_way.length, 100))
    assert (backend.clearance(points, ROBOT) > -0.03).all()
    at_door = points[np.argmin(np.abs(points[:, 0] - 5.95))]
    assert 1.5 < at_door[1] < 2.6


def test_routes_are_free_and_cross_the_robots_way(backend, routes, robot_way):
    assert len(routes) >= 3
    robot_points = robot_way.position(np.linspace(0, robot_way.length, 400))
    for route in routes:
        points = route.way.position(np.arange(0, route.way.length, 0.05))
        assert (backend.clearance(points, walker_body(route.kind)) > 0).all()
        apart = np.linalg.norm(points[:, None, :2] - robot_points[None, :, :2], axis=2)
        assert apart.min() < 0.3
        low, high = SPEEDS_MPS[route.kind.split("_")[0]]
        assert low <= route.speed_mps <= high
        assert route.kind in walker_kinds()


def test_velocities_are_the_derivative_of_the_poses(routes):
    frames = walk(routes[:1], FAR, 300)
    positions = np.array([f[0].motion.pose[:3, 3] for f in frames])
    speeds = np.linalg.norm(np.diff(positions, axis=0), axis=1) / DT_S
    given = np.array([f[0].motion.linear_velocity for f in frames[1:]])
    moving = speeds > 0
    assert moving.mean() > 0.5
    assert (np.linalg.norm(given[speeds == 0], axis=1) < 1e-9).all() or (speeds == 0).sum() < 3
    errors = np.linalg.norm(np.diff(positions, axis=0) / DT_S - given, axis=1)[moving]
    assert np.median(errors) < 0.1 * routes[0].speed_mps


def test_the_same_seed_gives_the_same_walk(routes):
    def poses(seed: int) -> np.ndarray:
        return np.array([[m.motion.pose for m in frame] for frame in walk(routes[:3], FAR, 60, seed)])

    assert np.array_equal(poses(1), poses(1))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_standing_robot_is_never_walked_into(routes, index):
    route = routes[index]
    start = route.way.position(route.start_m)
    ahead = [route.way.position(part * route.way.length) for part in (0.25, 0.5, 0.75)]
    robot = max(ahead, key=lambda p: float(np.linalg.norm(p - start)))
    frames = walk([route], robot, 900)
    ranges = [np.linalg.norm(frame[0].motion.pose[:3, 3] - robot) for frame in frames]
    assert min(ranges) > mover_radius(route.kind) + ROBOT.radius_m
    positions = np.array([frame[0].motion.pose[:2, 3] for frame in frames])
    waits = np.linalg.norm(np.diff(positions[-300:], axis=0), axis=1) == 0
    assert 0 < waits.mean() < 1, "it waits a while and then turns round"


def test_nobody_turns_or_steps_into_a_robot_beside_it(routes):
    """Wherever a robot appears next to a walker and stands, their bodies stay apart."""
    rng = np.random.default_rng(0)
    for route in routes[:4]:
        walkers = Walkers([route], rng)
        for _ in range(60):
            walkers.advance(DT_S, FAR, ROBOT.radius_m)
        here = walkers.movers()
        angle = rng.uniform(-np.pi, np.pi)
        away = np.array([np.cos(angle), np.sin(angle), 0.0])
        robot = here[0].motion.pose[:3, 3] + (mover_radius(route.kind) + ROBOT.radius_m) * away
        for _ in range(200):
            walkers.advance(DT_S, robot, ROBOT.radius_m)
            apart = np.linalg.norm(walkers.movers()[0].motion.pose[:3, 3] - robot)
            assert apart > mover_radius(route.kind) + ROBOT.radius_m - 0.02


def test_whoever_is_held_up_by_a_robot_beside_it_backs_away(routes):
    for route in routes[:4]:
        walkers = Walkers([route], np.random.default_rng(0))
        for _ in range(30):
            walkers.advance(DT_S, FAR, ROBOT.radius_m)
        mover = walkers.movers()[0]
        ahead = mover.motion.linear_velocity / max(np.linalg.norm(mover.motion.linear_velocity), 1e-9)
        reach = mover_radius(route.kind) + ROBOT.radius_m + 0.05
        robot = mover.motion.pose[:3, 3] + reach * (ahead if ahead.any() else np.array([1.0, 0, 0]))
        for _ in range(300):
            walkers.advance(DT_S, robot, ROBOT.radius_m)
        assert np.linalg.norm(walkers.movers()[0].motion.pose[:3, 3] - robot) > reach + 0.3


def test_an_empty_walk_has_no_movers():
    assert walk([], FAR, 2)[-1] == ()


def test_a_way_without_length_is_refused():
    with pytest.raises(ValueError, match="two different points"):
        Way(np.zeros((3, 3)))
