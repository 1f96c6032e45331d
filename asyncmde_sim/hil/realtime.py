"""The depth source of a device in real time: frames go out as they come, estimates come when they come."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asyncmde_sim.hil import MAX_IN_FLIGHT
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.accounts import FrameAccounts, Totals
from asyncmde_sim.hil.link import Address, Link
from asyncmde_sim.hil.messages import decode_depth, encode_image
from asyncmde_sim.runtime.sources import EpisodeSeeds
from asyncmde_sim.runtime.trace import Fate, FrameRecord, TraceWriter
from asyncmde_sim.runtime.types import Estimate, Frame, SourceCounts
from asyncmde_sim.runtime.wall_clock import WallClock

log = logging.getLogger(__name__)

WINDOW = 3
"""Frames in flight: one that the device runs on, one that waits there, one on its way."""

DEADLINE_S = 1.0
"""An answer is late after this time."""

DRAIN_S = 0.5
"""For the answers of an episode that has ended."""


@dataclass(frozen=True)
class Options:
    """How frames and depth are sent, and through which camera they were taken.

    Args:
        image_encoding: Of the images.
        depth_encoding: Of the depth.
        focal: Focal length of the camera as a share of the image's width; None for that of the weights.
        weights: Name of the weights that the device must serve; empty for any.
    """

    image_encoding: pb.Encoding = pb.RAW
    depth_encoding: pb.Encoding = pb.RAW
    focal: float | None = None
    weights: str = ""

    def hello(self, mode: pb.Mode) -> pb.Hello:
        """What to say to a device."""
        return pb.Hello(
            mode=mode,
            image_encoding=self.image_encoding,
            depth_encoding=self.depth_encoding,
            weights=self.weights,
        )

    def scale(self, welcome: pb.Welcome) -> np.float32:
        """Factor on a device's depth; see ``engines.weights_engines.WeightsEngines``."""
        return np.float32(1.0 if self.focal is None else self.focal / welcome.focal)


@dataclass(frozen=True)
class _Sent:
    record: FrameRecord
    capture_ns: int
    first_ns: int


