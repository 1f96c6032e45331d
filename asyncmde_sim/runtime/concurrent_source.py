"""The asynchronous source on a wall clock: both paths really run side by side."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncmde_sim.runtime.engines import Engines
from asyncmde_sim.runtime.schedule import PathName
from asyncmde_sim.runtime.types import Estimate, Frame, SourceCounts


class TimedRun(NamedTuple):
    """A run of a path as the clock saw it.

    Args:
        path: Which.
        start_ns: Start.
        end_ns: End.
        contended: Whether the other path was running at the start.
    """

    path: PathName
    start_ns: int
    end_ns: int
    contended: bool


class _Refresh(NamedTuple):
    memory: Any
    capture_ns: int
    landed_ns: int


class _Slot:
    """Holds one frame, the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.seen = self.dropped = 0

    def put(self, frame: Frame) -> None:
        with self._changed:
            self.seen += 1
            self.dropped += self._frame is not None
            self._frame = frame
            self._changed.notify()

    def take(self) -> Frame | None:
        """Wait for a frame; None when the slot is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._frame is not None)
            frame, self._frame = self._frame, None
            return None if self._closed else frame

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


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
        on_run: Told of every run when its result is there, in the thread of its path.
    """

    def __init__(
        self,
        engines: Engines,
        clock: Callable[[], int] = time.monotonic_ns,
        on_run: Callable[[TimedRun], None] = lambda run: None,
    ) -> None:
        self._engines, self._clock, self._on_run = engines, clock, on_run
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
        for slot in self._slots.values():
            slot.put(frame)

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
        for slot in self._slots.values():
            slot.close()
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

    def _timed(self, path: PathName, run: Callable[..., Any], *arguments: Any) -> tuple[Any, TimedRun]:
        contended = self._running["fast" if path == "slow" else "slow"]
        self._started[path] += 1
        self._running[path] = True
        start = self._clock()
        try:
            result = run(*arguments)
        finally:
            self._running[path] = False
        return result, TimedRun(path, start, self._clock(), contended)

    def _slow_loop(self) -> None:
        while (frame := self._slots["slow"].take()) is not None:
            memory, run = self._timed("slow", self._engines.slow.memory, frame.image)
            self._landing.append(_Refresh(memory, frame.time_ns, run.end_ns))
            self._on_run(run)

    def _fast_loop(self) -> None:
        fast, state, refresh = self._engines.fast, None, None
        while (frame := self._slots["fast"].take()) is not None:
            if self._landing:
                refresh = self._landing.pop()
                state = fast.refreshed(state, refresh.memory)
            if refresh is None:  # there is no memory yet
                self._slots["fast"].dropped += 1
                continue
            (depth, state, trust), run = self._timed("fast", fast.run, frame.image, state)
            self._newest = Estimate(
                depth, frame.time_ns, run.end_ns, refresh.capture_ns, refresh.landed_ns, trust
            )
            self._on_run(run)
