"""Latency traces replayed: the schedule is what happened, instead of what a profile makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from asyncmde_sim.runtime.latency import LatencyProfile, load_profile
from asyncmde_sim.runtime.refresh import RefreshPolicy
from asyncmde_sim.runtime.schedule import Event, FrameQueue, PathCounts, PathName, Run, Schedule
from asyncmde_sim.runtime.trace import Fate, FrameRecord, LatencyTrace, read_trace
from asyncmde_sim.runtime.types import Frame

TOLERANCE_NS = 1_000_000
"""Frames must come when those of the trace came, to within this."""

Timing = LatencyProfile | LatencyTrace
"""What a device's latencies are known by."""


class Timeline(Protocol):
    """Which path starts on which frame and when it is done; see ``schedule.Schedule``."""

    def arrive(self, frame: Frame) -> None: ...

    def advance(self, now_ns: int) -> Iterator[Event]: ...

    def counts(self, path: PathName) -> PathCounts: ...


def load_timing(name_or_path: str) -> Timing:
    """A latency profile by name or JSON file, or a latency trace (.parquet).

    Raises:
        ValueError: There is none, or the file does not hold one.
    """
    path = Path(name_or_path)
    return read_trace(path) if path.suffix == ".parquet" and path.is_file() else load_profile(name_or_path)


def start_timeline(timing: Timing, policy: RefreshPolicy, seed: int) -> Timeline:
    """Both paths of one episode. A trace says itself when the slow path starts, so it has no policy."""
    if isinstance(timing, LatencyTrace):
        return ReplayedSchedule(timing.episode(seed), timing.name)
    return Schedule(timing, policy, seed=seed)


class Step(NamedTuple):
    """What happens at one time: a run on a frame of the episode starts or ends."""

    time_ns: int
    kind: Literal["start", "finish"]
    path: PathName
    frame: int
    start_ns: int
    end_ns: int


def steps_of(episode: Sequence[FrameRecord]) -> list[Step]:
    """All that happened in an episode, in time order.

    The times of a device are known to within the clocks' error, the order of what it did exactly, so the
    order rules: a refresh lands before the first fast run that read it and after the last that did not, and
    answers come in the order of the runs. An estimate that came late is there when the next one is, which
    hides it.
    """
    fast = sorted(
        (r for r in episode if r.fast_start_ns is not None), key=lambda r: (r.fast_start_ns, r.frame)
    )
    starts = [max(int(r.fast_start_ns or 0), r.capture_ns) for r in fast]
    placed: list[tuple[int, float, Step]] = []

    def place(order: float, step: Step) -> None:
        placed.append((step.time_ns, order, step))

    ends: dict[int, int] = {}
    last = 0
    for index, record in enumerate(fast):
        if record.fate is Fate.DELIVERED and record.available_ns is not None:
            last = max(last, starts[index], record.available_ns)
            ends[index] = last
    following: int | None = None
    for index in reversed(range(len(fast))):
        following = ends.get(index, following)
        end = following if following is not None else starts[index]
        number = fast[index].frame
        place(index, Step(starts[index], "start", "fast", number, starts[index], end))
        if following is not None:
            place(index + 0.25, Step(end, "finish", "fast", number, starts[index], end))
    for record in episode:
        if record.slow_start_ns is None or record.slow_end_ns is None:
            continue
        users = [
            i for i, r in enumerate(fast) if r.memory_frame is not None and r.memory_frame >= record.frame
        ]
        before = [
            i for i, r in enumerate(fast) if r.memory_frame is not None and r.memory_frame < record.frame
        ]
        order = (users[0] if users else len(fast)) - 0.5
        end = max(record.slow_end_ns, record.capture_ns, *(starts[i] for i in before[-1:]))
        if users and fast[users[0]].memory_frame == record.frame:
            end = min(end, starts[users[0]])
        start = min(max(record.slow_start_ns, record.capture_ns), end)
        place(order - 0.2, Step(start, "start", "slow", record.frame, start, end))
        place(order, Step(end, "finish", "slow", record.frame, start, end))
    return [step for _, _, step in sorted(placed, key=lambda p: p[:2])]


