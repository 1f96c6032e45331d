"""The schedule alone: counts, exclusiveness, order and the draw of latencies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.runtime.refresh import EveryN, FreeRunning, WhenTurned, parse_refresh
from asyncmde_sim.runtime.schedule import Schedule


def events_of(schedule, frames, end):
    for frame in frames:
        schedule.arrive(frame)
    return list(schedule.advance(end))


def random_case(trial, make_profile, make_frames):
    rng = np.random.default_rng(trial)
    samples = [tuple(rng.integers(0, top, size=3).tolist()) for top in (9, 15, 80, 120)]
    profile = make_profile(*samples)
    times = np.cumsum(rng.integers(1, 20, size=60)).tolist()
    paths = [("slow", "fast"), ("slow",), ("fast",)][trial % 3]
    policy = [FreeRunning(), EveryN(4)][trial % 2]
    return profile, make_frames(times), Schedule(profile, policy, paths, seed=trial), paths


@pytest.mark.parametrize("trial", range(30))
def test_every_frame_is_used_dropped_or_waiting(trial, make_profile, make_frames):
    _, frames, schedule, paths = random_case(trial, make_profile, make_frames)
    for frame in frames:
        schedule.arrive(frame)
        events = list(schedule.advance(frame.time_ns))
        for path in paths:
            counts = schedule.counts(path)
            assert counts.seen == counts.used + counts.dropped + counts.waiting
            assert counts.waiting in (0, 1)
        assert all(event.run.start_ns <= frame.time_ns for event in events)
    assert all(schedule.counts(path).seen == len(frames) for path in paths)


@pytest.mark.parametrize("trial", range(30))
def test_runs_of_a_path_do_not_overlap_and_take_what_the_profile_says(trial, make_profile, make_frames):
    profile, frames, schedule, paths = random_case(trial, make_profile, make_frames)
    events = events_of(schedule, frames, 10**6)
    instants = [e.run.start_ns if e.kind == "start" else e.run.end_ns for e in events]
    assert instants == sorted(instants)
    running = {path: None for path in paths}
    for event in events:
        run = event.run
        if event.kind == "finish":
            assert running[run.path] == run
            running[run.path] = None
            continue
        assert running[run.path] is None
        busy = any(other is not None for path, other in running.items() if path != run.path)
        assert run.end_ns - run.start_ns in profile.latency(run.path, busy).samples_ns
        assert run.frame.time_ns <= run.start_ns
        running[run.path] = run
    assert all(run is None for run in running.values())


def test_at_one_instant_landing_then_finishing_then_arrival_then_starts(make_profile, make_frames):
    schedule = Schedule(make_profile(fast=10, slow=10))
    events = events_of(schedule, make_frames([0, 10, 20]), 20)
    told = [(e.kind, e.run.path, e.run.frame.time_ns) for e in events]
    assert told == [
        ("start", "slow", 0),
        ("finish", "slow", 0),
        ("start", "slow", 10),
        ("start", "fast", 10),
        ("finish", "slow", 10),
        ("finish", "fast", 10),
        ("start", "slow", 20),
        ("start", "fast", 20),
    ]


def test_contention_counts_at_the_start_of_a_run(make_profile, make_frames):
    schedule = Schedule(make_profile(fast=2, fast_contended=5, slow=30, slow_contended=40), EveryN(4))
    events = events_of(schedule, make_frames(range(0, 120, 10)), 120)
    lengths = {
        (e.run.path, e.run.start_ns): e.run.end_ns - e.run.start_ns for e in events if e.kind == "start"
    }
    assert lengths[("slow", 0)] == 30
    assert lengths[("fast", 30)] == 2
    assert lengths[("slow", 40)] == 30
    assert lengths[("fast", 40)] == lengths[("fast", 50)] == lengths[("fast", 60)] == 5
    assert lengths[("fast", 70)] == 2


def test_latencies_of_one_path_do_not_depend_on_the_other_paths_draws(make_profile, make_frames):
    many = tuple(range(20, 60))
    frames = make_frames(range(0, 2000, 10))
    lengths = []
    for fast in (1, (0, 1, 2)):
        events = events_of(Schedule(make_profile(fast=fast, slow=many), seed=4), frames, 2000)
        lengths.append([e.run.end_ns - e.run.start_ns for e in events if e.run.path == "slow"][:30])
    assert lengths[0] == lengths[1]


def test_the_two_paths_draw_independently(make_profile, make_frames):
    samples = tuple(range(1000))
    schedule = Schedule(make_profile(fast=samples, slow=samples), EveryN(1), seed=0)
    events = events_of(schedule, make_frames(range(0, 400_000, 2000)), 400_000)
    slow, fast = (
        [e.run.end_ns - e.run.start_ns for e in events if e.kind == "start" and e.run.path == path]
        for path in ("slow", "fast")
    )
    count = min(len(slow), len(fast))
    assert abs(np.corrcoef(slow[:count], fast[:count])[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("refresh", "slow", "started"),
    [
        ("every-5", 12, [0, 5, 10, 15]),
        ("every-1", 10, list(range(20))),
        ("free", 25, [0, 2, 5, 7, 10, 12, 15, 17]),
        ("every-4", 55, [0, 5, 11, 16]),
    ],
)
def test_refresh_policies_start_where_they_should(refresh, slow, started, make_profile, make_frames):
    schedule = Schedule(make_profile(slow=slow), parse_refresh(refresh), ("slow",))
    events = events_of(schedule, make_frames(range(0, 200, 10)), 199)
    assert [e.run.frame.time_ns // 10 for e in events if e.kind == "start"] == started


def test_a_turned_camera_is_refreshed_by_angle_and_a_still_one_now_and_then(make_profile, make_frames):
    yaws = np.radians(4.0 * np.minimum(np.arange(60), 20))
    frames = []
    for frame, yaw in zip(make_frames(range(0, 600, 10)), yaws, strict=True):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("zyx", [0, yaw, 0.3]).as_matrix()
        frames.append(replace(frame, view=replace(frame.view, pose=pose)))
    schedule = Schedule(make_profile(slow=5), parse_refresh("turned-15"), ("slow",))
    started = [e.run.frame.time_ns // 10 for e in events_of(schedule, frames, 599) if e.kind == "start"]
    assert started == [0, 4, 8, 12, 16, 20, 50]
    blind = [replace(frame, view=None) for frame in frames]
    schedule = Schedule(make_profile(slow=5), parse_refresh("turned-15"), ("slow",))
    with pytest.raises(ValueError, match="'turned-D' needs to know how the camera turns"):
        events_of(schedule, blind, 599)


@pytest.mark.parametrize("degrees", [0.0, 181.0, float("nan")])
def test_an_angle_that_is_none_is_refused(degrees):
    with pytest.raises(ValueError, match="degrees, but it must lie above 0"):
        WhenTurned(degrees)


@pytest.mark.parametrize(
    "text", ["turned-0", "turned", "", "every", "every-", "every--1", "every-1.5", "every-0", "FREE", "10"]
)
def test_bad_refresh_policies_are_refused(text):
    with pytest.raises(ValueError, match=r"unknown refresh policy .*'free'.*'every-N'"):
        parse_refresh(text)


def test_a_refresh_interval_below_one_frame_is_refused():
    with pytest.raises(ValueError, match="0 frames"):
        EveryN(0)
