"""The depth source of a device in lockstep: the simulation waits, and charges what the device measures."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.accounts import FrameAccounts, Totals
from asyncmde_sim.hil.link import Address, DeviceError, Link
from asyncmde_sim.hil.messages import decode_depth, encode_image
from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.runtime.latency import LatencyProfile
from asyncmde_sim.runtime.refresh import RefreshPolicy
from asyncmde_sim.runtime.schedule import DrawnDurations, Durations, PathName, Run, Schedule
from asyncmde_sim.runtime.sources import EpisodeSeeds
from asyncmde_sim.runtime.trace import Fate, FrameRecord, TraceWriter
from asyncmde_sim.runtime.types import Estimate, Frame, SourceCounts

log = logging.getLogger(__name__)

RUN_S = 60.0
"""A device that has not answered a run by then is given up."""

RETURN_S = 60.0
"""The simulation stands still for so long until a device is back."""

TRIES = 3


class _Broken(Exception):
    """The session has ended in the middle of a run."""


class LockstepSource:
    """``AsyncSource`` whose runs are a device's.

    The schedule is the same, and so are the runs and their order; a run takes what the device has measured
    for it, or what a profile says. Where the schedule has both paths running at a run's start, the device
    runs the other one beside it. If the device goes and comes back, the memory's refresh is run again and the
    smoothed trust is lost, which is counted in ``restarts``.

    Args:
        address: The device.
        options: How to send.
        policy: When the slow path starts.
        profile: What to charge instead of what was measured.
    """

    def __init__(
        self,
        address: Address,
        options: Options,
        policy: RefreshPolicy,
        profile: LatencyProfile | None = None,
    ) -> None:
        self._options, self._policy, self._profile = options, policy, profile
        self._link = Link(address, options.hello(pb.LOCKSTEP), self)
        self._started = False
        self._changed = threading.Condition()
        self._accounts = FrameAccounts()
        self._connected = False
        self._next_id = 1
        self._reason = "it is not connected"
        self._answers: dict[int, pb.Answer] = {}
        self._fast_answer = pb.Answer()
        self._power_w: float | None = None
        self._seeds = EpisodeSeeds()
        self.trace = TraceWriter()
        self.welcome = pb.Welcome()
        self.device_accounts: pb.Accounts | None = None
        self.restarts = 0
        self._episode = -1
        self._begin(0)

    def _begin(self, seed: int) -> None:
        self._seed = seed
        drawn = None if self._profile is None else DrawnDurations(self._profile, seed)
        self._schedule = Schedule(_Measured(self, drawn), self._policy)
        self._numbers: dict[int, int] = {}
        self._unsettled: dict[int, FrameRecord] = {}
        self._slow_ids: dict[int, int] = {}
        self._landed: Run | None = None
        self._told: int | None = None
        self._estimates: dict[int, Estimate] = {}
        self._newest: Estimate | None = None

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    @property
    def totals(self) -> Totals:
        """How the runs asked for since the start have ended; each is a frame of the session."""
        with self._changed:
            return self._accounts.totals

    def reset(self, seed: int | None = None) -> None:
        """Forget everything; connects at the first time.

        Raises:
            DeviceError: There is no device, or it refuses.
            ValueError: Token or certificates are missing.
        """
        if not self._started:
            self._link.start()
            self._started = True
        self._end_episode()
        self._episode += 1
        self._link.send(pb.ToDevice(new_episode=pb.NewEpisode(episode=self._episode)))
        self._begin(self._seeds.next(seed))

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time."""
        number = len(self._numbers)
        self._numbers[frame.time_ns] = number
        since = frame.time_ns - next(iter(self._numbers))
        self._unsettled[number] = FrameRecord(self._episode, self._seed, number, since, Fate.WITHHELD)
        self._schedule.arrive(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The result of the last fast run that was done by ``now_ns``; waits for the device.

        Raises:
            DeviceError: The device is gone for good, or a run fails again and again.
        """
        for event in self._schedule.advance(now_ns):
            if event.kind == "start":
                self._started_run(event.run)
            elif event.run.path == "slow":
                self._landed = event.run
            else:
                self._newest = self._estimates.pop(event.run.frame.time_ns)
        return self._newest

    @property
    def counts(self) -> SourceCounts:
        """Counts up to the last ``newest``."""
        fast, slow = self._schedule.counts("fast"), self._schedule.counts("slow")
        return SourceCounts(fast.seen, fast.dropped, fast_runs=fast.used, slow_runs=slow.used)

    def close(self) -> None:
        """End the session well, and write the trace's rest."""
        self._end_episode()
        self._link.close()
        self.trace.close()

    # The listener of the link.

    def connected(self, welcome: pb.Welcome) -> None:
        """A session has begun, without a memory."""
        with self._changed:
            self.welcome = welcome
            self._accounts.restart()
            self._next_id = 1
            self._slow_ids.clear()
            self._told = None
            self._connected = True

    def disconnected(self, reason: str) -> None:
        """What was asked for is lost."""
        with self._changed:
            self._connected = False
            self._reason = reason
            self._accounts.lose(self._accounts.open)
            self._changed.notify_all()

    def told(self, telemetry: pb.Telemetry) -> None:
        """Keep the device's power for the frames' records."""
        self._power_w = telemetry.values.get("power_w")

    def accounted(self, accounts: pb.Accounts) -> None:
        """How the device's frames ended."""
        self.device_accounts = accounts

    def answered(self, answer: pb.Answer) -> None:
        """Hand an answer to who waits for it; another is a duplicate."""
        with self._changed:
            if self._accounts.answer(answer.frame, time.monotonic_ns()) is not None:
                self._answers[answer.frame] = answer
                self._changed.notify_all()

    # Runs.

    def measure(self, path: PathName, frame: Frame, contended: bool) -> int:
        """Have the device run a path on a frame; how long it took, ns.

        Raises:
            DeviceError: The device is gone for good, or the run fails again and again.
        """
        for _ in range(TRIES):
            try:
                if path == "slow":
                    return self._slow(frame, contended)
                return self._fast(frame, contended)
            except _Broken as broken:
                self.restarts += 1
                log.warning("the depth device is gone: %s; waiting for it", broken)
                self._link.wait(RETURN_S)
        raise DeviceError(
            f"the depth device failed {TRIES} times at one run of the {path} path: {self._reason}"
        )

    def _slow(self, frame: Frame, contended: bool) -> int:
        answer = self._ask(pb.SLOW, frame, contended)
        self._slow_ids[frame.time_ns] = answer.frame
        return answer.slow.end_ns - answer.slow.start_ns

    def _fast(self, frame: Frame, contended: bool) -> int:
        assert self._landed is not None
        behind = self._landed.frame
        refresh = 0
        if self._told != behind.time_ns:
            if behind.time_ns not in self._slow_ids:  # it was run for a session that has ended
                self._slow(behind, False)
            refresh = self._slow_ids[behind.time_ns]
        self._fast_answer = self._ask(pb.FAST, frame, contended, refresh)
        self._told = behind.time_ns
        self._slow_ids = {at: number for at, number in self._slow_ids.items() if at > behind.time_ns}
        return self._fast_answer.fast.end_ns - self._fast_answer.fast.start_ns

    def _ask(self, path: pb.Path, frame: Frame, contended: bool, refresh: int = 0) -> pb.Answer:
        run = pb.RunRequest(path=path, beside=contended, refresh=refresh)
        said = pb.Frame(episode=self._episode, capture_ns=frame.time_ns, run=run)
        message = pb.ToDevice(frame=said)
        encode_image(frame.image, self._options.image_encoding, message.frame.image)
        with self._changed:
            if not self._connected:
                raise _Broken(self._reason)
            number = message.frame.id = self._next_id
            self._next_id += 1
            self._accounts.begin(number, time.monotonic_ns())
            self._answers.clear()
            self._link.send(message)
            there = self._changed.wait_for(
                lambda: number in self._answers or number not in self._accounts.open, RUN_S
            )
            if number in self._answers:
                return self._answers.pop(number)
        if not there:
            raise DeviceError(f"the depth device has not answered a run for {RUN_S:g} s: see its log")
        raise _Broken(self._reason)

    def _started_run(self, run: Run) -> None:
        """Keep what a run has given for the time at which it counts, and its record."""
        first_ns = next(iter(self._numbers))
        number = self._numbers[run.frame.time_ns]
        start, end = run.start_ns - first_ns, run.end_ns - first_ns
        if run.path == "slow":
            if number in self._unsettled:
                record = self._unsettled[number]
                self._unsettled[number] = replace(record, slow_start_ns=start, slow_end_ns=end)
            else:
                self.trace.ran_slow(self._episode, number, start, end)
            return
        assert self._landed is not None
        answer, refresh = self._fast_answer, self._landed
        self._estimates[run.frame.time_ns] = Estimate(
            decode_depth(answer.depth) * self._options.scale(self.welcome),
            run.frame.time_ns,
            run.end_ns,
            refresh.frame.time_ns,
            refresh.end_ns,
            decode_depth(answer.trust),
        )
        self._settle_until(number)
        self.trace.add(
            replace(
                self._unsettled.pop(number),
                fate=Fate.DELIVERED,
                sent_ns=start,
                received_ns=start,
                fast_start_ns=start,
                fast_end_ns=end,
                available_ns=end,
                memory_frame=self._numbers[refresh.frame.time_ns],
                power_w=self._power_w,
            )
        )

    def _settle_until(self, number: int) -> None:
        for older in [n for n in self._unsettled if n < number]:
            self.trace.add(self._unsettled.pop(older))

    def _end_episode(self) -> None:
        self._settle_until(len(self._numbers))


class _Measured:
    """Durations of runs that the device makes when they are asked for."""

    def __init__(self, source: LockstepSource, charged: Durations | None) -> None:
        self._source, self._charged = source, charged

    def of(self, path: PathName, frame: Frame, contended: bool) -> int:
        """Run it; what to charge."""
        measured_ns = self._source.measure(path, frame, contended)
        return measured_ns if self._charged is None else self._charged.of(path, frame, contended)
