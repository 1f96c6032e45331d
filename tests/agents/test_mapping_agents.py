"""The agents that build a map: they arrive, they stand without depth, and forget between episodes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import asyncmde_sim
from asyncmde_sim.agents import agent_for
from asyncmde_sim.scenes.camera import Camera

assert asyncmde_sim.__version__


def make(name, scene, depth="oracle"):
    camera = Camera(width=112, height=84)
    return gym.make(name, scene=scene, camera=camera, depth=depth, disable_env_checker=True)


def episode(env, agent, seed, most=10_000):
    observation, _ = env.reset(seed=seed)
    agent.reset(seed=seed)
    actions = []
    for _ in range(most):
        actions.append(agent.act(observation))
        observation, _, terminated, truncated, info = env.step(actions[-1])
        if terminated or truncated:
            return actions, info
    return actions, info


def test_the_planning_agent_arrives_in_the_other_room(scene):
    env = make("IndoorStatic-v0", scene)
    agent = agent_for(env, "plan")
    _, info = episode(env, agent, 0)
    assert info["success"] and info["episode_metrics"]["spl"] > 0.5
    assert agent.map.frames > 10


@pytest.mark.parametrize(("name", "agent"), [("IndoorStatic-v0", "plan"), ("IndoorExplore-v0", "explore")])
def test_without_depth_it_stands(name, agent, scene):
    env = make(name, scene, depth="blind")
    actions, _ = episode(env, agent_for(env, agent), 0, most=40)
    assert not np.any(actions)


@pytest.mark.parametrize(("name", "agent"), [("IndoorStatic-v0", "plan"), ("IndoorExplore-v0", "explore")])
def test_an_episode_is_the_same_whatever_came_before(name, agent, scene):
    env = make(name, scene)
    fresh, used = agent_for(env, agent), agent_for(env, agent)
    expected, _ = episode(env, fresh, 1, most=150)
    episode(env, used, 2, most=60)
    found, _ = episode(env, used, 1, most=150)
    np.testing.assert_array_equal(found, expected)
