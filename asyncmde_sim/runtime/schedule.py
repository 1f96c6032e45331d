"""The schedule: which path starts on which frame and when it is done, in simulated time, without computing.

Nothing here runs a network or reads a clock. ``Schedule.advance`` yields what happens in time order, and a
depth source computes what it needs at each event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from asyncmde_sim.runtime.latency import LatencyProfile
from asyncmde_sim.runtime.refresh import FreeRunning, RefreshPolicy, RefreshView
from asyncmde_sim.runtime.types import Frame

PathName = Literal["slow", "fast"]
_PATHS: tuple[PathName, ...] = ("slow", "fast")


@dataclass(frozen=True)
class Run:
    """One run of a path: it reads ``frame`` at ``start_ns`` and its result is there at ``end_ns``."""

    path: PathName
    frame: Frame
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class Event:
    """The start or the end of a run."""

    kind: Literal["start", "finish"]
    run: Run


@dataclass(frozen=True)
class PathCounts:
    """Frames of one path so far: ``seen = used + dropped + waiting``; a run that starts uses its frame."""

    seen: int
    used: int
    dropped: int
    waiting: int


class FrameQueue:
    """Frames that were offered and have not arrived yet, and a check that time only moves forwards."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._last_ns: int | None = None
        self._now_ns: int | None = None

    def push(self, frame: Frame) -> None:
        """Queue a frame.

        Raises:
            ValueError: Captured no later than the frame before it, or before a time already asked about.
        """
        if self._last_ns is not None and frame.time_ns <= self._last_ns:
            raise ValueError(
                f"a frame of {frame.time_ns} ns was offered after one of {self._last_ns} ns: "
                "capture times must increase; reset the source between episodes"
            )
        if self._now_ns is not None and frame.time_ns < self._now_ns:
            raise ValueError(
                f"a frame of {frame.time_ns} ns was offered after time {self._now_ns} ns was asked "
                "about: offer each frame at its capture time"
            )
        self._last_ns = frame.time_ns
        self._frames.append(frame)

    def move_to(self, now_ns: int) -> None:
        """Set the time asked about.

        Raises:
            ValueError: It is earlier than the last one.
        """
        if self._now_ns is not None and now_ns < self._now_ns:
            raise ValueError(
                f"time {now_ns} ns was asked about after {self._now_ns} ns: it must not decrease"
            )
        self._now_ns = now_ns

    @property
    def next_ns(self) -> int | None:
        """Capture time of the next frame, None if there is none."""
        return self._frames[0].time_ns if self._frames else None

    def pop(self) -> Frame:
        """Take the next frame."""
        return self._frames.popleft()


class Durations(Protocol):
    """How long runs take."""

    def of(self, path: PathName, frame: Frame, contended: bool) -> int:
        """The duration, ns, of a run that starts now; ``contended`` if the other path is running."""
        ...


class DrawnDurations:
    """Durations drawn from a profile. Each path draws from its own generator.

    Args:
        profile: Latencies.
        seed: Draws them.
    """

    def __init__(self, profile: LatencyProfile, seed: int) -> None:
        self._profile = profile
        self._rngs = {name: np.random.default_rng([seed, index]) for index, name in enumerate(_PATHS)}

    def of(self, path: PathName, frame: Frame, contended: bool) -> int:
        """One of the observed durations."""
        return self._profile.latency(path, contended).draw(self._rngs[path])


class _Path:
    """One path's run in flight, its single waiting frame and its counts."""

    def __init__(self, name: PathName, durations: Durations) -> None:
        self.name: PathName = name
        self._durations = durations
        self.running: Run | None = None
        self.waiting: Frame | None = None
        self.seen = self.used = self.dropped = 0

    def take(self, frame: Frame) -> None:
        self.seen += 1
        self.dropped += self.waiting is not None
        self.waiting = frame

    def start(self, now_ns: int, contended: bool) -> Run:
        assert self.waiting is not None and self.running is None
        latency_ns = self._durations.of(self.name, self.waiting, contended)
        self.running = Run(self.name, self.waiting, now_ns, now_ns + latency_ns)
        self.waiting = None
        self.used += 1
        return self.running

    def finish_if_due(self, now_ns: int) -> Run | None:
        run = self.running
        if run is None or run.end_ns != now_ns:
            return None
        self.running = None
        return run

    @property
    def counts(self) -> PathCounts:
        return PathCounts(self.seen, self.used, self.dropped, int(self.waiting is not None))


