"""The depth sources without a memory: what an agent is given, and when, under the laws of time.

All of them live in simulated time alone: how long the host computes, and when, changes nothing.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.engines import Engines, ModelEngines, RelativeEngine, SingleEngine, SlowEngine
from asyncmde_sim.runtime.lane import Done, Lane
from asyncmde_sim.runtime.latency import LatencyProfile
from asyncmde_sim.runtime.schedule import FrameQueue, PathName, Run, Schedule
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts

if TYPE_CHECKING:
    from asyncmde_sim.runtime.alignment import Alignment


class EpisodeSeeds:
    """One seed for each episode: a stream that starts again whenever a seed is given, and else goes on."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def next(self, seed: int | None) -> int:
        """The seed of the episode that starts now."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        return int(self._rng.integers(2**32))


def finished(state: dict[str, Any]) -> dict[str, Any]:
    """A source's attributes with every future's result there, so that they can be pickled."""

    def done(value: Any) -> Any:
        if isinstance(value, deque):
            return deque(map(done, value))
        return Done(value.result()) if isinstance(value, Future) else value

    return {name: done(value) for name, value in state.items()}


def inner_source(source: DepthSource) -> DepthSource:
    """What is behind a source that only delays or paces another one."""
    while (inner := getattr(source, "source", None)) is not None:
        source = inner
    return source


def close_source(source: DepthSource) -> None:
    """End a source that has threads or a device; any other has nothing to end."""
    close = getattr(inner_source(source), "close", None)
    if close is not None:
        close()


class OracleSource:
    """True depth at once. It runs on no device; delay it with ``DelayedSource``."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget everything."""
        self._queue = FrameQueue()
        self._newest: Estimate | None = None
        self._seen = 0

    def offer(self, frame: Frame) -> None:
        """Take a frame with its true depth.

        Raises:
            ValueError: It has none.
        """
        if frame.true_depth is None:
            raise ValueError(
                "the depth source 'oracle' needs the true depth of each frame, but the environment gives no "
                "info['true_depth']: use another source"
            )
        self._queue.push(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The true depth of the newest frame captured up to ``now_ns``."""
        self._queue.move_to(now_ns)
        while self._queue.next_ns is not None and self._queue.next_ns <= now_ns:
            frame = self._queue.pop()
            assert frame.true_depth is not None
            time = frame.time_ns
            self._newest = Estimate(frame.true_depth, time, time, time, time)
            self._seen += 1
        return self._newest

    @property
    def counts(self) -> SourceCounts:
        """No path runs and nothing is dropped."""
        return SourceCounts(frames_seen=self._seen)


class BlindSource:
    """Never an estimate: the control."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget everything."""
        self._queue = FrameQueue()
        self._seen = 0

    def offer(self, frame: Frame) -> None:
        """Take a frame and look away."""
        self._queue.push(replace(frame, true_depth=None))

    def newest(self, now_ns: int) -> Estimate | None:
        """None."""
        self._queue.move_to(now_ns)
        while self._queue.next_ns is not None and self._queue.next_ns <= now_ns:
            self._queue.pop()
            self._seen += 1
        return None

    @property
    def counts(self) -> SourceCounts:
        """All frames seen are dropped."""
        return SourceCounts(frames_seen=self._seen, frames_dropped=self._seen)


def _estimate_of(run: Run, depth: NDArray[np.float32]) -> Estimate:
    """What a run gave, without a memory."""
    return Estimate(depth, run.frame.time_ns, run.end_ns, run.frame.time_ns, run.end_ns)


class SinglePathSource:
    """One path alone, frame after frame: the slow path (``foundation``) or the fast path without memory.

    A run is computed in the background from the moment that it starts, and waited for when it is due.

    Args:
        path: "slow" runs ``engines.slow``, "fast" runs ``engines.single``.
        engines: The networks.
        profile: Latencies; the path always runs alone.
    """

    def __init__(self, path: PathName, engines: Engines, profile: LatencyProfile) -> None:
        self._path: PathName = path
        self._engines = engines
        self._profile = profile
        self._lane = Lane()
        self._seeds = EpisodeSeeds()
        self._start_episode(None)

    def _start_episode(self, seed: int | None) -> None:
        self._schedule = Schedule(self._profile, paths=(self._path,), seed=self._seeds.next(seed))
        self._in_flight: Future[Estimate | None] | None = None
        self._newest: Future[Estimate | None] | None = None

    def reset(self, seed: int | None = None) -> None:
        """Forget everything, and load the network if it is not yet there."""
        self._lane.wait()
        _ = self._engine
        self._start_episode(seed)

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time."""
        self._schedule.arrive(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The result of the last run that was done by ``now_ns``."""
        for event in self._schedule.advance(now_ns):
            if event.kind == "start":
                self._in_flight = self._lane.submit(self._compute, event.run)
            else:
                self._newest = self._in_flight
        return None if self._newest is None else self._newest.result()

    @property
    def _engine(self) -> SlowEngine | SingleEngine | RelativeEngine:
        return self._engines.slow if self._path == "slow" else self._engines.single

    def _compute(self, run: Run) -> Estimate | None:
        return _estimate_of(run, self._engine.run(run.frame.image))

    @property
    def counts(self) -> SourceCounts:
        """Counts up to the last ``newest``; runs are counted when they start."""
        path = self._schedule.counts(self._path)
        runs = {"slow_runs": path.used} if self._path == "slow" else {"fast_runs": path.used}
        return SourceCounts(frames_seen=path.seen, frames_dropped=path.dropped, **runs)

    def __getstate__(self) -> dict[str, Any]:
        return finished(self.__dict__)


class AlignedSource(SinglePathSource):
    """A slow path that gives relative depth, alone, brought to metres by an alignment.

    Where the alignment can say nothing, there is no new estimate. Aligning takes no time of its own in
    simulation.

    Args:
        engines: The networks.
        profile: Latencies; the path always runs alone.
        alignment: It belongs to this source alone.
    """

    def __init__(self, engines: ModelEngines, profile: LatencyProfile, alignment: Alignment) -> None:
        self._model, self._alignment = engines, alignment
        super().__init__("slow", engines, profile)

    def _start_episode(self, seed: int | None) -> None:
        super()._start_episode(seed)
        self._alignment.reset()
        self._aligned: Estimate | None = None

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time.

        Raises:
            ValueError: It lacks what the alignment needs.
        """
        self._alignment.check(frame)
        super().offer(frame)

    @property
    def _engine(self) -> RelativeEngine:
        return self._model.relative

    def _compute(self, run: Run) -> Estimate | None:
        depth = self._alignment.align(self._engine.run(run.frame.image), run.frame)
        if depth is not None:
            self._aligned = _estimate_of(run, depth)
        return self._aligned


class DelayedSource:
    """Any source behind a constant, pipelined delay: it delivers what it had that much earlier.

    Nothing is dropped by the delay. ``counts`` are those of the source at the earlier time.

    Args:
        source: The source.
        latency_ns: The delay, 0 or more.
    """

    def __init__(self, source: DepthSource, latency_ns: int) -> None:
        if latency_ns < 0:
            raise ValueError(f"latency_ns is {latency_ns}, but a delay is 0 ns or more")
        self._source = source
        self._latency_ns = latency_ns

    @property
    def source(self) -> DepthSource:
        """The source."""
        return self._source

    def reset(self, seed: int | None = None) -> None:
        """Forget everything."""
        self._source.reset(seed)

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time."""
        self._source.offer(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """What the source had at ``now_ns - latency_ns``, its times of arrival later by the delay."""
        estimate = self._source.newest(now_ns - self._latency_ns)
        if estimate is None:
            return None
        return replace(
            estimate,
            available_ns=estimate.available_ns + self._latency_ns,
            refresh_landed_ns=estimate.refresh_landed_ns + self._latency_ns,
        )

    @property
    def counts(self) -> SourceCounts:
        """The source's counts."""
        return self._source.counts
