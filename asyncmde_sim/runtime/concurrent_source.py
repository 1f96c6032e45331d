"""The asynchronous source on a wall clock: both paths really run side by side."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from asyncmde_sim.runtime.engines import FastEngine, SlowEngine
from asyncmde_sim.runtime.schedule import PathName
from asyncmde_sim.runtime.types import Estimate, Frame, SourceCounts


class BothPaths(Protocol):
    """The engines of both paths."""

    @property
    def slow(self) -> SlowEngine: ...

    @property
    def fast(self) -> FastEngine: ...


class TimedRun(NamedTuple):
    """A run of a path as the clock saw it.

    Args:
        path: Which.
        frame: What it ran on.
        start_ns: Start.
        end_ns: End.
        contended: Whether the other path was running at the start.
    """

    path: PathName
    frame: Frame
    start_ns: int
    end_ns: int
    contended: bool


class Answered(NamedTuple):
    """What a run of the fast path gave.

    Args:
        run: The run.
        estimate: Its estimate.
        refresh: The slow path's run behind the memory that it read.
    """

    run: TimedRun
    estimate: Estimate
    refresh: TimedRun


class Listener:
    """Told what happens, in the thread in which it happens; does nothing by itself."""

    def ran(self, run: TimedRun) -> None:
        """A run has ended well."""

    def answered(self, answer: Answered) -> None:
        """A run of the fast path has given an estimate; told after ``ran``."""

    def dropped(self, frame: Frame) -> None:
        """A frame will never have an estimate: a newer one came first, or there was no memory yet."""

    def failed(self, error: BaseException) -> None:
        """A run has raised; nothing more will happen until a reset."""


class _Refresh(NamedTuple):
    memory: Any
    run: TimedRun


class _Slot:
    """Holds one frame, the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.seen = self.dropped = 0

    def put(self, frame: Frame) -> Frame | None:
        """Replace the frame; the one that never was taken, if there is one."""
        with self._changed:
            self.seen += 1
            self.dropped += self._frame is not None
            replaced, self._frame = self._frame, frame
            self._changed.notify()
            return replaced

    def take(self) -> Frame | None:
        """Wait for a frame; None when the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frame is not None)
            if self._closed:
                return None
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> Frame | None:
        """Let go of whoever waits; the frame that never was taken, if there is one."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            left, self._frame = self._frame, None
            return left


class ConcurrentSource:
    """``AsyncSource`` on a wall clock: each path in a thread of its own, both on the newest frame.

    The fast path never waits for the slow one. The slow path leaves a finished memory behind, and the fast
    path takes it at the start of its next run; the frame that it is running on then is not touched. So a
    refresh lands at the start of a fast run, and of two that come between two starts the older is lost.

    Laws 2, 4 and 5 hold; law 3 cannot: the times are what the host needs. Call ``close`` at the end, or use
    a ``with`` block.

    Args:
        engines: The networks; ``slow`` and ``fast`` must be able to run at the same time.
        clock: Present time in ns, by the clock that also gives the frames' capture times.
        listener: Told of all that happens. Every frame offered is answered or dropped in the end, unless a
            path fails.
    """

    def __init__(
        self,
        engines: BothPaths,
        clock: Callable[[], int] = time.monotonic_ns,
        listener: Listener | None = None,
    ) -> None:
        self._engines, self._clock, self._listener = engines, clock, listener or Listener()
        self._threads: list[threading.Thread] = []
        self._begin()

    def _begin(self) -> None:
        self._slots: dict[PathName, _Slot] = {"slow": _Slot(), "fast": _Slot()}
        self._started: dict[PathName, int] = {"slow": 0, "fast": 0}
        self._running: dict[PathName, bool] = {"slow": False, "fast": False}
        self._landing: deque[_Refresh] = deque(maxlen=1)
        self._newest: Estimate | None = None
        self._error: BaseException | None = None

    def reset(self, seed: int | None = None) -> None:
        """Forget everything and start the threads. A run of the last episode is waited for, then dropped."""
        self.close()
        _ = self._engines.slow, self._engines.fast
        self._begin()
        loops = (self._slow_loop, self._fast_loop)
        self._threads = [threading.Thread(target=self._guarded, args=(loop,), daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def offer(self, frame: Frame) -> None:
        """Take a frame, and never wait.

        Raises:
            RuntimeError: A path has failed; its own error is the cause.
        """
        self._raise_if_failed()
        self._slots["slow"].put(frame)
        replaced = self._slots["fast"].put(frame)
        if replaced is not None:
            self._listener.dropped(replaced)

    def newest(self, now_ns: int) -> Estimate | None:
        """The newest estimate that is there, whatever ``now_ns`` is.

        Raises:
            RuntimeError: A path has failed; its own error is the cause.
        """
        self._raise_if_failed()
        return self._newest

    @property
    def counts(self) -> SourceCounts:
        """Counts so far; a dropped frame is one that the fast path never ran on."""
        fast = self._slots["fast"]
        return SourceCounts(
            fast.seen, fast.dropped, fast_runs=self._started["fast"], slow_runs=self._started["slow"]
        )

    def close(self) -> None:
        """End both threads; what runs is waited for."""
        self._slots["slow"].close()
        left = self._slots["fast"].close()
        if left is not None:
            self._listener.dropped(left)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def __enter__(self) -> ConcurrentSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise RuntimeError(f"a depth path has failed: {self._error}") from self._error

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as error:
            self._error = error
            self._listener.failed(error)

    def _timed(
        self, path: PathName, frame: Frame, run: Callable[..., Any], *arguments: Any
    ) -> tuple[Any, TimedRun]:
        contended = self._running["fast" if path == "slow" else "slow"]
        self._started[path] += 1
        self._running[path] = True
        start = self._clock()
        try:
            result = run(frame.image, *arguments)
        finally:
            self._running[path] = False
        return result, TimedRun(path, frame, start, self._clock(), contended)

    def _slow_loop(self) -> None:
        while (frame := self._slots["slow"].take()) is not None:
            memory, run = self._timed("slow", frame, self._engines.slow.memory)
            self._landing.append(_Refresh(memory, run))
            self._listener.ran(run)

    def _fast_loop(self) -> None:
        fast, state, refresh = self._engines.fast, None, None
        while (frame := self._slots["fast"].take()) is not None:
            if self._landing:
                memory, refresh = self._landing.pop()
                state = fast.refreshed(state, memory)
            if refresh is None:  # there is no memory yet
                self._slots["fast"].dropped += 1
                self._listener.dropped(frame)
                continue
            (depth, state, trust), run = self._timed("fast", frame, fast.run, state)
            self._newest = Estimate(
                depth, frame.time_ns, run.end_ns, refresh.frame.time_ns, refresh.end_ns, trust
            )
            self._listener.ran(run)
            self._listener.answered(Answered(run, self._newest, refresh))