class Schedule:
    """Event-driven simulation of one or both paths on one device.

    Every frame goes to every path. A path holds one waiting frame, the newest; a newer one replaces it, and
    the older is dropped and counted. At one instant things happen in this order: the slow path's run lands,
    the fast path's run finishes, the frame arrives, the slow path starts if it is free and the policy says
    so, the fast path starts if it is free. A run without latency ends before anything else starts, so with
    zero latency each frame is refreshed first and then seen by the fast path. With both paths, the fast path
    waits for the first landing: it has no memory before.

    A run's latency is asked for at its start, contended if the other path is running then.

    Args:
        durations: Latencies: a profile to draw from, or anything that says how long each run takes.
        policy: When the slow path starts; only asked if it is among the paths.
        paths: Which paths run.
        seed: Draws the latencies of a profile.
    """

    def __init__(
        self,
        durations: LatencyProfile | Durations,
        policy: RefreshPolicy | None = None,
        paths: Sequence[PathName] = _PATHS,
        seed: int = 0,
    ) -> None:
        if isinstance(durations, LatencyProfile):
            durations = DrawnDurations(durations, seed)
        self._policy = policy or FreeRunning()
        self._queue = FrameQueue()
        self._paths: dict[PathName, _Path] = {
            name: _Path(name, durations) for name in _PATHS if name in paths
        }
        self._needs_memory = len(self._paths) == 2
        self._newest_index = -1
        self._last_slow: tuple[int, Frame] | None = None

    def arrive(self, frame: Frame) -> None:
        """Queue a frame; it arrives at its capture time. Times must increase."""
        self._queue.push(frame)

    def counts(self, path: PathName) -> PathCounts:
        """Counts of one path up to the time advanced to."""
        return self._paths[path].counts

    def advance(self, now_ns: int) -> Iterator[Event]:
        """Yield, in time order, everything that happens up to and including ``now_ns``; exhaust it."""
        self._queue.move_to(now_ns)
        while (instant := self._next_instant()) is not None and instant <= now_ns:
            yield from self._finish(instant)
            if self._queue.next_ns == instant:
                self._newest_index += 1
                frame = self._queue.pop()
                for path in self._paths.values():
                    path.take(frame)
            for path in self._paths.values():
                if self._may_start(path):
                    yield Event("start", path.start(instant, self._other_runs(path)))
                    yield from self._finish(instant)

    def _next_instant(self) -> int | None:
        times = [path.running.end_ns for path in self._paths.values() if path.running is not None]
        if self._queue.next_ns is not None:
            times.append(self._queue.next_ns)
        return min(times, default=None)

    def _finish(self, instant: int) -> Iterator[Event]:
        for path in self._paths.values():
            run = path.finish_if_due(instant)
            if run is not None:
                if path.name == "slow":
                    self._needs_memory = False
                yield Event("finish", run)

    def _may_start(self, path: _Path) -> bool:
        if path.running is not None or path.waiting is None:
            return False
        if path.name == "fast":
            return not self._needs_memory
        if not self._policy.due(self._refresh_view(path.waiting)):
            return False
        self._last_slow = self._newest_index, path.waiting
        return True

    def _refresh_view(self, newest: Frame) -> RefreshView:
        if self._last_slow is None:
            return RefreshView(self._newest_index, None)
        index, frame = self._last_slow
        turned = None
        if newest.view is not None and frame.view is not None:
            cosine = (np.sum(newest.view.pose[:3, :3] * frame.view.pose[:3, :3]) - 1) / 2
            turned = float(np.arccos(np.clip(cosine, -1, 1)))
        return RefreshView(self._newest_index, index, turned)

    def _other_runs(self, path: _Path) -> bool:
        return any(other is not path and other.running is not None for other in self._paths.values())
