"""What a device computes for one session, in real time or in lockstep, in threads of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.messages import encode_depth
from asyncmde_sim.runtime.concurrent_source import Answered, BothPaths, ConcurrentSource, Listener, TimedRun
from asyncmde_sim.runtime.types import Frame

Image = NDArray[np.uint8]
MEMORIES = 4
"""Slow runs in lockstep that wait to land."""

JOIN_S = 30.0


class Outlet(Protocol):
    """Where a worker's answers go; called from any thread."""

    def answer(self, message: pb.ToHost) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Worker(Protocol):
    """One session's computing. Every frame taken is answered once, or the worker fails."""

    def take(self, frame: pb.Frame, image: Image, received_ns: int) -> None:
        """Take a frame and do not wait.

        Raises:
            ValueError: It asks for what cannot be.
        """
        ...

    def new_episode(self) -> None:
        """Forget everything; waits for what runs."""
        ...

    def close(self) -> None:
        """End; what runs is waited for and answered."""
        ...


class SharedEngines:
    """Engines of several sessions: each path runs once at a time.

    Args:
        engines: The networks, loaded here.
    """

    def __init__(self, engines: BothPaths) -> None:
        self.slow: Any = _OneAtATime(engines.slow, "memory")
        self.fast: Any = _OneAtATime(engines.fast, "run")


class _OneAtATime:
    def __init__(self, engine: Any, method: str) -> None:
        self._engine, self._method, self._lock = engine, method, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if name != self._method:
            return found

        def locked(*arguments: Any) -> Any:
            with self._lock:
                return found(*arguments)

        return locked


class _Encoder:
    """Makes messages of depth in a thread, in order, so that no path waits for it."""

    def __init__(self, outlet: Outlet, encoding: pb.Encoding) -> None:
        self._outlet, self._encoding = outlet, encoding
        self._lane = ThreadPoolExecutor(1, "hil-encode")

    def submit(self, message: pb.ToHost, depth: NDArray[np.float32] | None = None, trust: Any = None) -> None:
        self._lane.submit(self._encode, message, depth, trust)

    def _encode(self, message: pb.ToHost, depth: NDArray[np.float32] | None, trust: Any) -> None:
        try:
            if depth is not None:
                encode_depth(depth, self._encoding, message.answer.depth)
                encode_depth(np.asarray(trust, np.float32), pb.RAW, message.answer.trust)
            self._outlet.answer(message)
        except BaseException as error:
            self._outlet.fail(error)

    def close(self) -> None:
        self._lane.shutdown()


class RealTimeWorker(Listener):
    """Both paths side by side on the newest frame; see ``runtime.concurrent_source``.

    Args:
        engines: The networks.
        outlet: Where answers go.
        depth_encoding: Of the depth.
    """

    def __init__(self, engines: BothPaths, outlet: Outlet, depth_encoding: pb.Encoding) -> None:
        self._outlet = outlet
        self._encoder = _Encoder(outlet, depth_encoding)
        self._received: dict[int, int] = {}
        self._source = ConcurrentSource(engines, listener=self)
        self._source.reset()

    def take(self, frame: pb.Frame, image: Image, received_ns: int) -> None:
        """Give a frame to both paths; it is known by its number."""
        self._received[frame.id] = received_ns
        self._source.offer(Frame(image, frame.id))

    def new_episode(self) -> None:
        """Forget everything."""
        self._source.reset()

    def close(self) -> None:
        """End both paths."""
        self._source.close()
        self._encoder.close()

    def answered(self, answer: Answered) -> None:
        """Send an estimate."""
        number = answer.run.frame.time_ns
        said = pb.Answer(
            frame=number,
            received_ns=self._received.pop(number),
            fast=_times(answer.run),
            slow=_times(answer.refresh),
            memory_frame=answer.refresh.frame.time_ns,
        )
        self._encoder.submit(pb.ToHost(answer=said), answer.estimate.depth, answer.estimate.trust)

    def dropped(self, frame: Frame) -> None:
        """Say that there is none."""
        number = frame.time_ns
        said = pb.Answer(frame=number, received_ns=self._received.pop(number), superseded=True)
        self._encoder.submit(pb.ToHost(answer=said))

    def failed(self, error: BaseException) -> None:
        """End the session."""
        self._outlet.fail(error)


