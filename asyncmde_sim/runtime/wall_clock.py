"""Simulated time tied to the host's: a simulation that runs in real time."""

from __future__ import annotations

import time
from collections.abc import Callable

from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts


class WallClock:
    """Simulated time that passes as the host's does, from the episode's first frame on.

    A simulation that is late makes the clock stand still until it is there, which is counted: what a device
    takes is then charged too little.

    Args:
        monotonic: The host's time, ns.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        monotonic: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._monotonic, self._sleep = monotonic, sleep
        self._origin_ns: int | None = None
        self.steps = self.late_steps = self.slipped_ns = 0

    def stop(self) -> None:
        """An episode has ended; the next ``wait_until`` begins another. Counts go on."""
        self._origin_ns = None

    def now_ns(self) -> int:
        """Simulated time now; that of the first frame is needed before."""
        return self.at(self._monotonic())

    def at(self, host_ns: int) -> int:
        """Simulated time at a time of the host's clock."""
        if self._origin_ns is None:
            raise RuntimeError("the wall clock has not begun: wait for the episode's first frame")
        return host_ns - self._origin_ns

    def wait_until(self, time_ns: int) -> None:
        """Return at this simulated time, at once if it has passed."""
        if self._origin_ns is None:
            self._origin_ns = self._monotonic() - time_ns
            return
        self.steps += 1
        ahead_ns = time_ns - self.now_ns()
        if ahead_ns < 0:
            self.late_steps += 1
            self.slipped_ns -= ahead_ns
            self._origin_ns -= ahead_ns
        while ahead_ns > 0:
            self._sleep(ahead_ns * 1e-9)
            ahead_ns = time_ns - self.now_ns()


class PacedSource:
    """A source that runs on the wall clock: each frame is offered at its time, not before.

    Args:
        source: The source; it asks ``clock`` for the time.
        clock: The clock.
    """

    def __init__(self, source: DepthSource, clock: WallClock) -> None:
        self.source, self.clock = source, clock

    def reset(self, seed: int | None = None) -> None:
        """Forget everything; time begins with the next frame."""
        self.source.reset(seed)
        self.clock.stop()

    def offer(self, frame: Frame) -> None:
        """Wait for the frame's capture time, and take it."""
        self.clock.wait_until(frame.time_ns)
        self.source.offer(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The newest estimate that is there."""
        return self.source.newest(now_ns)

    @property
    def counts(self) -> SourceCounts:
        """The source's counts."""
        return self.source.counts
