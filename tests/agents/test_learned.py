"""Policies: their files, what they refuse, and how they act."""

from __future__ import annotations

import dataclasses
import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asyncmde_sim.agents import agent_for
from asyncmde_sim.agents.learned.agent import LearnedAgent, act_on
from asyncmde_sim.agents.learned.files import PolicyConfig, load_policy, new_network, save_policy
from asyncmde_sim.agents.learned.folders import CONFIG_FILE, NETWORK_FILE, find_policy, shipped_policies
from asyncmde_sim.agents.learned.view import view_for
from asyncmde_sim.envs.learning import ViewConfig
from asyncmde_sim.scenes.camera import Camera

VIEW = ViewConfig(height=36, width=48, directions=16)


def make_env(scene, env="IndoorStatic-v0"):
    options = {"scene": scene, "camera": Camera(64, 48)}
    return gym.make(f"asyncmde_sim:{env}", depth="oracle", disable_env_checker=True, **options)


@pytest.fixture
def env(scene):
    return make_env(scene)


@pytest.fixture
def folder(env, tmp_path):
    save_policy(
        new_network(env, VIEW, 0), PolicyConfig.for_env(env, VIEW, {"env": "IndoorStatic-v0"}), tmp_path
    )
    return tmp_path


def test_a_policy_acts_the_same_when_it_was_saved_and_loaded(env, folder):
    _, config = load_policy(folder, env)
    assert config.view == VIEW and config.training["env"] == "IndoorStatic-v0"
    view, agent = view_for(VIEW, env), agent_for(env, str(folder))
    fresh = new_network(env, VIEW, 0).eval()
    assert isinstance(agent, LearnedAgent)
    for seed in (1, 2):
        observation, _ = env.reset(seed=seed)
        agent.reset(seed=seed)
        view.reset()
        for _ in range(4):
            action = agent.act(observation)
            assert env.action_space.contains(action)
            assert np.array_equal(action, act_on(fresh, view.see(observation)))
            observation, *_ = env.step(action)


def test_an_episode_leaves_nothing_to_the_next(env, folder):
    agent = agent_for(env, str(folder))
    told = []
    for _ in range(2):
        observation, _ = env.reset(seed=4)
        agent.reset(seed=4)
        actions = []
        for _ in range(8):
            actions.append(agent.act(observation))
            observation, *_ = env.step(actions[-1])
        told.append(np.array(actions))
    assert np.array_equal(*told)


def test_policies_for_another_robot_or_task_are_refused(scene, folder):
    explore = make_env(scene, "IndoorExplore-v0")
    with pytest.raises(ValueError, match=r"a task with a goal: True, but the environment has False"):
        agent_for(explore, str(folder))
    quad = make_env(None, "ExtremeMotion-v0")
    with pytest.raises(ValueError, match="for the robot rover, but the environment has quad"):
        agent_for(quad, str(folder))


def test_a_policy_with_another_view_than_its_network_is_refused(env, folder):
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["view"]["directions"] = 24
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"torso.around.5.weight of shape"):
        agent_for(env, str(folder))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "other"}', '{"format": "asyncmde-sim policy"}'])
def test_a_corrupt_description_is_refused(env, folder, content):
    (folder / CONFIG_FILE).write_text(content)
    with pytest.raises(ValueError, match=rf"{CONFIG_FILE} is no policy"):
        agent_for(env, str(folder))


def test_a_corrupt_network_is_refused(env, folder):
    whole = (folder / NETWORK_FILE).read_bytes()
    (folder / NETWORK_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{NETWORK_FILE} cannot be read"):
        agent_for(env, str(folder))
    (folder / NETWORK_FILE).write_bytes(whole)
    tensors = load_file(folder / NETWORK_FILE)
    tensors["action.bias"][0] = torch.nan
    save_file(tensors, folder / NETWORK_FILE)
    with pytest.raises(ValueError, match=r"action\.bias that are not finite"):
        agent_for(env, str(folder))


def test_what_is_no_policy_is_refused(env, tmp_path):
    with pytest.raises(ValueError, match=r"there is no policy .* scripts/train_agent\.py"):
        find_policy(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"unknown agent .* folder of a policy"):
        agent_for(env, str(tmp_path / "nowhere"))


def test_an_answer_that_is_not_finite_stops_the_agent(env):
    network = new_network(env, VIEW, 0)
    with torch.no_grad():
        network.action.bias.fill_(torch.inf)
    observation, _ = env.reset(seed=0)
    with pytest.raises(FloatingPointError, match="not finite"):
        act_on(network, view_for(VIEW, env).see(observation))


def test_robots_without_a_map_have_policies_too():
    env = make_env(None, "ExtremeMotion-v0")
    view = dataclasses.replace(VIEW, directions=0)
    network = new_network(env, view, 0)
    assert network.torso.around is None
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(act_on(network, view_for(view, env).see(observation)))


@pytest.mark.parametrize("name", ["learned-oracle", "learned-async"])
def test_shipped_policies_drive(env, name):
    assert name in shipped_policies()
    assert (find_policy(name) / NETWORK_FILE).stat().st_size < 2_000_000
    agent = agent_for(env, name)
    observation, info = env.reset(seed=0)
    agent.reset(seed=0)
    way = info["distance_to_goal"]
    for _ in range(90):
        observation, _, _, _, info = env.step(agent.act(observation))
    assert info["distance_to_goal"] < way - 0.5 and not info["collided"]
