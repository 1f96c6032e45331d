"""Environments on the habitat backend: the same episodes, deaths and restarts, several side by side."""

from __future__ import annotations

import os
import signal
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

import asyncmde_sim  # noqa: F401
from asyncmde_sim.agents import agent_for
from asyncmde_sim.envs.registration import ENVIRONMENTS
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.habitat.client import WorkerLostError

CAMERA = Camera(64, 48)
STEPS = 400


def make(name: str, scene: str, **options) -> gym.Env:
    options = {"depth": "oracle", "camera": CAMERA, "backend": "habitat", **options}
    return gym.make(f"asyncmde_sim:{name}", scene=scene, disable_env_checker=True, **options)


def episode(env: gym.Env, seed: int, actions: list | None = None) -> tuple[list, list[dict], bool]:
    """Actions (the agent's, or those given), infos and whether it ended, of at most ``STEPS`` steps."""
    agent = agent_for(env)
    agent.reset(seed=seed)
    observation, info = env.reset(seed=seed)
    infos, taken = [info], []
    for step in range(STEPS):
        action = agent.act(observation) if actions is None else actions[step]
        observation, _, terminated, truncated, info = env.step(action)
        taken.append(action)
        infos.append(info)
        if terminated or truncated:
            return taken, infos, True
    return taken, infos, False


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_the_same_seed_and_actions_give_the_same_episode(name, kind, room):
    env = make(name, room, backend="raycast")
    actions, expected, ended = episode(env, seed=3)
    env = make(name, room)
    _, found, also_ended = episode(env, 3, actions)
    env.close()
    assert len(found) == len(expected) and also_ended == ended
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one["T_world_camera"], other["T_world_camera"])
        assert (one["success"], one["collided"]) == (other["success"], other["collided"])
        assert one["clearance"] == pytest.approx(other["clearance"], abs=1e-9)
        for task in {"distance_to_goal", "coverage"} & other.keys():
            assert one[task] == pytest.approx(other[task], rel=0.02, abs=0.05)
        assert np.median(np.abs(one["true_depth"] - other["true_depth"])) < 0.01


def test_the_flying_robot_has_a_global_shutter_unless_it_is_told(room):
    env = make("ExtremeMotion-v0", room, camera=None)
    camera = env.unwrapped.robot.camera
    assert camera.readout_s == 0 and camera.exposure_s > 0
    with pytest.raises(ValueError, match=r"readout_s is 0\.01, but the habitat backend has no"):
        make("ExtremeMotion-v0", room, camera=Camera(64, 48, readout_s=0.01))


@pytest.mark.parametrize("restart", [False, True])
def test_a_death_ends_the_episode_and_a_restart_goes_on_with_the_next(restart, room):
    env = make("IndoorStatic-v0", room, restart=restart)
    undisturbed, _ = env.reset(seed=1)
    os.kill(env.unwrapped.backend.worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="was killed"):
        env.step(np.zeros(2, np.float32))
    if restart:
        again, _ = env.reset(seed=1)
        assert np.array_equal(again["image"], undisturbed["image"])
        env.step(np.zeros(2, np.float32))
    else:
        with pytest.raises(WorkerLostError, match="was killed"):
            env.reset(seed=1)
    env.close()


def test_closing_ends_the_process_and_a_reset_starts_another(room):
    env = make("IndoorStatic-v0", room)
    env.reset(seed=0)
    first = env.unwrapped.backend.worker
    env.reset(seed=1)
    assert env.unwrapped.backend.worker is first
    env.close()
    assert first.lost and not os.path.exists(f"/proc/{first.pid}")
    env.reset(seed=0)
    assert env.unwrapped.backend.worker is not first
    env.close()


def test_four_environments_side_by_side(kind, room):
    envs = AsyncVectorEnv([partial(make, "IndoorDynamic-v0", room)] * 4)
    alone = make("IndoorDynamic-v0", room)
    try:
        observations, _ = envs.reset(seed=[0, 1, 2, 3])
        expected, _ = alone.reset(seed=2)
        for _ in range(5):
            actions = np.full((4, 2), 0.5, np.float32)
            observations, *_ = envs.step(actions)
            expected, *_ = alone.step(actions[0])
        assert np.array_equal(observations["image"][2], expected["image"])
        assert not np.array_equal(observations["image"][1], expected["image"])
    finally:
        envs.close()
        alone.close()
