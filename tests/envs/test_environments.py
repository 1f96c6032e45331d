"""One contract over every registered environment."""

from __future__ import annotations

import pickle
import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import asyncmde_sim
from asyncmde_sim.envs.registration import ENVIRONMENTS
from asyncmde_sim.envs.state import inverse_pose
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(width=64, height=48)

every_environment = pytest.mark.parametrize("name", sorted(ENVIRONMENTS))


def make(name: str, scene: str | None, **options) -> gym.Env:
    options = {"depth": None, "camera": CAMERA, **options}
    return gym.make(f"asyncmde_sim:{name}", scene=scene, **options)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return bool(np.array_equal(one, other))


def play(env: gym.Env, seed: int, steps: int) -> list:
    """The transitions of ``steps`` random steps; a new episode follows each that ends."""
    env.action_space.seed(seed)
    record = [env.reset(seed=seed)]
    for _ in range(steps):
        record.append(env.step(env.action_space.sample()))
        if record[-1][2] or record[-1][3]:
            record.append(env.reset())
    return record


def equal(one: list, other: list) -> bool:
    return all(same(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@every_environment
def test_gymnasiums_checker_has_no_complaint(name, scene):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(name, scene).unwrapped)


@every_environment
def test_stable_baselines_checker_has_no_complaint(name, scene):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(make(name, scene).unwrapped, warn=True)


@every_environment
def test_a_seed_fixes_the_episode_bit_for_bit(name, scene):
    env = make(name, scene)
    first = play(env, 3, 12)
    assert equal(first, play(env, 3, 12))
    assert equal(first, play(make(name, scene), 3, 12))
    assert not equal(first[:1], play(env, 4, 0))


@every_environment
def test_other_processes_see_the_same_episode(name, scene):
    makers = [partial(make, name, scene)] * 2
    here, there = SyncVectorEnv(makers), AsyncVectorEnv(makers)
    try:
        records = []
        for vector in (here, there):
            vector.action_space.seed(5)
            records.append([vector.reset(seed=[1, 2])[0]])
            records[-1] += [vector.step(vector.action_space.sample())[0] for _ in range(4)]
        assert all(same(one, other) for one, other in zip(*records, strict=True))
    finally:
        there.close()
        here.close()


@every_environment
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_autoreset_mode_goes_on_after_an_episode(name, scene, mode):
    env = SyncVectorEnv([partial(make, name, scene)] * 2, autoreset_mode=mode)
    env.reset(seed=0)
    ended = 0
    action = np.zeros(env.action_space.shape, np.float32)
    action[0, 0] = 1.0
    for _ in range(400):
        _, _, terminated, truncated, info = env.step(action)
        done = terminated | truncated
        if done.any():
            ended += 1
            metrics = (info["final_info"] if mode == AutoresetMode.SAME_STEP else info)["episode_metrics"]
            assert set(metrics) >= {"success", "collided", "path_length", "min_clearance"}
            if mode == AutoresetMode.DISABLED:
                env.reset(options={"reset_mask": done})
        if ended == 2:
            return
    pytest.fail("driving straight on ended no two episodes")


@every_environment
def test_a_pickled_copy_goes_on_like_the_original(name, scene):
    env = make(name, scene)
    play(env, 1, 3)
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        action = env.action_space.sample()
        assert equal([env.step(action)], [copy.step(action)])
    fresh = pickle.loads(pickle.dumps(make(name, scene)))
    assert equal(play(fresh, 2, 2), play(env, 2, 2))


@every_environment
def test_observation_agrees_with_the_truth(name, scene):
    env = make(name, scene)
    observation, info = env.reset(seed=7)
    base = env.unwrapped
    start = base.state.pose
    assert info["clearance"] > 0
    heading = inverse_pose(start)
    env.action_space.seed(0)
    for step in range(1, 8):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert not (terminated or truncated)
        state = base.state
        assert info["time_ns"] == step * base.robot.control_dt_ns
        assert observation["time"][0] == np.float32(info["time_ns"] * 1e-9)
        np.testing.assert_allclose(
            observation["odometry"][:3], (heading @ state.pose)[:3, 3], atol=1e-4, err_msg="odometry"
        )
        np.testing.assert_allclose(state.rotation @ observation["velocity"], state.velocity, atol=1e-5)
        assert info["speed"] == pytest.approx(np.linalg.norm(observation["velocity"]), abs=1e-5)
        np.testing.assert_allclose(info["T_world_camera"], state.pose @ base.robot.T_body_camera)
        assert info["true_depth"].dtype == np.float32
        centre = info["T_world_camera"][:3]
        seen = base.backend.range_along(centre[:, 3][None], centre[:, 2][None], base._movers)[0]
        height, width = info["true_depth"].shape
        around = info["true_depth"][height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1]
        assert around.min() - 0.2 <= seen <= around.max() + 0.2


@pytest.mark.parametrize("name", ["IndoorStatic-v0", "ExtremeMotion-v0"])
def test_the_observed_goal_is_where_the_plan_has_it(name, scene):
    env = make(name, scene)
    observation, info = env.reset(seed=7)
    base = env.unwrapped
    plan = base.plan
    assert info["distance_to_goal"] == pytest.approx(plan.shortest_path_m)
    assert plan.shortest_path_m >= np.linalg.norm(plan.goal - base.state.position) - 0.05
    env.action_space.seed(0)
    for _ in range(7):
        observation, *_ = env.step(env.action_space.sample())
        goal = base.state.position + base.state.rotation @ observation["goal"]
        np.testing.assert_allclose(goal, plan.goal, atol=1e-4)


@every_environment
def test_a_collision_ends_the_episode_and_costs_10(name, scene):
    env = make(name, scene)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    action[0] = 1.0
    moved = 0.0
    for _ in range(500):
        _, reward, terminated, truncated, info = env.step(action)
        moved += info["speed"] * env.unwrapped.dt_s
        if terminated or truncated:
            break
        assert abs(reward) < 1
    metrics = info["episode_metrics"]
    assert terminated and info["collided"] and not info["success"]
    assert reward < -9
    assert metrics["collided"] == 1 and metrics["success"] == 0 and metrics.get("spl", 0) == 0
    assert metrics["min_clearance"] <= 0 and metrics["min_clearance"] == info["clearance"]
    assert metrics["min_time_to_collision"] < 0.3
    assert metrics["path_length"] == pytest.approx(moved, rel=0.1, abs=0.1)
    with pytest.raises(RuntimeError, match="reset"):
        env.unwrapped.step(action)


@every_environment
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_action_is_refused_by_value(name, scene, bad):
    env = make(name, scene).unwrapped
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape, np.float32)
    action[-1] = bad
    with pytest.raises(ValueError, match=str(bad)):
        env.step(action)
    with pytest.raises(ValueError, match="shape"):
        env.step(np.zeros(7, np.float32))


