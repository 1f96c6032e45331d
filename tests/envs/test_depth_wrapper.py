"""The depth wrapper around environments that know nothing of it."""

from __future__ import annotations

import pickle
import warnings
from itertools import pairwise
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from asyncmde_sim.envs.depth_stream import MAX_AGE_S, TRUTH_HISTORY
from asyncmde_sim.envs.depth_wrapper import DepthWrapper
from asyncmde_sim.metrics.depth import obstacle_error, score_frame
from asyncmde_sim.runtime import Estimate, LatencyDistribution, LatencyProfile, SourceCounts, make_source
from asyncmde_sim.runtime.async_sources import AsyncSource
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.sources import DelayedSource, OracleSource, SinglePathSource

DT_NS = 10_000_000
SIDE = 36


class Corridor(gym.Env):
    """A wall that comes nearer at a random pace. The image is the observation; grey level is depth in dm."""

    observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE + 8, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level, self.steps = 180, 0
        return self._image(), self._info()

    def step(self, action):
        self.steps += 1
        self.level = max(5, self.level - int(self.np_random.integers(1, 9)))
        return self._image(), 0.0, self.level < 20, False, self._info()

    def _image(self):
        return np.full(self.observation_space.shape, self.level, np.uint8)

    def _info(self):
        return {"true_depth": np.full((SIDE, SIDE + 8), self.level / 10, np.float32)}


class Robot(Corridor):
    """The same with a Dict observation, its own clock, and a robot."""

    observation_space = gym.spaces.Dict(
        {"camera": Corridor.observation_space, "speed": gym.spaces.Box(-1, 1, (1,), np.float32)}
    )
    robot = SimpleNamespace(camera=SimpleNamespace(max_range_m=15.0))

    def _image(self):
        image = np.full((SIDE, SIDE + 8, 3), self.level, np.uint8)
        return {"camera": image, "speed": np.zeros(1, np.float32)}

    def _info(self):
        return {**super()._info(), "time_ns": 5_000 + self.steps * DT_NS}


class Pictures(Corridor):
    """The same without true depth."""

    def _info(self):
        return {}


class FakeEngines:
    """Depth is the grey level in dm; the memory is the last refresh's level, the trust its share of 255."""

    @property
    def slow(self):
        return SimpleNamespace(run=_depth, memory=lambda image: float(image[0, 0, 0]))

    @property
    def single(self):
        return SimpleNamespace(run=_depth)

    @property
    def fast(self):
        return SimpleNamespace(
            run=lambda image, memory: (_depth(image), memory, np.full((4, 5), memory / 255, np.float32)),
            refreshed=lambda state, memory: memory,
        )


def _depth(image):
    return (image[..., 0] / 10).astype(np.float32)


def profile(fast_ms=(4.0,), slow_ms=(25.0,)):
    fast, slow = (LatencyDistribution(tuple(round(v * 1e6) for v in ms)) for ms in (fast_ms, slow_ms))
    return LatencyProfile("test", "made up", fast, fast, slow, slow)


def asynchronous(**options):
    return AsyncSource(FakeEngines(), profile(**options), FreeRunning())


def wrapped(source=None, env=Corridor):
    return DepthWrapper(env(), source or OracleSource(), frame_interval_ns=DT_NS)


def episode(env, seed=0, steps=15):
    """All observations and infos of an episode's first steps."""
    told = [env.reset(seed=seed)]
    for _ in range(steps):
        observation, _, _, _, info = env.step(np.zeros(1, np.float32))
        told.append((observation, info))
    return told


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return np.array_equal(a, b)


SOURCES = {
    "oracle": OracleSource,
    "delayed": lambda: DelayedSource(OracleSource(), 3 * DT_NS),
    "foundation": lambda: SinglePathSource("slow", FakeEngines(), profile()),
    "fast": lambda: SinglePathSource("fast", FakeEngines(), profile(fast_ms=(3.0, 14.0))),
    "async": lambda: asynchronous(slow_ms=(25.0, 61.0)),
    "blind": lambda: make_source("blind"),
}


