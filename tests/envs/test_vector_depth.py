"""Depth for many environments is what each would get alone."""

from __future__ import annotations

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from asyncmde_sim.envs.depth_wrapper import DepthWrapper
from asyncmde_sim.envs.vector_depth import VectorDepthWrapper, info_of, rendering_workers
from asyncmde_sim.runtime import LatencyDistribution, LatencyProfile, make_source
from asyncmde_sim.runtime.async_sources import AsyncSource
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.sources import SinglePathSource
from asyncmde_sim.scenes.camera import Camera

SIDE, STEP_NS = 36, 10_000_000
ADDED = ("depth", "has_depth", "depth_age", "content_age", "refresh_age", "trust")
COUNTS = ("frames_dropped", "slow_runs", "fast_runs")


class Numbers(gym.Env):
    """The image's value counts the steps; episodes end after a number of steps that is drawn."""

    observation_space = gym.spaces.Dict({"image": gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.number, self.steps = int(self.np_random.integers(50, 100)), 0
        self.last = int(self.np_random.integers(4, 12))
        return self._told()

    def step(self, action):
        self.number, self.steps = self.number + 1, self.steps + 1
        observation, info = self._told()
        return observation, float(self.steps), self.steps == self.last, False, info

    def _told(self):
        image = np.full((SIDE, SIDE, 3), self.number, np.uint8)
        truth = np.full((SIDE, SIDE), self.number / 20, np.float32)
        return {"image": image}, {"time_ns": self.steps * STEP_NS, "true_depth": truth}


def profile(fast_ms, slow_ms):
    fast, slow = (LatencyDistribution(tuple(round(v * 1e6) for v in ms)) for ms in (fast_ms, slow_ms))
    return LatencyProfile("test", "made up", fast, fast, slow, slow)


class SizedEngines:
    """The fakes of conftest, whose depth has the image's size."""

    def __init__(self, engines):
        self.slow, self.single, self.fast = (_Sized(getattr(engines, n)) for n in ("slow", "single", "fast"))


class _Sized:
    def __init__(self, engine):
        self._engine = engine

    def run(self, image, *state):
        told = self._engine.run(image, *state)
        depth, *rest = told if isinstance(told, tuple) else (told,)
        depth = np.full(image.shape[:2], depth[0, 0] / 40, np.float32)
        return (depth, *rest) if rest else depth

    def __getattr__(self, name):
        return getattr(self._engine, name)


SOURCES = {
    "random latencies": lambda e: AsyncSource(e, profile((4.0, 13.0), (25.0, 31.0, 40.0)), FreeRunning()),
    "no latency": lambda e: AsyncSource(e, profile((0.0,), (0.0,)), FreeRunning()),
    "slow path alone": lambda e: SinglePathSource("slow", e, profile((4.0,), (25.0, 31.0))),
    "true depth": lambda e: make_source("oracle", latency_ms=15),
}


def alone(make, seed, steps):
    """What one environment gives that starts again when it ends."""
    env = make()
    told = [env.reset(seed=seed)]
    ends = []
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        if terminated or truncated:
            ends.append((len(told), observation, info))
            observation, info = env.reset()
        told.append((observation, info))
    return told, ends


def assert_same(a, b):
    for name in ADDED:
        assert np.array_equal(a[0][name], b[0][name]), name
    for name in (*COUNTS, "time_ns", "depth_scores"):
        assert a[1].get(name) == b[1].get(name), name


@pytest.mark.parametrize("name", list(SOURCES))
def test_each_environment_gets_what_it_would_get_alone(make_engines, name):
    engines = SizedEngines(make_engines())
    env = VectorDepthWrapper(
        SyncVectorEnv([Numbers] * 3, autoreset_mode=AutoresetMode.SAME_STEP),
        partial(SOURCES[name], engines),
    )
    single = [
        alone(lambda: DepthWrapper(Numbers(), SOURCES[name](engines)), 7 + index, 40) for index in range(3)
    ]
    observations, infos = env.reset(seed=7)
    ends = [list(each[1]) for each in single]
    for step in range(41):
        if step:
            observations, _, terminated, _, infos = env.step(np.zeros((3, 1), np.float32))
        assert env.observation_space.contains(observations)
        for index in range(3):
            mine = {key: value[index] for key, value in observations.items()}
            assert_same((mine, info_of(infos, index)), single[index][0][step])
            if step and terminated[index]:
                at, observation, info = ends[index].pop(0)
                assert at == step
                assert_same(
                    (infos["final_obs"][index], info_of(infos["final_info"], index)), (observation, info)
                )
    assert not any(ends)
    env.close()


def test_environments_that_reset_in_the_next_step(make_engines):
    engines = SizedEngines(make_engines())
    make = partial(SOURCES["random latencies"], engines)
    env = VectorDepthWrapper(SyncVectorEnv([Numbers] * 2, autoreset_mode=AutoresetMode.NEXT_STEP), make)
    single = DepthWrapper(Numbers(), make())
    observations, infos = env.reset(seed=[3, 8])
    told, over = single.reset(seed=8), False
    for _ in range(40):
        assert_same(({k: v[1] for k, v in observations.items()}, info_of(infos, 1)), told)
        observations, _, _, _, infos = env.step(np.zeros((2, 1), np.float32))
        if over:
            told, over = single.reset(), False
        else:
            observation, _, over, _, info = single.step(np.zeros(1, np.float32))
            told = observation, info
    env.close()


def test_rendering_workers_hand_over_true_depth_and_images(scene):
    def make_plain(scene=scene):
        options = {"camera": Camera(64, 48), "scene": scene}
        return gym.make("asyncmde_sim:IndoorStatic-v0", depth=None, disable_env_checker=True, **options)

    plain = rendering_workers(make_plain, 2)
    robot = plain.get_attr("robot")[0]
    env = VectorDepthWrapper(plain, partial(make_source, "fast", "orin-trt"), robot)
    single = DepthWrapper(make_plain(), make_source("fast", "orin-trt"))
    observations, infos = env.reset(seed=5)
    told = single.reset(seed=6)
    action = np.array([0.5, 0.3], np.float32)
    for _ in range(4):
        mine = {name: values[1] for name, values in observations.items()}, info_of(infos, 1)
        assert_same(mine, told)
        assert "true_depth" not in observations
        assert np.array_equal(mine[0]["image"], told[0]["image"])
        assert np.array_equal(mine[1]["true_depth"], told[1]["true_depth"])
        observations, _, _, _, infos = env.step(np.stack([action, action]))
        observation, _, _, _, info = single.step(action)
        told = observation, info
    env.close()


def test_environments_that_do_not_reset_themselves_are_refused():
    env = SyncVectorEnv([Numbers], autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ValueError, match="autoreset_mode"):
        VectorDepthWrapper(env, lambda: make_source("oracle"))


def test_at_least_one_environment():
    with pytest.raises(ValueError, match="number of environments is 0"):
        rendering_workers(Numbers, 0)