@every_environment
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "prod"}, "prod.*train"),
        ({"num_scenes": 0}, "num_scenes is 0"),
        ({"max_speed_mps": 0.0}, "max_speed_mps is 0"),
        ({"max_speed_mps": float("nan")}, "max_speed_mps is nan"),
        ({"odometry_noise": -1.0}, "odometry_noise is -1"),
        ({"scene": "no-such-scene"}, "no-such-scene"),
        ({"depth": "sonar"}, "sonar"),
    ],
)
def test_a_bad_option_is_refused_before_the_first_step(name, options, said):
    scene = options.get("scene")
    others = {key: value for key, value in options.items() if key != "scene"}
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        make(name, scene, **others)


@every_environment
def test_an_unknown_backend_is_refused_before_the_first_step(name, scene):
    with pytest.raises(ValueError, match="crayons"):
        make(name, scene, backend="crayons")


@every_environment
def test_rendering_shows_the_cameras_image(name, scene):
    env = make(name, scene, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert same(env.render(), observation["image"])


@every_environment
def test_odometry_drifts_only_on_request(name, scene):
    errors = []
    for noise in (0.0, 0.05):
        env = make(name, scene, odometry_noise=noise)
        env.reset(seed=0)
        start = inverse_pose(env.unwrapped.plan.start.pose)
        action = np.zeros(env.action_space.shape, np.float32)
        action[:2] = 0.2, 0.1
        for _ in range(20):
            observation, *_ = env.step(action)
        errors.append(np.abs(observation["odometry"][:3] - (start @ env.unwrapped.state.pose)[:3, 3]).max())
    assert errors[0] < 1e-5 < 1e-4 < errors[1]


@every_environment
def test_depth_is_the_true_depth_with_the_oracle(name, scene):
    env = make(name, scene, depth="oracle")
    observation, info = env.reset(seed=0)
    assert same(observation["depth"], info["true_depth"]) and observation["has_depth"] == 1
    blind = make(name, scene, depth="blind")
    observation, _ = blind.reset(seed=0)
    assert observation["has_depth"] == 0 and not observation["depth"].any()


def test_registering_twice_changes_nothing():
    before = dict(gym.registry)
    asyncmde_sim.register_environments()
    assert gym.registry == before