class ReplayedSchedule:
    """The timeline of a recorded episode; an episode that is longer begins with it again.

    Args:
        episode: Its frames.
        name: The trace, for errors.
    """

    def __init__(self, episode: Sequence[FrameRecord], name: str) -> None:
        self._name = name
        self._captures = [record.capture_ns for record in episode]
        self._interval_ns = self._captures[1] if len(episode) > 1 else 0
        self._steps = steps_of(episode)
        self._oldest = [*accumulate((s.frame for s in reversed(self._steps)), min)][::-1]
        self._next, self._lap = 0, 0
        self._queue = FrameQueue()
        self._frames: dict[int, Frame] = {}
        self._arrived = 0
        self._first_ns: int | None = None
        self._now_ns = 0
        self._runs: dict[tuple[PathName, int], Run] = {}
        self._used: dict[PathName, int] = {"slow": 0, "fast": 0}
        self._dropped: dict[PathName, int] = {"slow": 0, "fast": 0}
        self._waiting: dict[PathName, int | None] = {"slow": None, "fast": None}

    def arrive(self, frame: Frame) -> None:
        """Queue a frame; it arrives at its capture time.

        Raises:
            ValueError: It comes at another time than the frame of the trace.
        """
        if self._first_ns is None:
            self._first_ns = self._now_ns = frame.time_ns
        self._queue.push(frame)

    def advance(self, now_ns: int) -> Iterator[Event]:
        """Yield, in time order, everything that happens up to and including ``now_ns``; exhaust it."""
        self._queue.move_to(now_ns)
        while True:
            step, at = self._upcoming()
            arrival = self._queue.next_ns
            if arrival is not None and arrival <= now_ns and (step is None or arrival <= at):
                self._take(self._queue.pop())
            elif step is not None and at <= now_ns:
                self._now_ns = at
                self._next += 1
                yield self._event(step, at)
            else:
                return

    def counts(self, path: PathName) -> PathCounts:
        """Counts of one path up to the time advanced to."""
        waiting = int(self._waiting[path] is not None)
        return PathCounts(self._arrived, self._used[path], self._dropped[path], waiting)

    def _upcoming(self) -> tuple[Step | None, int]:
        """The next step and when it happens, None while there is none."""
        count = len(self._captures)
        if self._next == len(self._steps):
            if self._first_ns is None or not self._steps or self._arrived < count * (self._lap + 1) + 1:
                return None, 0
            self._next, self._lap = 0, self._lap + 1
        step = self._steps[self._next]
        assert self._first_ns is not None
        return step, max(self._now_ns, self._first_ns + self._shift_ns + step.time_ns)

    @property
    def _shift_ns(self) -> int:
        return self._lap * len(self._captures) * self._interval_ns

    def _take(self, frame: Frame) -> None:
        lap, index = divmod(self._arrived, len(self._captures))
        assert self._first_ns is not None
        expected = self._captures[index] + lap * len(self._captures) * self._interval_ns
        if abs(frame.time_ns - self._first_ns - expected) > TOLERANCE_NS:
            raise ValueError(
                f"frame {self._arrived} of the episode comes after "
                f"{(frame.time_ns - self._first_ns) / 1e6:.1f} ms, but in the latency trace {self._name} "
                f"after {expected / 1e6:.1f} ms: replay it in an environment with the same frame rate"
            )
        self._frames[self._arrived] = frame
        for path, waiting in self._waiting.items():
            self._dropped[path] += waiting is not None
            self._waiting[path] = self._arrived
        self._arrived += 1

    def _event(self, step: Step, at: int) -> Event:
        assert self._first_ns is not None
        number = step.frame + self._lap * len(self._captures)
        if step.kind == "finish":
            return Event("finish", self._runs.pop((step.path, number)))
        since = self._first_ns + self._shift_ns
        run = Run(step.path, self._frames[number], at, max(at, since + step.end_ns))
        self._runs[step.path, number] = run
        self._used[step.path] += 1
        if self._waiting[step.path] == number:
            self._waiting[step.path] = None
        else:  # it was taken for dropped when a newer one came; the device had it all the same
            self._dropped[step.path] -= 1
        if step.path == "fast":
            oldest = self._oldest[self._next - 1] + self._lap * len(self._captures)
            for old in [f for f in self._frames if f < oldest]:
                del self._frames[old]
        return Event("start", run)
