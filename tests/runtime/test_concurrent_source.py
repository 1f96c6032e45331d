"""Both paths on a wall clock: nobody waits for the slow path, the newest frame wins, and nothing is lost."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from asyncmde_sim.runtime import Frame
from asyncmde_sim.runtime.concurrent_source import ConcurrentSource, Listener

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


class Notes(Listener):
    """What a source told."""

    def __init__(self):
        self.runs, self.answers, self.drops, self.errors = [], [], [], []

    def ran(self, run):
        self.runs.append(run)

    def answered(self, answer):
        self.answers.append(answer)

    def dropped(self, frame):
        self.drops.append(frame.time_ns)

    def failed(self, error):
        self.errors.append(error)


class Session:
    """A source over gated engines, started, with a memory of frame 0 that no fast run has seen yet."""

    def __init__(self, engines):
        self.engines = Gated(engines)
        self.notes = Notes()
        self.source = ConcurrentSource(self.engines, listener=self.notes)

    def __enter__(self):
        self.source.reset()
        self.source.offer(frame(0))
        until(lambda: self.source.counts.frames_dropped == 1)
        self.engines.allow("slow")
        self.await_runs("slow", 1)
        return self

    def __exit__(self, *_):
        for path in ("slow", "fast"):
            self.engines.allow(path, 1000)
        self.source.close()

    def await_runs(self, path, count):
        until(lambda: sum(run.path == path for run in self.notes.runs) == count)

    def await_begun(self, path, numbers):
        until(lambda: self.engines.begun[path] == numbers)


@pytest.fixture
def session(make_engines):
    with Session(make_engines()) as session:
        yield session


def test_the_fast_path_goes_on_while_the_slow_path_runs(session):
    session.engines.allow("fast", 3)
    for number in (1, 2, 3):
        session.source.offer(frame(number))
        session.await_runs("fast", number)
        assert session.source.newest(0).capture_ns == number
        assert session.source.newest(0).memory_capture_ns == 0
    until(lambda: len(session.engines.begun["slow"]) == 2)
    assert session.source.counts.slow_runs == 2 and sum(r.path == "slow" for r in session.notes.runs) == 1


def test_the_newest_frame_wins_and_the_counts_add_up(session):
    session.source.offer(frame(1))
    session.await_begun("fast", [1])
    for number in (2, 3, 4):
        session.source.offer(frame(number))
    session.engines.allow("fast", 2)
    session.await_runs("fast", 2)
    assert session.engines.begun["fast"] == [1, 4]
    assert session.source.newest(0).capture_ns == 4
    counts = session.source.counts
    assert counts.frames_seen == 5 == counts.fast_runs + counts.frames_dropped


def test_a_refresh_lands_at_the_next_start_and_of_several_the_last(session):
    def memory_behind(number):
        """The frame behind the memory that the fast path saw, once its next run is done."""
        session.engines.allow("fast")
        session.await_runs("fast", number)
        assert session.source.newest(0).capture_ns == number
        return session.source.newest(0).memory_capture_ns

    session.source.offer(frame(1))
    session.await_begun("fast", [1])
    session.engines.allow("slow")
    session.await_runs("slow", 2)
    assert memory_behind(1) == 0
    session.source.offer(frame(2))
    assert memory_behind(2) == 1
    session.await_begun("slow", [0, 1, 2])
    session.source.offer(frame(3))
    session.await_begun("fast", [1, 2, 3])
    session.engines.allow("slow", 2)
    session.await_runs("slow", 4)
    assert memory_behind(3) == 1
    session.source.offer(frame(4))
    assert memory_behind(4) == 3


def test_a_new_episode_has_nothing_of_the_last(session):
    session.engines.allow("slow", 1000)
    session.engines.allow("fast", 1000)
    session.source.offer(frame(1))
    session.await_runs("fast", 1)
    session.source.reset()
    assert session.source.newest(0) is None and session.source.counts.frames_seen == 0


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
    notes = Notes()
    runs = notes.runs
    with ConcurrentSource(make_engines(sleep_s=0.001), listener=notes) as source:
        source.reset()
        for number in range(50):
            source.offer(frame(number))
            time.sleep(0.001)
        until(lambda: {r.path for r in runs} == {"slow", "fast"})
    assert all(run.end_ns >= run.start_ns for run in runs)
    assert source.counts.fast_runs == sum(run.path == "fast" for run in runs)


def test_every_frame_is_answered_or_dropped_and_told_once(make_engines):
    notes = Notes()
    with ConcurrentSource(make_engines(sleep_s=0.001), listener=notes) as source:
        source.reset()
        for number in range(100):
            source.offer(frame(number))
            time.sleep(0.0004)
    ended = [answer.run.frame.time_ns for answer in notes.answers] + notes.drops
    assert sorted(ended) == list(range(100))
    assert all(a.refresh.end_ns <= a.run.start_ns for a in notes.answers)
    assert all(a.estimate.memory_capture_ns == a.refresh.frame.time_ns for a in notes.answers)


def test_a_failure_is_told_at_once(make_engines, monkeypatch):
    notes, engines = Notes(), make_engines()
    error = MemoryError("no more memory")

    def fail(*_):
        raise error

    monkeypatch.setattr(type(engines.slow), "memory", fail)
    with ConcurrentSource(engines, listener=notes) as source:
        source.reset()
        source.offer(frame(1))
        until(lambda: notes.errors == [error])