@pytest.mark.parametrize("source", list(SOURCES))
@pytest.mark.parametrize("env", [Corridor, Robot])
def test_gymnasiums_checker_has_nothing_to_say(source, env):
    key = "camera" if env is Robot else "image"
    made = DepthWrapper(env(), SOURCES[source](), image_key=key, frame_interval_ns=DT_NS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        warnings.filterwarnings("ignore", message=".*does not have a spec|.*spec is None|.*environment spec")
        check_env(made, skip_render_check=True)


def test_stable_baselines_checker_has_nothing_to_say():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # its policies take no maps but uint8 images: it would have depth in metres flattened
        warnings.filterwarnings("ignore", message="Your observation depth has an unconventional shape")
        checker.check_env(wrapped(asynchronous()))


@pytest.mark.parametrize("source", list(SOURCES))
def test_every_observation_is_in_its_space_and_new(source):
    env = wrapped(SOURCES[source]())
    told = episode(env)
    for observation, info in told:
        assert env.observation_space.contains(observation)
        numbers = [v for v in info.get("depth_scores", {}).values()]
        assert np.isfinite(numbers).all()
    for (before, info_before), (after, info_after) in pairwise(told):
        for one, other in ((before, after), (info_before, info_after)):
            shared = [k for k in one if isinstance(one[k], np.ndarray) and k in other]
            assert not any(np.shares_memory(one[k], other[k]) for k in shared)


def test_writing_into_an_observation_changes_nothing_that_follows():
    told = []
    for spoil in (False, True):
        env = wrapped(SOURCES["delayed"]())
        observations = [env.reset(seed=0)]
        for _ in range(8):
            if spoil:
                observations[-1][0]["depth"][:] = 0
                observations[-1][0]["image"][:] = 0
                observations[-1][1]["true_depth"][:] = 3
            observation, _, _, _, info = env.step(np.zeros(1, np.float32))
            observations.append((observation, info))
        told.append(observations[-1])
    assert same(told[0][0], told[1][0])
    assert same(told[0][1], told[1][1])


@pytest.mark.parametrize("lag", [1, 4])
def test_constant_latency_shifts_depth_by_whole_frames(lag):
    undelayed = [o["depth"] for o, _ in episode(wrapped())]
    delayed = episode(wrapped(DelayedSource(OracleSource(), lag * DT_NS)))
    assert all(same(o["depth"], u) for (o, _), u in zip(delayed[lag:], undelayed[:-lag], strict=True))
    for number, (observation, info) in enumerate(delayed):
        assert observation["has_depth"] == (number >= lag)
        age = np.float32(min(number, lag) * DT_NS / 1e9)
        assert observation["depth_age"] == observation["content_age"] == age
        assert ("depth_scores" in info) == (number >= lag)
        if number < lag:
            assert not observation["depth"].any()
            assert observation["refresh_age"] == age


def test_law_5_the_model_is_scored_on_its_own_frame_and_the_stream_on_the_present_one():
    lag = 3
    told = episode(wrapped(DelayedSource(OracleSource(), lag * DT_NS)))
    for number, (_, info) in enumerate(told[lag:], start=lag):
        scores = info["depth_scores"]
        then, now = told[number - lag][1]["true_depth"], info["true_depth"]
        wanted = score_frame(then, now, 20.0)
        assert (scores["abs_rel"], scores["delta1"]) == (0.0, 1.0)
        assert (scores["streaming_abs_rel"], scores["streaming_delta1"]) == (wanted.abs_rel, wanted.delta1)
        assert scores["streaming_abs_rel"] > 0
        assert scores.get("obstacle_abs_rel", 0.0) == 0.0
        assert scores.get("streaming_obstacle_abs_rel") == obstacle_error(then, now, 20.0)


def test_ages_and_counts_of_an_asynchronous_source():
    told = episode(wrapped(asynchronous()))
    # refreshes: frame 0 lands at 25 ms, 2 at 50, 5 at 75, 7 at 100, 10 at 125, 12 at 150 ms
    observation, info = told[11]
    assert info["slow_runs"] == 5
    assert observation["has_depth"] == 1
    assert observation["depth_age"] == np.float32(0.010)
    assert observation["refresh_age"] == np.float32(0.010)
    assert observation["content_age"] == np.float32(0.040)
    level = told[7][0]["image"][0, 0, 0]
    assert observation["trust"] == pytest.approx(level / 255)
    assert info["trust_map"].shape == (4, 5)
    # frames 0 and 1 came before the first refresh had landed
    assert info["frames_dropped"] == 2
    assert info["fast_runs"] == 10


def test_depth_is_bounded_and_finite_whatever_a_source_gives():
    class Wild(OracleSource):
        def newest(self, now_ns):
            depth = np.zeros((SIDE, SIDE + 8), np.float32)
            depth[0, :5] = [np.nan, np.inf, -np.inf, -1.0, 99.0]
            return Estimate(depth, now_ns, now_ns, now_ns, now_ns)

    env = wrapped(Wild())
    observation, info = env.reset(seed=0)
    assert observation["depth"][0, :5].tolist() == [0, 20, 0, 0, 20]
    assert env.observation_space.contains(observation)
    assert np.isfinite(list(info["depth_scores"].values())).all()


def test_an_estimate_of_another_size_is_refused():
    class Small(OracleSource):
        def newest(self, now_ns):
            return Estimate(np.ones((4, 4), np.float32), now_ns, now_ns, now_ns, now_ns)

    with pytest.raises(ValueError, match=r"shape \(4, 4\) for images of \(36, 44\)"):
        wrapped(Small()).reset()


@pytest.mark.parametrize("source", list(SOURCES))
def test_the_same_seed_gives_the_same_episode_and_no_episode_leaks_into_the_next(source):
    used, fresh = wrapped(SOURCES[source]()), wrapped(SOURCES[source]())
    episode(used, seed=9, steps=7)
    assert all(
        same(a, b)
        for a, b in zip(episode(used, 4), episode(fresh, 4), strict=True)
        for a, b in [(a[0], b[0])]
    )
    # without a seed the stream of latencies goes on, and is the same every time
    assert same(episode(used, None)[-1][0]["content_age"], episode(fresh, None)[-1][0]["content_age"])


def test_the_estimate_is_there_for_pictures():
    env = wrapped(SOURCES["delayed"]())
    env.reset(seed=0)
    assert env.estimate is None
    for _ in range(4):
        env.step(np.zeros(1, np.float32))
    assert env.estimate.capture_ns == DT_NS
    env.reset(seed=0)
    assert env.estimate is None


@pytest.mark.parametrize("source", ["oracle", "delayed", "blind"])
def test_pickling_in_mid_episode_goes_on_as_if_nothing_had_happened(source):
    env = wrapped(SOURCES[source]())
    episode(env, steps=5)
    copy = pickle.loads(pickle.dumps(env))
    one, other = (e.step(np.zeros(1, np.float32)) for e in (env, copy))
    assert same(one[0], other[0])
    assert same(one[4], other[4])


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_environments_reset_it(mode):
    make = lambda: gym.wrappers.TimeLimit(wrapped(SOURCES["delayed"]()), 6)  # noqa: E731
    envs = SyncVectorEnv([make, make], autoreset_mode=mode)
    envs.reset(seed=0)
    seen = []
    for _ in range(6):
        observation, _, terminated, truncated, _ = envs.step(np.zeros((2, 1), np.float32))
        seen.append(observation["has_depth"].tolist())
        done = terminated | truncated
        if mode == AutoresetMode.DISABLED and done.any():
            observation, _ = envs.reset(options={"reset_mask": done})
    assert seen[:3] == [[0, 0], [0, 0], [1, 1]]
    if mode == AutoresetMode.NEXT_STEP:
        observation, *_ = envs.step(np.zeros((2, 1), np.float32))
    assert observation["has_depth"].tolist() == [0, 0]
    assert not observation["depth"].any()


def test_an_environment_without_true_depth_has_no_scores_and_no_oracle():
    told = episode(wrapped(SOURCES["fast"](), Pictures))
    assert told[-1][0]["has_depth"] == 1
    assert "depth_scores" not in told[-1][1]
    with pytest.raises(ValueError, match=r"'oracle' needs the true depth .* info\['true_depth'\]"):
        wrapped(OracleSource(), Pictures).reset()


def test_time_and_range_come_from_the_environment_where_it_has_them():
    env = DepthWrapper(Robot(), OracleSource(), image_key="camera")
    observation, _ = env.reset(seed=0)
    assert env.observation_space["depth"].high.max() == 15.0
    assert observation["depth"].max() == 15.0
    assert env.estimate.capture_ns == 5_000
    assert set(observation) >= {"camera", "speed"}
    env.step(np.zeros(1, np.float32))
    assert env.estimate.capture_ns == 5_000 + DT_NS


def test_the_age_of_an_estimate_is_bounded_and_its_truth_may_be_forgotten():
    class Once(OracleSource):
        first = None

        def newest(self, now_ns):
            self.first = self.first or super().newest(now_ns)
            return self.first

        @property
        def counts(self):
            return SourceCounts()

    env = DepthWrapper(Corridor(), Once(), frame_interval_ns=round(MAX_AGE_S / 4 * 1e9))
    told = episode(env, steps=TRUTH_HISTORY)
    assert told[5][0]["content_age"] == told[5][0]["refresh_age"] == MAX_AGE_S
    assert "depth_scores" in told[TRUTH_HISTORY - 1][1]
    assert "depth_scores" not in told[TRUTH_HISTORY][1]


def test_truth_without_a_valid_pixel_gives_no_scores():
    class Fog(Corridor):
        def _info(self):
            return {"true_depth": np.zeros((SIDE, SIDE + 8), np.float32)}

    assert all("depth_scores" not in info for _, info in episode(wrapped(env=Fog)))


def space_env(space):
    env = Corridor()
    env.observation_space = space
    return env


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Box(0, 255, (SIDE, 31, 3), np.uint8), r"31 x 36 px.*at least 32 px"),
        (gym.spaces.Box(0, 1, (SIDE, SIDE, 3), np.float32), r"needs an RGB image"),
        (gym.spaces.Box(0, 255, (3, SIDE, SIDE), np.uint8), r"needs an RGB image"),
        (gym.spaces.Discrete(3), r"needs an RGB image"),
        (gym.spaces.Dict({"rgb": Corridor.observation_space}), r"key 'image'.* has keys rgb: .*image_key"),
        (
            gym.spaces.Dict({"image": Corridor.observation_space, "trust": gym.spaces.Discrete(2)}),
            r"already has the key 'trust'",
        ),
    ],
)
def test_observations_without_a_fit_image_are_refused(space, message):
    with pytest.raises(ValueError, match=message):
        DepthWrapper(space_env(space), OracleSource(), frame_interval_ns=DT_NS)


def test_time_must_come_from_somewhere():
    with pytest.raises(ValueError, match=r"no info\['time_ns'\]: pass frame_interval_ns"):
        DepthWrapper(Corridor(), OracleSource()).reset()
    with pytest.raises(ValueError, match="frame_interval_ns is 0"):
        DepthWrapper(Corridor(), OracleSource(), frame_interval_ns=0)


@pytest.mark.parametrize("range_m", [0.0, -1.0, float("nan"), float("inf")])
def test_a_range_that_is_none_is_refused(range_m):
    with pytest.raises(ValueError, match="max_range_m is"):
        DepthWrapper(Corridor(), OracleSource(), frame_interval_ns=DT_NS, max_range_m=range_m)
