"""Both paths on a wall clock: nobody waits for the slow path, the newest frame wins, and nothing is lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from asyncmde_sim.runtime import Frame
from asyncmde_sim.runtime.concurrent_source import ConcurrentSource

PATIENCE_S = 30


def frame(number: int) -> Frame:
    return Frame(np.full((2, 2, 3), number, np.uint8), number)


def until(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


class Gated:
    """Engines of which each run waits for a permit."""

    def __init__(self, engines):
        self.engines = engines
        self.permits = {"slow": threading.Semaphore(0), "fast": threading.Semaphore(0)}
        self.begun = {"slow": [], "fast": []}

    def allow(self, path, count=1):
        self.permits[path].release(count)

    def _wait(self, path, image):
        self.begun[path].append(int(image[0, 0, 0]))
        assert self.permits[path].acquire(timeout=PATIENCE_S)

    @property
    def slow(self):
        outer = self

        class Slow:
            def memory(self, image):
                outer._wait("slow", image)
                return outer.engines.slow.memory(image)

        return Slow()

    @property
    def fast(self):
        outer = self

        class Fast:
            refreshed = staticmethod(outer.engines.fast.refreshed)

            def run(self, image, state):
                outer._wait("fast", image)
                return outer.engines.fast.run(image, state)

        return Fast()


@pytest.fixture
def gated(make_engines):
    engines = Gated(make_engines())
    yield engines
    for path in ("slow", "fast"):
        engines.allow(path, 1000)


def test_the_fast_path_goes_on_while_the_slow_path_runs(gated):
    with ConcurrentSource(gated) as source:
        source.reset()
        source.offer(frame(0))
        gated.allow("slow")
        until(lambda: gated.engines.ran == [("slow", 0)])
        gated.allow("fast", 3)
        for number in (1, 2, 3):
            source.offer(frame(number))
            until(lambda number=number: (e := source.newest(0)) is not None and e.capture_ns == number)
        assert gated.begun["slow"] == [0, 1]
        assert source.newest(0).memory_capture_ns == 0
        gated.allow("slow", 2)


def test_the_newest_frame_wins_and_the_counts_add_up(gated):
    with ConcurrentSource(gated) as source:
        source.reset()
        source.offer(frame(0))
        gated.allow("slow")
        until(lambda: gated.engines.ran == [("slow", 0)])
        source.offer(frame(1))
        until(lambda: gated.begun["fast"] == [1])
        for number in (2, 3, 4):
            source.offer(frame(number))
        gated.allow("fast", 2)
        until(lambda: (e := source.newest(0)) is not None and e.capture_ns == 4)
        assert gated.begun["fast"] == [1, 4]
        counts = source.counts
        assert counts.frames_seen == 5 == counts.fast_runs + counts.frames_dropped
        gated.allow("slow", 2)


def test_a_refresh_lands_at_the_next_start_and_only_the_last_of_several(gated):
    with ConcurrentSource(gated) as source:
        source.reset()
        gated.allow("slow", 2)
        for number in (0, 1):
            source.offer(frame(number))
            until(lambda number=number: ("slow", number) in gated.engines.ran)
        until(lambda: source.counts.frames_dropped == 2 or gated.begun["fast"])
        gated.allow("fast", 10)
        source.offer(frame(2))
        until(lambda: (e := source.newest(0)) is not None and e.capture_ns == 2)
        assert source.newest(0).memory_capture_ns in (0, 1)
        gated.allow("slow", 2)
        until(lambda: ("slow", 2) in gated.engines.ran)
        source.offer(frame(3))
        until(lambda: source.newest(0).capture_ns == 3)
        assert source.newest(0).memory_capture_ns == 2
        gated.allow("slow", 2)


def test_a_new_episode_has_nothing_of_the_last(gated):
    with ConcurrentSource(gated) as source:
        gated.allow("slow", 2)
        gated.allow("fast", 2)
        source.reset()
        for number in (0, 1):
            source.offer(frame(number))
            until(lambda number=number: ("slow", number) in gated.engines.ran)
        source.reset()
        assert source.newest(0) is None and source.counts.frames_seen == 0
        gated.allow("slow", 100)
        gated.allow("fast", 100)


@pytest.mark.parametrize("path", ["slow", "fast"])
def test_what_a_path_raises_reaches_the_caller(path, make_engines, monkeypatch):
    engines = make_engines()

    def fail(*_):
        raise MemoryError("no more memory")

    monkeypatch.setattr(type(getattr(engines, path)), {"slow": "memory", "fast": "run"}[path], fail)
    with ConcurrentSource(engines) as source:
        source.reset()
        with pytest.raises(RuntimeError, match="a depth path has failed: no more memory") as raised:
            end = time.monotonic() + PATIENCE_S
            for number in range(10**6):
                source.offer(frame(number % 256))
                assert time.monotonic() < end
        assert isinstance(raised.value.__cause__, MemoryError)


def test_runs_are_told_with_their_times(make_engines):
    runs = []
    with ConcurrentSource(make_engines(sleep_s=0.001), on_run=runs.append) as source:
        source.reset()
        for number in range(50):
            source.offer(frame(number))
            time.sleep(0.001)
        until(lambda: {r.path for r in runs} == {"slow", "fast"})
    assert all(run.end_ns >= run.start_ns for run in runs)
    assert source.counts.fast_runs == sum(run.path == "fast" for run in runs)
