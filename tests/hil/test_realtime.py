"""In real time the newest frame wins on the whole way, every frame ends once, and episodes stay apart."""

from __future__ import annotations

import time

import numpy as np

from asyncmde_sim.hil.realtime import WINDOW
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.sources import close_source, inner_source
from asyncmde_sim.runtime.trace import Fate, read_trace


def stream(source, frame, count, interval_s, start=0):
    """Offer frames at their times; the newest estimate after each."""
    taken = []
    for number in range(start, start + count):
        source.offer(frame(number, number * round(interval_s * 1e9)))
        taken.append(source.newest(0))
        time.sleep(interval_s)
    return taken


def test_estimates_come_newest_first_and_their_numbers_say_from_what(
    make_engines, make_device, real_time, frame, until
):
    source = real_time(make_device(make_engines(sleep_s=0.003)).address)
    taken = [e for e in stream(source, frame, 120, 0.004) if e is not None]
    assert taken
    captures = [e.capture_ns for e in taken]
    assert captures == sorted(captures)
    for estimate in taken:
        assert estimate.capture_ns <= estimate.available_ns
        assert estimate.memory_capture_ns <= estimate.refresh_landed_ns <= estimate.available_ns
    until(lambda: source.totals.open == 0)
    counts, totals = source.counts, source.totals
    assert counts.frames_seen == 120
    assert counts.frames_seen == totals.delivered + counts.frames_dropped


def test_both_sides_count_the_same(make_engines, make_device, real_time, frame):
    source = real_time(make_device(make_engines(sleep_s=0.003)).address)
    stream(source, frame, 100, 0.002)
    source.close()
    here, there = source.totals, source.device_accounts
    assert here.open == here.lost == there.lost == 0
    assert here.opened == there.received
    assert here.delivered + here.late == there.answered
    assert here.superseded == there.superseded > 0


def test_no_more_than_a_few_frames_are_in_flight(make_engines, make_device, real_time, frame, tmp_path):
    source = real_time(make_device(make_engines(sleep_s=0.2)).address)
    source.trace.open(tmp_path / "trace.parquet", {})
    most = 0
    for number in range(100):
        source.offer(frame(number))
        most = max(most, source.totals.open)
        time.sleep(0.002)
    source.close()
    assert 1 < most <= WINDOW
    (episode,) = read_trace(tmp_path / "trace.parquet").episodes
    assert [record.frame for record in episode] == list(range(100))
    assert sum(record.fate is not Fate.WITHHELD for record in episode) == source.totals.opened


def test_a_new_episode_has_nothing_of_the_last(make_engines, make_device, real_time, frame, until):
    source = real_time(make_device(make_engines(sleep_s=0.02)).address)
    stream(source, frame, 20, 0.01)
    source.reset(1)
    assert source.newest(0) is None and source.counts.frames_seen == 0
    for number in range(100, 200):
        source.offer(frame(number))
        time.sleep(0.005)
        if (estimate := source.newest(0)) is not None:
            assert estimate.memory_capture_ns >= 100 * 10**6
    assert source.newest(0) is not None


def test_a_trace_has_the_order_of_what_happened_and_gives_it_again(
    make_engines, make_device, real_time, frame, tmp_path
):
    source = real_time(make_device(make_engines(sleep_s=0.003)).address)
    source.trace.open(tmp_path / "trace.parquet", {"device": "test"})
    source.reset(9)
    frames = [frame(number, number * 5_000_000) for number in range(100)]
    seen = []
    for one in frames:
        source.offer(one)
        time.sleep(0.005)
        estimate = source.newest(0)
        if estimate is not None and (not seen or seen[-1][0] != estimate.capture_ns):
            seen.append((estimate.capture_ns, estimate.memory_capture_ns, float(estimate.depth[0, 0])))
    source.close()
    again = make_again(tmp_path / "trace.parquet", make_engines(), frames)
    assert len(seen) > 10
    assert [entry for entry in again if entry in seen] == seen


def make_again(path, engines, frames):
    """Every estimate that a replay of the trace gives, asked for at each event."""
    from asyncmde_sim.runtime.async_sources import AsyncSource
    from asyncmde_sim.runtime.refresh import FreeRunning
    from asyncmde_sim.runtime.replay import load_timing

    source = AsyncSource(engines, load_timing(str(path)), FreeRunning())
    source.reset(9)
    given = []
    waiting = list(frames)
    (episode,) = read_trace(path).episodes
    events = {t for r in episode for t in (r.capture_ns, r.fast_start_ns, r.available_ns) if t is not None}
    for now in sorted({*events, *range(0, max(events) + 10**7, 250_000)}):
        while waiting and waiting[0].time_ns <= now:
            source.offer(waiting.pop(0))
        estimate = source.newest(now)
        if estimate is not None and (not given or given[-1][0] != estimate.capture_ns):
            given.append((estimate.capture_ns, estimate.memory_capture_ns, float(estimate.depth[0, 0])))
    return given


def test_the_wall_clock_paces_a_remote_source(make_engines, make_device, frame):
    source = make_source(make_device(make_engines()).url, clock="wall")
    source.reset(0)
    start = time.monotonic()
    for number in range(10):
        source.offer(frame(number, 5 * 10**9 + number * 20_000_000))
    assert time.monotonic() - start >= 0.18
    close_source(source)
    assert inner_source(source).totals.opened == 10
    assert source.clock.steps == 9


def test_depth_is_scaled_by_the_camera(make_engines, make_device, frame, until):
    device = make_device(make_engines())
    depths = []
    for focal in (0.5, 1.0):
        source = make_source(device.url, clock="wall", focal=focal)
        source.reset(0)
        for number in range(1, 100):
            source.offer(frame(number, number * 5_000_000))
        estimate = source.newest(0)
        depths.append(float(np.asarray(estimate.depth)[0, 0]) if estimate else None)
        close_source(source)
    assert None not in depths