def _times(run: TimedRun) -> pb.Times:
    return pb.Times(start_ns=run.start_ns, end_ns=run.end_ns, beside=run.contended)


class LockstepWorker:
    """The runs that a host asks for, one after the other, each timed; a host's schedule says when they count.

    Args:
        engines: The networks.
        outlet: Where answers go.
        depth_encoding: Of the depth.
    """

    def __init__(self, engines: BothPaths, outlet: Outlet, depth_encoding: pb.Encoding) -> None:
        self._engines, self._outlet, self._encoding = engines, outlet, depth_encoding
        self._lane = ThreadPoolExecutor(1, "hil-lockstep")
        self._forget()

    def _forget(self) -> None:
        self._state: Any = None
        self._memory: tuple[int, Any, pb.Times] | None = None
        self._waiting: dict[int, tuple[Any, pb.Times]] = {}

    def take(self, frame: pb.Frame, image: Image, received_ns: int) -> None:
        """Queue a run."""
        if frame.run.path not in (pb.SLOW, pb.FAST):
            raise ValueError("a frame in lockstep names no path: ask for a run of the slow or the fast path")
        self._lane.submit(self._guarded, frame, image, received_ns)

    def new_episode(self) -> None:
        """Forget everything."""
        self._lane.submit(self._forget).result()

    def close(self) -> None:
        """End after what was asked for."""
        self._lane.shutdown()

    def _guarded(self, frame: pb.Frame, image: Image, received_ns: int) -> None:
        try:
            run = self._slow if frame.run.path == pb.SLOW else self._fast
            message = run(frame, image)
            message.answer.frame, message.answer.received_ns = frame.id, received_ns
            self._outlet.answer(message)
        except BaseException as error:
            self._outlet.fail(error)

    def _slow(self, frame: pb.Frame, image: Image) -> pb.ToHost:
        with self._load(frame.run.beside, lambda: self._fast_load(image)):
            start = time.monotonic_ns()
            memory = self._engines.slow.memory(image)
            times = pb.Times(start_ns=start, end_ns=time.monotonic_ns(), beside=frame.run.beside)
        self._waiting[frame.id] = memory, times
        while len(self._waiting) > MEMORIES:
            del self._waiting[min(self._waiting)]
        return pb.ToHost(answer=pb.Answer(slow=times, memory_frame=frame.id))

    def _fast(self, frame: pb.Frame, image: Image) -> pb.ToHost:
        if frame.run.refresh:
            if frame.run.refresh not in self._waiting:
                raise ValueError(f"the refresh of frame {frame.run.refresh} is not there: run it first")
            memory, slow_times = self._waiting.pop(frame.run.refresh)
            self._memory = frame.run.refresh, memory, slow_times
            self._state = self._engines.fast.refreshed(self._state, memory)
        if self._memory is None:
            raise ValueError("the fast path has no memory yet: run the slow path first, and land it")
        with self._load(frame.run.beside, lambda: self._engines.slow.memory(image)):
            start = time.monotonic_ns()
            depth, self._state, trust = self._engines.fast.run(image, self._state)
            end = time.monotonic_ns()
        number, _, slow_times = self._memory
        answer = pb.Answer(
            fast=pb.Times(start_ns=start, end_ns=end, beside=frame.run.beside),
            slow=slow_times,
            memory_frame=number,
        )
        message = pb.ToHost(answer=answer)
        encode_depth(depth, self._encoding, message.answer.depth)
        encode_depth(np.asarray(trust, np.float32), pb.RAW, message.answer.trust)
        return message

    def _fast_load(self, image: Image) -> None:
        if self._memory is not None:
            fast = self._engines.fast
            fast.run(image, fast.refreshed(None, self._memory[1]))

    @staticmethod
    @contextmanager
    def _load(wanted: bool, run: Callable[[], Any]) -> Iterator[None]:
        """While in here, the other path runs without a pause, and what it computes is thrown away."""
        if not wanted:
            yield
            return
        begun, ended = threading.Event(), threading.Event()

        def loop() -> None:
            while not ended.is_set():
                begun.set()
                run()

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        begun.wait(JOIN_S)
        try:
            yield
        finally:
            ended.set()
            thread.join()
