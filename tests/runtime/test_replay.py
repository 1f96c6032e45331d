"""A latency trace replayed: the order of what happened rules, and a schedule's own trace gives it again."""

from __future__ import annotations

import pytest

from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.replay import ReplayedSchedule, load_timing, steps_of
from asyncmde_sim.runtime.trace import Fate, FrameRecord, LatencyTrace, TraceWriter
from asyncmde_sim.runtime.wall_clock import WallClock


def record(frame, fate=Fate.WITHHELD, **times):
    return FrameRecord(0, 7, frame, 10 * frame, fate, **times)


EPISODE = [
    record(0, slow_start_ns=0, slow_end_ns=12),
    record(
        1, Fate.DELIVERED, fast_start_ns=15, available_ns=19, memory_frame=0, slow_start_ns=13, slow_end_ns=26
    ),
    record(2, Fate.LATE, fast_start_ns=24, available_ns=60, memory_frame=0),
    record(3, Fate.DELIVERED, fast_start_ns=33, available_ns=38, memory_frame=1),
    record(4, Fate.LOST),
    record(5, Fate.SUPERSEDED),
]


def told(steps):
    return [(s.time_ns, s.kind, s.path, s.frame) for s in steps]


def test_steps_come_in_the_order_of_what_happened():
    assert told(steps_of(EPISODE)) == [
        (0, "start", "slow", 0),
        (12, "finish", "slow", 0),
        (13, "start", "slow", 1),
        (15, "start", "fast", 1),
        (19, "finish", "fast", 1),
        (24, "start", "fast", 2),
        (26, "finish", "slow", 1),
        (33, "start", "fast", 3),
        (38, "finish", "fast", 2),
        (38, "finish", "fast", 3),
    ]


def test_the_memory_that_a_run_read_rules_over_times_that_two_clocks_disagree_on():
    late_landing = [
        record(
            0,
            Fate.DELIVERED,
            fast_start_ns=20,
            available_ns=25,
            memory_frame=0,
            slow_start_ns=1,
            slow_end_ns=22,
        )
    ]
    order = told(steps_of(late_landing))
    assert order.index((20, "finish", "slow", 0)) < order.index((20, "start", "fast", 0))
    early_landing = [*EPISODE[:1], *EPISODE[1:3], EPISODE[3]]
    early_landing[1] = record(
        1, Fate.DELIVERED, fast_start_ns=15, available_ns=19, memory_frame=0, slow_start_ns=13, slow_end_ns=14
    )
    order = [entry[1:] for entry in told(steps_of(early_landing))]
    assert order.index(("start", "fast", 2)) < order.index(("finish", "slow", 1))
    assert order.index(("finish", "slow", 1)) < order.index(("start", "fast", 3))


def test_a_longer_episode_begins_again(make_frames):
    schedule = ReplayedSchedule(EPISODE, "a trace")
    starts = []
    for frame in make_frames(range(0, 180, 10)):
        schedule.arrive(frame)
        starts += [
            (e.run.path, e.run.frame.time_ns) for e in schedule.advance(frame.time_ns) if e.kind == "start"
        ]
    fast = [at for path, at in starts if path == "fast"]
    assert fast == [10, 20, 30, 70, 80, 90, 130, 140, 150]
    counts = schedule.counts("fast")
    assert counts.seen == counts.used + counts.dropped + counts.waiting


def test_another_frame_rate_is_refused(make_frames):
    schedule = ReplayedSchedule([record(0), FrameRecord(0, 0, 1, 33_000_000, Fate.LOST)], "a trace")
    for frame in make_frames((0, 16_000_000)):
        schedule.arrive(frame)
    with pytest.raises(ValueError, match="same frame rate"):
        list(schedule.advance(20_000_000))


def test_a_trace_is_written_and_read_and_chosen_by_seed(tmp_path):
    path = tmp_path / "trace.parquet"
    writer = TraceWriter()
    writer.add(record(0))
    writer.open(path, {"device": "test"})
    writer.add(record(1, Fate.DELIVERED, fast_start_ns=5, power_w=2.5))
    writer.ran_slow(0, 0, 1, 4)
    writer.add(FrameRecord(1, 8, 0, 0, Fate.LOST))
    writer.close()
    trace = load_timing(str(path))
    assert trace.episode(7) == (
        record(0, slow_start_ns=1, slow_end_ns=4),
        record(1, Fate.DELIVERED, fast_start_ns=5, power_w=2.5),
    )
    assert trace.episode(8)[0].fate is Fate.LOST
    assert trace.episode(9) == trace.episode(9 + 2)


def test_what_is_no_trace_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_text("nonsense")
    with pytest.raises(ValueError, match="no Parquet file"):
        load_timing(str(tmp_path / "a.parquet"))
    with pytest.raises(ValueError, match="has a gap"):
        LatencyTrace("x", ((record(0), record(2)),))
    with pytest.raises(ValueError, match="holds no frame"):
        LatencyTrace("x", ())
    writer = TraceWriter()
    writer.open(tmp_path / "b.parquet", {})
    writer.add(record(0))
    writer.close()
    with pytest.raises(ValueError, match="has one: use 'async'"):
        make_source("fast", str(tmp_path / "b.parquet"))
    with pytest.raises(ValueError, match="leave refresh out"):
        make_source("async", str(tmp_path / "b.parquet"), "every-3")
    with pytest.raises(ValueError, match="cannot be taken out of it: use a latency profile"):
        make_source("async", str(tmp_path / "b.parquet"), treatment="error only")


def test_the_wall_clock_waits_when_early_and_stands_still_when_late():
    now = [1000]
    clock = WallClock(lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + round(seconds * 1e9)))
    with pytest.raises(RuntimeError, match="has not begun"):
        clock.now_ns()
    clock.wait_until(50)
    assert clock.now_ns() == 50
    clock.wait_until(90)
    assert (now[0], clock.now_ns()) == (1040, 90)
    now[0] += 25
    clock.wait_until(100)
    assert clock.now_ns() == 100
    assert (clock.steps, clock.late_steps, clock.slipped_ns) == (2, 1, 15)


@pytest.mark.parametrize(
    ("depth", "options", "hint"),
    [
        ("fast", {}, "runs 'async' or a remote device"),
        ("async", {"device": "orin-trt"}, "on this machine"),
        ("async", {"refresh": "every-3"}, "on this machine"),
        ("async", {"latency_ms": 3.0}, "leave it out"),
    ],
)
def test_what_the_wall_clock_cannot_run_is_refused(depth, options, hint):
    with pytest.raises(ValueError, match=hint):
        make_source(depth, clock="wall", **options)
