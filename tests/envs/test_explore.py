"""Exploration: what counts as seen, what is reachable, and that time and blindness cost."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

import asyncmde_sim
from asyncmde_sim.agents import agent_for, usual_agent
from asyncmde_sim.envs.coverage import CELL_M, RANGE_M, FloorCoverage, reachable_floor
from asyncmde_sim.envs.robots import make_quad, make_rover
from asyncmde_sim.envs.state import yaw_pose
from asyncmde_sim.scenes.camera import Camera, RigidMotion

assert asyncmde_sim.__version__
ROVER = make_rover(camera=Camera(width=112, height=84))
START = np.array([2.0, 1.0, 0.0])


def make(scene, **options):
    camera = Camera(width=112, height=84)
    return gym.make("IndoorExplore-v0", scene=scene, camera=camera, disable_env_checker=True, **options)


def look(backend, position, yaw):
    pose = yaw_pose(np.array(position, float), yaw) @ ROVER.T_body_camera
    return backend.render(ROVER.camera, RigidMotion(pose)).depth, pose


def test_reachable_floor_is_where_the_robot_fits_and_can_come_to(backend):
    cells = reachable_floor(backend, ROVER, START)
    assert (backend.clearance(cells, ROVER.body) > 0).all()
    assert cells[:, 0].max() > 11.0, "the other room counts"
    radius = ROVER.body.radius_m
    inside = 12.0 * 5.0 - 2 * radius * (12 + 5)
    assert 0.8 * inside < len(cells) * CELL_M**2 < inside


def test_what_is_seen_is_in_view_near_and_not_behind_the_wall(backend):
    cells = reachable_floor(backend, ROVER, START)
    coverage = FloorCoverage(cells, ROVER)
    depth, pose = look(backend, (3.0, 4.0, 0.0), 0.0)
    coverage.see(depth, pose)
    left = {tuple(c) for c in np.round(coverage._unseen, 6)}
    seen = np.array([c for c in cells if tuple(np.round(c, 6)) not in left])
    offset = seen[:, :2] - [3.0, 4.0]
    assert (np.linalg.norm(offset, axis=1) < RANGE_M).all()
    assert (np.abs(np.arctan2(offset[:, 1], offset[:, 0])) < math.pi / 4 + 0.01).all()
    through = seen[seen[:, 0] > 6.0]
    assert len(through) and (through[:, 1] < 2.6).all(), "the other room only through its door"
    assert len(seen) * CELL_M**2 == pytest.approx(coverage.share * coverage.area_m2)
    assert coverage.share > 0.05


def test_seeing_again_adds_nothing_and_order_does_not_matter(backend):
    cells = reachable_floor(backend, ROVER, START)
    views = [look(backend, (3.0, 3.5, 0.0), yaw) for yaw in (0.0, 2.0, 4.0)]
    shares = []
    for order in ((0, 1, 2), (2, 0, 1, 1)):
        coverage = FloorCoverage(cells, ROVER)
        for index in order:
            coverage.see(*views[index])
        shares.append(coverage.share)
    assert shares[0] == shares[1]


def test_no_floor_is_refused():
    with pytest.raises(ValueError, match="no floor to cover"):
        FloorCoverage(np.zeros((0, 3)), ROVER)


def test_rewards_add_up_to_what_was_covered(scene):
    env = make(scene)
    _, info = env.reset(seed=1)
    first, total = info["coverage"], 0.0
    for _ in range(60):
        _, reward, terminated, truncated, info = env.step(np.array([0.0, 0.5], np.float32))
        assert not (terminated or truncated)
        total += reward
    assert info["coverage"] > first
    assert total == pytest.approx(10 * (info["coverage"] - first))


def test_the_exploring_agent_sees_the_floor_and_a_blind_one_does_not(scene):
    outcomes = {}
    for depth in ("oracle", "blind"):
        env = make(scene, depth=depth)
        agent = agent_for(env)
        observation, _ = env.reset(seed=0)
        agent.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(agent.act(observation))
            done = terminated or truncated
        outcomes[depth] = info["episode_metrics"]
    seen, blind = outcomes["oracle"], outcomes["blind"]
    assert seen["success"] and not seen["collided"] and seen["coverage"] >= 0.9
    assert not blind["success"] and blind["path_length"] == 0
    assert seen["mean_coverage"] > blind["mean_coverage"] + 0.3
    assert seen["mean_coverage"] < seen["coverage"]


def test_agents_fit_environments(scene):
    env = make(scene)
    assert usual_agent(env) == "explore"
    with pytest.raises(ValueError, match="'avoid' needs a goal"):
        agent_for(env, "avoid")
    from asyncmde_sim.agents import make_agent

    with pytest.raises(
        ValueError, match=r"'explore' cannot steer the robot 'quad': choose one of avoid, str"
    ):
        make_agent("explore", make_quad())
