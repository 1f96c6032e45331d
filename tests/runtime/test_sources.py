"""The laws of time, with fake engines, and against a scheduler written in another way."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest

from asyncmde_sim.runtime import SOURCE_NAMES, Estimate, Frame, SourceCounts, make_source
from asyncmde_sim.runtime.async_sources import AsyncOdometrySource, AsyncSource, CatchUpSource
from asyncmde_sim.runtime.refresh import EveryN, FreeRunning
from asyncmde_sim.runtime.reprojection import combine
from asyncmde_sim.runtime.sources import BlindSource, DelayedSource, OracleSource, SinglePathSource
from asyncmde_sim.runtime.types import View

STEP = 10
ESTIMATING = ("foundation", "fast", "async", "async-odometry", "async-catch-up", "every-3")
ALL = ("oracle", *ESTIMATING, "blind")


def facts(estimate: Estimate | None):
    """An estimate as plain numbers, for comparison."""
    if estimate is None:
        return None
    return (
        estimate.capture_ns,
        estimate.available_ns,
        estimate.memory_capture_ns,
        estimate.refresh_landed_ns,
        estimate.depth.tobytes(),
        None if estimate.trust is None else estimate.trust.tobytes(),
    )


def all_sources(make_engines, profile):
    return {
        "oracle": OracleSource(),
        "foundation": SinglePathSource("slow", make_engines(), profile),
        "fast": SinglePathSource("fast", make_engines(), profile),
        "async": AsyncSource(make_engines(), profile, FreeRunning()),
        "every-3": AsyncSource(make_engines(), profile, EveryN(3)),
        "async-catch-up": CatchUpSource(make_engines(), profile, FreeRunning()),
        "async-odometry": AsyncOdometrySource(make_engines(), profile, FreeRunning()),
        "blind": BlindSource(),
    }


class TickByTick:
    """``async`` walked through tick by tick.

    ``answers[t]`` is None or (capture, available, memory capture, landed, value).

    The memory is written when a fast run finishes, unless a refresh has landed since it started.
    """

    def __init__(self, times, end, fast, fast_contended, slow, slow_contended, every):
        self.times = times
        self.slow_job = self.fast_job = self.memory = self.previous = self.refresh = self.newest = None
        self.dropped, self.answers = 0, []
        number, slow_next, fast_next, due = -1, None, None, False
        for t in range(end + 1):
            self.land(t)
            self.finish(t)
            if t in times:
                number += 1
                self.dropped += fast_next is not None
                slow_next = fast_next = number
                due = due or number % every == 0
            if self.slow_job is None and slow_next is not None and due:
                self.slow_job = (slow_next, t + (slow if self.fast_job is None else slow_contended))
                slow_next, due = None, False
                self.land(t)
            if self.fast_job is None and fast_next is not None and self.memory is not None:
                before = -1 if self.previous is None else self.previous
                self.fast_job = {
                    "frame": fast_next,
                    "end": t + (fast if self.slow_job is None else fast_contended),
                    "fused": 0.5 * self.memory + 0.25 * before + fast_next,
                    "refresh": self.refresh,
                    "overwritten": False,
                }
                fast_next = None
                self.finish(t)
            self.answers.append(self.newest)

    def land(self, t):
        if self.slow_job is None or self.slow_job[1] != t:
            return
        frame = self.slow_job[0]
        self.slow_job, self.memory, self.refresh = None, 10.0 * frame, (self.times[frame], t)
        if self.fast_job is not None:
            self.fast_job["overwritten"] = True

    def finish(self, t):
        job = self.fast_job
        if job is None or job["end"] != t:
            return
        if not job["overwritten"]:
            self.memory = job["fused"]
        self.fast_job, self.previous = None, job["frame"]
        self.newest = (self.times[job["frame"]], t, *job["refresh"], job["fused"])


@pytest.mark.parametrize("trial", range(150))
def test_async_agrees_with_a_scheduler_that_walks_tick_by_tick(
    trial, make_engines, make_profile, make_frames, replay
):
    rng = np.random.default_rng(trial)
    interval = int(rng.integers(1, 12))
    times = np.cumsum(rng.integers(1, interval + 1, size=20)).tolist()
    top = int(rng.choice([3, 15, 60]))
    fast, fast_contended, slow, slow_contended = (int(v) for v in rng.integers(0, top, size=4))
    every = int(rng.choice([1, 2, 5]))
    end = times[-1] + 2 * top
    reference = TickByTick(times, end, fast, fast_contended, slow, slow_contended, every)
    expected = reference.answers
    policy = FreeRunning() if every == 1 else EveryN(every)
    source = AsyncSource(make_engines(), make_profile(fast, fast_contended, slow, slow_contended), policy)
    ask_at = sorted({*times, *rng.integers(0, end, size=10).tolist(), end})
    answers = replay(source, make_frames(times), ask_at)
    for now, estimate in answers.items():
        found = estimate and (*facts(estimate)[:4], float(estimate.depth[0, 0]))
        wanted = expected[now] and (*expected[now][:4], float(np.float32(expected[now][4])))
        assert found == wanted, (now, found, wanted)
    assert source.counts.frames_dropped == reference.dropped


@pytest.mark.parametrize("policy", [FreeRunning(), EveryN(1)])
def test_law_3_zero_latency_and_a_refresh_every_frame_is_slow_then_fast_in_sequence(
    policy, make_engines, make_profile, make_frames, replay
):
    frames = make_frames(range(0, 300, STEP))
    answers = replay(AsyncSource(make_engines(), make_profile(), policy), frames, [f.time_ns for f in frames])
    engines, state = make_engines(), None
    for frame in frames:
        state = engines.fast.refreshed(state, engines.slow.memory(frame.image))
        depth, state, trust = engines.fast.run(frame.image, state)
        at = frame.time_ns
        assert facts(answers[at]) == facts(Estimate(depth, at, at, at, at, trust))


def test_law_3_fails_as_it_should_with_a_rarer_refresh(make_engines, make_profile, make_frames, replay):
    frames = make_frames(range(0, 100, STEP))
    times = [f.time_ns for f in frames]
    every = replay(AsyncSource(make_engines(), make_profile(), EveryN(1)), frames, times)
    second = replay(AsyncSource(make_engines(), make_profile(), EveryN(2)), frames, times)
    assert facts(every[STEP]) != facts(second[STEP])


@pytest.mark.parametrize("lag", [1, 4])
@pytest.mark.parametrize(
    "name", ["oracle", "foundation", "fast", "async", "async-odometry", "async-catch-up", "every-3", "blind"]
)
def test_law_3_constant_latency_of_l_frames_delivers_what_it_had_l_frames_earlier(
    name, lag, make_engines, make_profile, make_frames, replay
):
    profile = make_profile((3, 14), 8, (25, 61), 44)
    frames = make_frames(range(0, 400, STEP))
    times = [f.time_ns for f in frames]
    prompt = replay(all_sources(make_engines, profile)[name], frames, times)
    delayed = replay(DelayedSource(all_sources(make_engines, profile)[name], lag * STEP), frames, times)
    for now in times[:lag]:
        assert delayed[now] is None
    for now in times[lag:]:
        earlier = prompt[now - lag * STEP]
        shifted = earlier and replace(
            earlier,
            available_ns=earlier.available_ns + lag * STEP,
            refresh_landed_ns=earlier.refresh_landed_ns + lag * STEP,
        )
        assert facts(delayed[now]) == facts(shifted)


def test_law_1_what_the_host_takes_changes_nothing(make_engines, make_profile, make_frames, replay):
    frames, profile = make_frames(range(0, 100, STEP)), make_profile((3, 14), 8, (25, 61), 44)
    times = [f.time_ns for f in frames]
    for build in (
        lambda e: AsyncSource(e, profile, FreeRunning()),
        lambda e: SinglePathSource("slow", e, profile),
        lambda e: SinglePathSource("fast", e, profile),
    ):
        quick, tardy = (replay(build(make_engines(sleep_s=s)), frames, times) for s in (0.0, 0.002))
        assert [facts(quick[t]) for t in times] == [facts(tardy[t]) for t in times]


@pytest.mark.parametrize(
    "name", ["foundation", "fast", "async", "async-odometry", "async-catch-up", "every-3", "oracle"]
)
def test_asking_more_often_changes_nothing(name, make_engines, make_profile, make_frames, replay):
    profile = make_profile((3, 14), 8, (25, 61), 44)
    frames = make_frames(range(0, 300, STEP))
    often = replay(all_sources(make_engines, profile)[name], frames, range(0, 400))
    seldom = replay(all_sources(make_engines, profile)[name], frames, range(0, 400, 37))
    assert all(facts(often[now]) == facts(seldom[now]) for now in seldom)


@pytest.mark.parametrize(
    "name", ["foundation", "fast", "async", "async-odometry", "async-catch-up", "every-3"]
)
def test_law_1_nothing_is_there_before_its_time(name, make_engines, make_profile, make_frames, replay):
    profile = make_profile((3, 14), (8, 20), (25, 61), (44, 90))
    answers = replay(all_sources(make_engines, profile)[name], make_frames(range(0, 500, STEP)), range(600))
    shortest = {"foundation": 25}.get(name, 3)
    last = None
    for now, estimate in answers.items():
        assert last is None or (estimate is not None and estimate.capture_ns >= last.capture_ns)
        if estimate is not None:
            assert estimate.available_ns <= now
            assert estimate.available_ns - estimate.capture_ns >= shortest
            assert estimate.memory_capture_ns <= estimate.capture_ns
            assert estimate.refresh_landed_ns <= estimate.available_ns
        last = estimate
    assert last is not None


def test_law_2_a_busy_path_takes_the_newest_and_drops_the_older(
    make_engines, make_profile, make_frames, replay
):
    engines = make_engines()
    source = SinglePathSource("slow", engines, make_profile(slow=25))
    replay(source, make_frames(range(0, 100, STEP)), range(0, 100))
    assert engines.ran == [("slow", 0), ("slow", 2), ("slow", 5)]
    # starts: frame 0 at 0, 2 at 25, 5 at 50, 7 at 75; frame 9 waits; 1, 3, 4, 6, 8 are dropped
    assert source.counts == SourceCounts(frames_seen=10, frames_dropped=5, slow_runs=4)


def test_law_2_a_refresh_describes_the_frame_it_started_from_and_has_two_ages(
    make_engines, make_profile, make_frames, replay
):
    source = AsyncSource(make_engines(), make_profile(fast=1, slow=35), FreeRunning())
    answers = replay(source, make_frames(range(0, 100, STEP)), range(100))
    assert all(answers[now] is None for now in range(36))
    first = answers[36]
    # the refresh of frame 0 lands at 35; the fast path starts then, on the newest frame, number 3
    assert facts(first)[:4] == (30, 36, 0, 35)
    assert source.counts.frames_dropped == 3


def test_a_refresh_that_lands_in_flight_overwrites_the_memory_but_not_the_estimate(
    make_engines, make_profile, make_frames, replay
):
    # fast runs: frame 0 from 5 to 11, 1 from 11 to 17, ...; slow runs: 0 from 0 to 5, 1 from 10 to 15
    source = AsyncSource(make_engines(), make_profile(fast=6, slow=5), FreeRunning())
    answers = replay(source, make_frames([0, 10, 20]), range(30))
    first = 0.5 * 0 + 0.25 * -1 + 0
    in_flight = 0.5 * first + 0.25 * 0 + 1
    after = 0.5 * 10 + 0.25 * 1 + 2
    assert [float(answers[t].depth[0, 0]) for t in (11, 17, 26)] == [first, in_flight, after]
    assert [answers[t].memory_capture_ns for t in (11, 17, 26)] == [0, 0, 10]


def test_a_refresh_that_has_caught_up_is_as_if_it_had_taken_no_time(
    make_engines, make_profile, make_frames, replay
):
    frames = make_frames(range(0, 40 * STEP, STEP))
    times = [f.time_ns for f in frames]
    late = make_profile(slow=35)
    prompt = replay(AsyncSource(make_engines(), make_profile(), EveryN(8)), frames, times)
    caught_up = replay(CatchUpSource(make_engines(), late, EveryN(8)), frames, times)
    plain = replay(AsyncSource(make_engines(), late, EveryN(8)), frames, times)
    landed = [t for t in times[8:] if t % (8 * STEP) >= 40]  # before the first landing nothing is seen
    assert [caught_up[t].depth[0, 0] for t in landed] == [prompt[t].depth[0, 0] for t in landed]
    assert all(plain[t].depth[0, 0] != prompt[t].depth[0, 0] for t in landed)


@pytest.mark.parametrize("trial", range(20))
def test_from_one_place_odometry_adds_the_depth_of_the_last_refresh_and_no_time(
    trial, make_engines, make_profile, make_frames, replay
):
    rng = np.random.default_rng(trial)
    profile = make_profile(*(tuple(int(v) for v in rng.integers(0, 40, 2)) for _ in range(4)))
    frames = make_frames(np.cumsum(rng.integers(1, 20, 30)))
    number = {f.time_ns: i for i, f in enumerate(frames)}
    plain = replay(AsyncSource(make_engines(), profile, EveryN(4)), frames, range(400), trial)
    posed = replay(AsyncOdometrySource(make_engines(), profile, EveryN(4)), frames, range(400), trial)
    for now, estimate in plain.items():
        if estimate is not None:
            slow = np.full((2, 2), number[estimate.memory_capture_ns] + 0.5, np.float32)
            estimate = replace(estimate, depth=combine(estimate.depth, slow))
        assert facts(posed[now]) == facts(estimate)
    assert any(a is not None and (a.depth != plain[t].depth).any() for t, a in posed.items())


def test_odometry_needs_to_know_where_a_frame_was_taken(make_engines, make_profile, make_frames):
    source = AsyncOdometrySource(make_engines(), make_profile(), FreeRunning())
    with pytest.raises(ValueError, match=r"'async-odometry' needs to know where.*use 'async'"):
        source.offer(replace(make_frames([0])[0], view=None))
    with pytest.raises(ValueError, match="finite 4x4"):
        View(np.full((4, 4), np.nan), make_frames([0])[0].view.camera)


@pytest.mark.parametrize(
    "name", ["oracle", "foundation", "fast", "async", "async-odometry", "async-catch-up", "every-3", "blind"]
)
def test_law_4_a_new_episode_starts_with_nothing(name, make_engines, make_profile, make_frames, replay):
    profile = make_profile((3, 14), 8, (25, 61), 44)
    frames = make_frames(range(0, 200, STEP))
    times = [f.time_ns for f in frames]
    used, fresh = (all_sources(make_engines, profile)[name] for _ in range(2))
    replay(used, make_frames(range(7, 700, 9)), range(7, 650, 9), seed=3)
    used.reset(5)
    assert used.newest(0) is None
    assert used.counts == SourceCounts()
    again, first = replay(used, frames, times, seed=8), replay(fresh, frames, times, seed=8)
    assert [facts(again[t]) for t in times] == [facts(first[t]) for t in times]


def test_the_same_seed_gives_the_same_latencies_and_another_others(
    make_engines, make_profile, make_frames, replay
):
    profile = make_profile(slow=tuple(range(20, 60)))
    frames = make_frames(range(0, 1000, STEP))

    def run(source, seed):
        answers = replay(source, frames, range(1000), seed)
        return [facts(a) for a in answers.values()]

    source = SinglePathSource("slow", make_engines(), profile)
    first, second, third = run(source, 1), run(source, 1), run(source, 2)
    assert first == second != third
    # without a seed the stream goes on: other latencies, and still the same ones every time
    streams = []
    for _ in range(2):
        run(source, 1)
        streams.append([run(source, None), run(source, None)])
    assert streams[0] == streams[1]
    assert streams[0][0] != streams[0][1]


class Held:
    """An engine that computes nothing before it is let go."""

    def __init__(self, engines):
        self.engines, self.go = engines, threading.Event()

    @property
    def slow(self):
        return self.engines.slow

    @property
    def fast(self):
        return self

    @property
    def single(self):
        return self

    def refreshed(self, state, memory):
        return self.engines.fast.refreshed(state, memory)

    def run(self, image, *state):
        assert self.go.wait(timeout=30)
        path = self.engines.fast if state else self.engines.single
        return path.run(image, *state)


@pytest.mark.parametrize("name", ["async", "fast"])
def test_what_is_not_yet_due_is_not_waited_for(name, make_engines, make_profile, make_frames):
    engines, profile = Held(make_engines()), make_profile(fast=5)
    source = (
        AsyncSource(engines, profile, FreeRunning())
        if name == "async"
        else SinglePathSource("fast", engines, profile)
    )
    source.reset(0)
    for frame in make_frames([0]):
        source.offer(frame)
    assert source.newest(0) is None and source.newest(4) is None
    engines.go.set()
    assert source.newest(5).capture_ns == 0


@pytest.mark.parametrize("path", ["slow", "fast"])
@pytest.mark.parametrize("name", ["foundation", "fast", "async", "async-odometry", "async-catch-up"])
def test_what_an_engine_raises_is_raised_when_it_is_due(
    name, path, make_engines, make_profile, make_frames, monkeypatch
):
    engines = make_engines()
    source = all_sources(lambda: engines, make_profile(slow=3, fast=3))[name]

    def fail(*_):
        raise RuntimeError("out of memory")

    broken = type(getattr(engines, {"foundation": "slow", "fast": "single"}.get(name, path)))
    for method in ("run", "memory", "depth_and_memory"):
        monkeypatch.setattr(broken, method, fail, raising=False)
    source.reset(0)
    first, second = make_frames([0, 10])
    source.offer(first)
    assert source.newest(0) is None
    with pytest.raises(RuntimeError, match="out of memory"):
        source.newest(10)
        source.offer(second)
        source.newest(20)


@pytest.mark.parametrize("name", ESTIMATING)
def test_a_copy_pickled_in_flight_goes_on_like_the_original(name, make_engines, make_profile, make_frames):
    source = all_sources(make_engines, make_profile(slow=25, fast=12))[name]
    source.reset(3)
    for number, frame in enumerate(make_frames(range(0, 200, STEP))):
        if number == 10:
            other = pickle.loads(pickle.dumps(source))
        source.offer(frame)
        answer = facts(source.newest(frame.time_ns))
        if number >= 10:
            other.offer(frame)
            assert facts(other.newest(frame.time_ns)) == answer
    assert answer is not None


def test_oracle_and_blind(make_frames, replay):
    frames = make_frames(range(0, 50, STEP))
    answers = replay(OracleSource(), frames, range(50))
    assert all(facts(a)[:4] == (t // STEP * STEP,) * 4 for t, a in answers.items())
    assert all((a.depth == t // STEP).all() for t, a in answers.items())
    blind = BlindSource()
    assert set(replay(blind, frames, range(50)).values()) == {None}
    assert blind.counts == SourceCounts(frames_seen=5, frames_dropped=5)
    with pytest.raises(ValueError, match=r"'oracle' needs the true depth"):
        OracleSource().offer(Frame(np.zeros((2, 2, 3), np.uint8), 0))


@pytest.mark.parametrize("name", ["oracle", "foundation", "fast", "async", "async-odometry", "blind"])
def test_time_only_moves_forwards(name, make_engines, make_profile, make_frames):
    early, late = make_frames([10, 20])
    source = all_sources(make_engines, make_profile())[name]
    source.offer(late)
    with pytest.raises(ValueError, match="capture times must increase"):
        source.offer(early)
    source.newest(100)
    with pytest.raises(ValueError, match="must not decrease"):
        source.newest(99)
    with pytest.raises(ValueError, match="offer each frame at its capture time"):
        source.offer(replace(late, time_ns=50))


@pytest.mark.parametrize("name", SOURCE_NAMES)
def test_every_named_source_can_be_made_and_pickled(name):
    source = make_source(name, "orin-trt", "every-10", latency_ms=5.0)
    assert pickle.loads(pickle.dumps(source)).counts == SourceCounts()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"depth": "lidar"},
            r"unknown depth source 'lidar': there are oracle, foundation, fast, async, async-odometry, "
            "async-catch-up, blind",
        ),
        ({"device": "abacus"}, r"unknown device 'abacus': built in are ideal, .*rtx4090"),
        ({"device": "abacus", "depth": "oracle"}, r"unknown device 'abacus'"),
        ({"refresh": "sometimes"}, r"unknown refresh policy 'sometimes': use 'free'.*'every-N'"),
        ({"refresh": "every-0"}, r"N at least 1"),
        ({"latency_ms": -1.0}, r"latency_ms is -1.0"),
        ({"latency_ms": float("nan")}, r"latency_ms is nan"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_source(**options)


def test_make_source_delays_by_latency_ms(make_frames, replay):
    frames = make_frames(range(0, 10_000_000, 1_000_000))
    answers = replay(make_source("oracle", latency_ms=2.5), frames, [2_499_999, 2_500_000, 9_000_000])
    assert [a and a.capture_ns for a in answers.values()] == [None, 0, 6_000_000]


def test_a_negative_delay_is_refused():
    with pytest.raises(ValueError, match="latency_ns is -1"):
        DelayedSource(OracleSource(), -1)
