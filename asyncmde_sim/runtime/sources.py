"""The depth sources: what an agent is given, and when, under the laws of time.

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
from asyncmde_sim.runtime.refresh import RefreshPolicy
from asyncmde_sim.runtime.replay import Timing, start_timeline
from asyncmde_sim.runtime.reprojection import combine, reproject
from asyncmde_sim.runtime.schedule import FrameQueue, PathName, Run, Schedule
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts, View

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


class AsyncSource:
    """The paper's system: the slow path refreshes a memory from which the fast path reads on every frame.

    A fast run reads the memory as it is at its start. A refresh that lands while it is in flight overwrites
    the memory which that run would have written, and leaves its estimate and its other state as they are.
    There is no estimate before the first refresh has landed and a fast run that read it is done.

    Runs are computed in the background from the moment that they start, each path in a lane of its own; an
    estimate is waited for when it is due. What the fast path carries from frame to frame is touched in its
    lane alone.

    Args:
        engines: The networks.
        timing: Latencies, or a trace of what happened.
        policy: When the slow path starts; a trace says so itself.
    """

    def __init__(self, engines: Engines, timing: Timing, policy: RefreshPolicy) -> None:
        self._engines = engines
        self._timing = timing
        self._policy = policy
        self._slow_lane, self._fast_lane = Lane(), Lane()
        self._seeds = EpisodeSeeds()
        self._start_episode(None)

    def _start_episode(self, seed: int | None) -> None:
        self._schedule = start_timeline(self._timing, self._policy, self._seeds.next(seed))
        self._state: Any = None
        self._refresh: Run | None = None
        self._slow: Future[Any] | None = None
        self._landing: Future[None] | None = None
        self._in_flight: deque[Future[Estimate]] = deque()
        self._newest: Future[Estimate] | None = None

    def reset(self, seed: int | None = None) -> None:
        """Forget everything, and load the networks if they are not yet there."""
        self._wait()
        _ = self._engines.slow, self._engines.fast
        self._start_episode(seed)

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time."""
        self._schedule.arrive(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The result of the last fast run that was done by ``now_ns``."""
        for event in self._schedule.advance(now_ns):
            run = event.run
            if run.path == "slow" and event.kind == "start":
                self._slow = self._slow_lane.submit(self._run_slow, run)
            elif run.path == "slow":
                self._landing = self._fast_lane.submit(self._refreshed_by, run, self._slow)
            elif event.kind == "start":
                self._in_flight.append(self._fast_lane.submit(self._fast_after, self._landing, run))
            else:
                self._newest = self._in_flight.popleft()
        return None if self._newest is None else self._newest.result()

    def _run_slow(self, run: Run) -> Any:
        return self._engines.slow.memory(run.frame.image)

    def _refreshed_by(self, run: Run, slow: Future[Any]) -> None:
        self._refresh = run
        self._land(slow.result())

    def _land(self, memory: Any) -> None:
        self._state = self._engines.fast.refreshed(self._state, memory)

    def _fast_after(self, landing: Future[None], run: Run) -> Estimate:
        """What a landing raised is raised again here, where it is waited for."""
        landing.result()
        return self._run_fast(run)

    def _run_fast(self, run: Run) -> Estimate:
        """Run and write back at once: until the run is done, only a refresh touches what it wrote."""
        assert self._refresh is not None
        depth, self._state, trust = self._engines.fast.run(run.frame.image, self._state)
        return Estimate(
            depth=depth,
            capture_ns=run.frame.time_ns,
            available_ns=run.end_ns,
            memory_capture_ns=self._refresh.frame.time_ns,
            refresh_landed_ns=self._refresh.end_ns,
            trust=trust,
        )

    @property
    def counts(self) -> SourceCounts:
        """Counts up to the last ``newest``; a dropped frame is one that the fast path never ran on."""
        fast, slow = self._schedule.counts("fast"), self._schedule.counts("slow")
        return SourceCounts(fast.seen, fast.dropped, fast_runs=fast.used, slow_runs=slow.used)

    def _wait(self) -> None:
        self._slow_lane.wait()
        self._fast_lane.wait()

    def __getstate__(self) -> dict[str, Any]:
        self._wait()
        return finished(self.__dict__)


class CatchUpSource(AsyncSource):
    """``AsyncSource`` that brings a refresh from its own frame to the present when it lands.

    The frames that the fast path has seen since then are run again, without decoding, from the state it had
    at the refresh's frame, so a refresh that has landed is as if it had taken no time. In simulation the
    replay takes none either.
    """

    def _start_episode(self, seed: int | None) -> None:
        super()._start_episode(seed)
        self._history: list[tuple[Frame, Any]] = []

    def _land(self, memory: Any) -> None:
        assert self._refresh is not None
        since = self._refresh.frame.time_ns
        self._history = [(frame, state) for frame, state in self._history if frame.time_ns >= since]
        fast = self._engines.fast
        before = self._history[0][1] if self._history else self._state
        self._state = fast.refreshed(before, memory)
        for index, (frame, _) in enumerate(self._history):
            self._history[index] = frame, self._state
            self._state = fast.remember(frame.image, self._state)

    def _run_fast(self, run: Run) -> Estimate:
        self._history.append((run.frame, self._state))
        return super()._run_fast(run)


class AsyncOdometrySource(AsyncSource):
    """``AsyncSource`` that knows how the camera has moved: more than the paper's system.

    The memory is turned with the camera before each fast run, and the depth that the slow path gave at the
    last refresh is carried to the present view, where it is averaged with the fast path's. Turning and
    carrying take no time of their own in simulation.

    Args:
        engines: The networks.
        timing: Latencies, or a trace of what happened.
        policy: When the slow path starts; a trace says so itself.
        turn: Whether the memory is turned.
        carry: Whether the depth is carried.
    """

    def __init__(
        self,
        engines: Engines,
        timing: Timing,
        policy: RefreshPolicy,
        turn: bool = True,
        carry: bool = True,
    ) -> None:
        super().__init__(engines, timing, policy)
        self._turn, self._carry = turn, carry

    def _start_episode(self, seed: int | None) -> None:
        super()._start_episode(seed)
        self._landed: Any = None
        self._seen_from: View | None = None
        self._slow_depth: NDArray[np.float32] | None = None

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time.

        Raises:
            ValueError: It does not say where it was taken from.
        """
        if frame.view is None:
            raise ValueError(
                "the depth source 'async-odometry' needs to know where each frame was taken from, but the "
                "environment gives no info['T_odometry_camera'] or its camera is no pinhole: use 'async'"
            )
        super().offer(frame)

    def _run_slow(self, run: Run) -> Any:
        return self._engines.slow.depth_and_memory(run.frame.image)

    def _land(self, depth_and_memory: Any) -> None:
        self._slow_depth, self._landed = depth_and_memory

    def _run_fast(self, run: Run) -> Estimate:
        fast, now, refresh = self._engines.fast, run.frame.view, self._refresh
        assert now is not None and refresh is not None and refresh.frame.view is not None
        assert self._slow_depth is not None
        T_now_refresh = np.linalg.inv(now.pose) @ refresh.frame.view.pose
        if self._seen_from is not None and self._turn:
            rotation = self._seen_from.pose[:3, :3].T @ now.pose[:3, :3]
            self._state = fast.turned(self._state, rotation, now.camera)
        if self._landed is not None:
            memory = self._landed
            if self._turn:
                memory = fast.turned_memory(memory, T_now_refresh[:3, :3].T, now.camera)
            self._state = fast.refreshed(self._state, memory)
        self._landed, self._seen_from = None, now
        estimate = super()._run_fast(run)
        if not self._carry:
            return estimate
        carried = reproject(self._slow_depth, T_now_refresh, now.camera)
        return replace(estimate, depth=combine(estimate.depth, carried))


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
