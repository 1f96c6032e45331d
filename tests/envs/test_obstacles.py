"""Runners wait beside the way, and meet a robot that goes on as it is in the middle of their rail."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from asyncmde_sim.envs.obstacles import KIND, NEAR_M, Runner, draw_runners
from asyncmde_sim.envs.paths import Way
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.generate.movers import mover_mesh

RUNNER = Runner(np.array([5.0, -1.2, 1.0]), math.pi / 2, travel_m=2.4, lead_s=0.8)
"""Runs along y through (5, 0)."""
DT_S = 1 / 60


def robot_at(x: float, speed: float, y: float = 0.0) -> BodyState:
    return BodyState(yaw_pose(np.array([x, y, 1.0]), 0.0), np.array([speed, 0.0, 0.0]))


def foot(runner: Runner, since_s: float) -> np.ndarray:
    return runner.at(since_s).motion.pose[:3, 3]


def test_it_waits_runs_at_constant_speed_and_stays():
    end = RUNNER.start + np.array([0.0, 2.4, 0.0])
    np.testing.assert_allclose(foot(RUNNER, -math.inf), RUNNER.start)
    np.testing.assert_allclose(foot(RUNNER, RUNNER.lead_s), (RUNNER.start + end) / 2, atol=1e-12)
    np.testing.assert_allclose(foot(RUNNER, 100.0), end)
    for since in (-1.0, 0.3, 1.2, 5.0):
        moved = (foot(RUNNER, since + 1e-4) - foot(RUNNER, since - 1e-4)) / 2e-4
        np.testing.assert_allclose(RUNNER.at(since).motion.linear_velocity, moved, atol=1e-6)


@pytest.mark.parametrize("speed", [2.0, 4.0, 6.0])
@pytest.mark.parametrize("direction", [1, -1])
def test_it_meets_a_robot_that_goes_on_as_it_is(speed, direction):
    x, time = 5.0 - 8.0 * direction, 0.0
    while not RUNNER.is_set_off_by(robot_at(x, direction * speed)):
        x, time = x + direction * speed * DT_S, time + DT_S
        assert time < 8.0 / speed
    set_off_at = x
    while (5.0 - x) * direction > 0:
        x, time = x + direction * speed * DT_S, time + DT_S
    since = abs(x - set_off_at) / speed
    apart = foot(RUNNER, since)[:2] - [x, 0.0]
    assert np.linalg.norm(apart) < 2 * DT_S * (speed + RUNNER.speed_mps)


def test_a_slow_robot_sets_it_off_in_time_to_stop():
    assert not RUNNER.is_set_off_by(robot_at(5.0 - NEAR_M - 0.01, 0.1))
    assert RUNNER.is_set_off_by(robot_at(5.0 - NEAR_M + 0.01, 0.1))


@pytest.mark.parametrize("robot", [robot_at(3.0, -5.0), robot_at(7.0, 5.0), robot_at(3.0, 5.0, y=2.0)])
def test_a_robot_that_does_not_cross_its_rail_leaves_it_where_it_is(robot):
    assert not RUNNER.is_set_off_by(robot)


def test_drawn_runners_cross_the_way_and_nothing_else(backend):
    way = Way(np.array([[0.6, 2.5, 1.4], [11.4, 2.5, 1.4]]))
    near = Way(np.array([[0.6, 4.9, 1.2], [11.4, 4.9, 1.2]]))
    leads = (0.8, 1.2)
    runners = draw_runners(backend, way, 6, leads, np.random.default_rng(0))
    again = draw_runners(backend, way, 6, leads, np.random.default_rng(0))
    assert runners and [r.start.tolist() for r in runners] == [r.start.tolist() for r in again]
    on_way = way.position(np.linspace(0, way.length, 500))
    for runner in runners:
        assert leads[0] <= runner.lead_s <= leads[1]
        rise = np.array([0, 0, mover_mesh(KIND).bounds[1, 2] / 2])
        along = [foot(runner, t) + rise for t in np.linspace(0, 2 * runner.lead_s, 20)]
        assert (backend.clearance(np.array(along), RobotBody(0.03, flies=True)) > 0).all()
        middle = foot(runner, runner.lead_s) + rise
        assert np.linalg.norm(on_way - middle, axis=1).min() < 0.05
    assert not draw_runners(backend, near, 6, leads, np.random.default_rng(0)), "a wall leaves them no room"


def test_in_the_environment_they_wait_for_the_robot():
    env = gym.make("asyncmde_sim:ExtremeMotion-v0").unwrapped
    env.reset(seed=1)
    runners = env._runners
    waiting = [r.at(-math.inf).motion.pose for r in runners]
    assert runners
    for _ in range(60):
        env.step(np.zeros(4, np.float32))
    np.testing.assert_array_equal([m.motion.pose for m in env._movers], waiting)
    env.reset(seed=1)
    ahead, left, _ = env.state.pose[:3, :3].T
    middle = env.state.position + 2.0 * ahead - [0.0, 0.0, 0.8]
    env._runners[0] = Runner(middle - 1.2 * left, math.atan2(left[1], left[0]), travel_m=2.4, lead_s=0.8)
    while env._set_off_s[0] == math.inf and env.time_s < 1.5:
        env.step(np.array([1.0, 0, 0, 0], np.float32))
    set_off_s = env._set_off_s[0]
    assert 0.2 < set_off_s < 1.0
    assert env._movers_at(set_off_s + 0.4)[0].motion.pose[:3, 3] == pytest.approx(middle - 0.6 * left)
