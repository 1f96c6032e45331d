"""The asynchronous depth sources: a slow and a fast path joined by a memory, under the laws of time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.engines import Engines
from asyncmde_sim.runtime.lane import Lane
from asyncmde_sim.runtime.refresh import RefreshPolicy
from asyncmde_sim.runtime.replay import Timing, start_timeline
from asyncmde_sim.runtime.reprojection import combine, reproject
from asyncmde_sim.runtime.schedule import Run
from asyncmde_sim.runtime.sources import EpisodeSeeds, finished
from asyncmde_sim.runtime.types import Estimate, Frame, SourceCounts, View


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