class RealTimeSource:
    """``AsyncSource`` on a device and a wall clock; laws 2, 4 and 5 hold.

    A frame is sent when there is room in flight; else the newest waits, and those before it are withheld.
    While the device is gone there is no new estimate, and the last one grows old.

    Args:
        address: The device.
        options: How to send.
        clock: Simulated time.
    """

    def __init__(self, address: Address, options: Options, clock: WallClock) -> None:
        self._options, self._clock = options, clock
        self._link = Link(address, options.hello(pb.REAL_TIME), self)
        self._started = False
        self._lock = threading.Condition()
        self._accounts = FrameAccounts(round(DEADLINE_S * 1e9))
        self._seeds = EpisodeSeeds()
        self._connected = False
        self._next_id = 1
        self._sent: dict[int, _Sent] = {}
        self._past: dict[int, _Sent] = {}
        self._memories: deque[int] = deque(maxlen=2 * MAX_IN_FLIGHT)
        self.power_w: float | None = None
        self._error: Exception | None = None
        self.trace = TraceWriter()
        self.welcome = pb.Welcome()
        self.device_accounts: pb.Accounts | None = None
        self._episode = -1
        self._begin(0)

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._held: Frame | None = None
        self._newest: Estimate | None = None
        self._first_ns: int | None = None
        self._seen = self._dropped = self._fast_runs = 0
        self._slow_runs = 0
        self._memories.clear()

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    @property
    def totals(self) -> Totals:
        """How the frames sent since the start, in all episodes, have ended."""
        with self._lock:
            self._accounts.expire(time.monotonic_ns())
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
        self._link.check()
        with self._lock:
            self._withhold()
            self._lock.wait_for(lambda: not self._accounts.open or not self._connected, DRAIN_S)
            self._episode += 1
            self._link.send(pb.ToDevice(new_episode=pb.NewEpisode(episode=self._episode)))
            self._begin(self._seeds.next(seed))

    def offer(self, frame: Frame) -> None:
        """Take a frame, and never wait.

        Raises:
            DeviceError: The device refuses for good.
            RuntimeError: The device's answers make no sense.
        """
        self._link.check()
        with self._lock:
            if self._first_ns is None:
                self._first_ns = frame.time_ns
            self._withhold()
            self._held = frame
            self._seen += 1
            self._pump()

    def newest(self, now_ns: int) -> Estimate | None:
        """The newest estimate that is there; none that came after ``now_ns``."""
        with self._lock:
            return self._newest

    @property
    def counts(self) -> SourceCounts:
        """Counts of this episode; slow runs are known from their memory's first use."""
        with self._lock:
            return SourceCounts(self._seen, self._dropped, self._fast_runs, self._slow_runs)

    def close(self) -> None:
        """End the session well, and write the trace's rest."""
        with self._lock:
            self._withhold()
        self._link.close()
        with self._lock:
            self._lose()
        self.trace.close()

    # The listener of the link.

    def connected(self, welcome: pb.Welcome) -> None:
        """A session has begun, without a memory."""
        with self._lock:
            self.welcome = welcome
            self._accounts.restart()
            self._next_id = 1
            self._sent.clear()
            self._past.clear()
            self._memories.clear()
            self._connected = True
            self._pump()

    def disconnected(self, reason: str) -> None:
        """What was in flight is lost."""
        if reason:
            log.warning("the depth device is gone: %s", reason)
        with self._lock:
            self._connected = False
            self._lose()
            self._lock.notify_all()

    def told(self, telemetry: pb.Telemetry) -> None:
        """Keep the device's power for the frames' records."""
        self.power_w = telemetry.values.get("power_w")

    def accounted(self, accounts: pb.Accounts) -> None:
        """How the device's frames ended."""
        self.device_accounts = accounts

    def answered(self, answer: pb.Answer) -> None:
        """Settle a frame, and take its estimate."""
        depth = trust = None
        if not answer.superseded:
            depth, trust = decode_depth(answer.depth), decode_depth(answer.trust)
        host_ns = time.monotonic_ns()
        with self._lock:
            sent = self._sent.get(answer.frame)
            over = sent is not None and sent.record.episode != self._episode
            fate = self._accounts.answer(answer.frame, host_ns, answer.superseded, over)
            if fate is None:
                return
            assert sent is not None
            del self._sent[answer.frame]
            self._settle(fate, sent, answer, self._times(sent, answer, host_ns), depth, trust)
            self._pump()
            self._lock.notify_all()

    # Under the lock.

    def _pump(self) -> None:
        """Send the frame that waits, if there is room."""
        frame, now_ns = self._held, time.monotonic_ns()
        self._accounts.expire(now_ns)
        room = self._accounts.in_flight < WINDOW and len(self._accounts.open) < MAX_IN_FLIGHT
        if frame is None or not self._connected or not room:
            return
        number, self._next_id = self._next_id, self._next_id + 1
        said = pb.Frame(id=number, episode=self._episode, capture_ns=frame.time_ns)
        message = pb.ToDevice(frame=said)
        encode_image(frame.image, self._options.image_encoding, message.frame.image)
        self._accounts.begin(number, now_ns)
        sent_ns = self._clock.at(now_ns) - self._since_ns
        sent = _Sent(replace(self._record(frame, Fate.LOST), sent_ns=sent_ns), frame.time_ns, self._since_ns)
        self._sent[number] = self._past[number] = sent
        self._held = None
        self._link.send(message)

    @property
    def _since_ns(self) -> int:
        assert self._first_ns is not None
        return self._first_ns

    def _record(self, frame: Frame, fate: Fate) -> FrameRecord:
        return FrameRecord(
            self._episode,
            self._seed,
            self._seen - 1,
            frame.time_ns - self._since_ns,
            fate,
            power_w=self.power_w,
        )

    def _withhold(self) -> None:
        """A newer frame comes before the one that waits could be sent."""
        if self._held is not None:
            self.trace.add(self._record(self._held, Fate.WITHHELD))
            self._held = None
            self._dropped += 1

    def _lose(self) -> None:
        """No answer will come to what is open."""
        for number in self._accounts.open:
            record = self._sent.pop(number).record
            self._dropped += record.episode == self._episode
            self.trace.add(record)
        self._accounts.lose(self._accounts.open)

    def _times(self, sent: _Sent, answer: pb.Answer, host_ns: int) -> dict[str, int]:
        """The answer's times, ns since the episode's first frame, as far as the clocks can be compared."""
        if sent.record.episode != self._episode or self._first_ns is None:
            return {}
        times = {} if answer.superseded else {"available_ns": self._clock.at(host_ns) - self._since_ns}
        fit = self._link.clock.fit
        assert fit is not None

        def here(device_ns: int) -> int:
            return self._clock.at(fit.here(device_ns)) - self._since_ns

        times["clock_error_ns"] = fit.error_ns(host_ns)
        times["received_ns"] = here(answer.received_ns)
        if not answer.superseded:
            for path, run in (("fast", answer.fast), ("slow", answer.slow)):
                times[f"{path}_start_ns"], times[f"{path}_end_ns"] = here(run.start_ns), here(run.end_ns)
        return times

    def _settle(
        self, fate: Fate, sent: _Sent, answer: pb.Answer, times: dict[str, int], depth: Any, trust: Any
    ) -> None:
        slow = times.pop("slow_start_ns", None), times.pop("slow_end_ns", None)
        current = sent.record.episode == self._episode
        memory = None
        if not answer.superseded:
            memory = self._past.get(answer.memory_frame)
            if memory is None or memory.record.episode != sent.record.episode:
                raise ValueError(f"the device's memory is of frame {answer.memory_frame}, which is of no use")
        record = replace(
            sent.record,
            fate=fate,
            memory_frame=None if memory is None else memory.record.frame,
            **times,
        )
        self.trace.add(record)
        if not current:
            return
        self._dropped += fate is not Fate.DELIVERED
        if memory is None:
            return
        self._fast_runs += 1
        if answer.memory_frame not in self._memories:
            self._slow_runs += 1
            self._memories.append(answer.memory_frame)
            oldest = min(self._memories)
            self._past = {number: past for number, past in self._past.items() if number >= oldest}
            if slow[0] is not None and slow[1] is not None:
                self.trace.ran_slow(self._episode, memory.record.frame, slow[0], slow[1])
        if fate is not Fate.DELIVERED:
            return
        available = self._since_ns + times["available_ns"]
        landed = available if slow[1] is None else self._since_ns + slow[1]
        self._newest = Estimate(
            depth * self._options.scale(self.welcome),
            sent.capture_ns,
            available,
            memory.capture_ns,
            min(max(landed, memory.capture_ns), available),
            trust,
        )
