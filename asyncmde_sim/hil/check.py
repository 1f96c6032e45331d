"""What a device and the way to it are worth: conformance, latencies, throughput, clocks, a soak."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from asyncmde_sim.hil import PROTOCOL, SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.accounts import Totals
from asyncmde_sim.hil.link import Address, DeviceError, Link
from asyncmde_sim.hil.lockstep import LockstepSource
from asyncmde_sim.hil.messages import decode_depth, encode_image
from asyncmde_sim.hil.realtime import Options, RealTimeSource
from asyncmde_sim.runtime.latency import load_profile
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.types import Frame
from asyncmde_sim.runtime.wall_clock import PacedSource, WallClock

ANSWER_S = 30.0


def noise_images(size: tuple[int, int], count: int = 8) -> list[np.ndarray]:
    """Images (H, W, 3) of noise."""
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8))


@dataclass(frozen=True)
class Verdict:
    """One thing that a device must do.

    Args:
        what: It.
        problem: What was wrong; empty if nothing was.
    """

    what: str
    problem: str = ""


def conformance(address: Address, options: Options) -> Iterator[Verdict]:
    """Try a device on what every one must do."""
    yield _tried("computes both paths and answers every frame", lambda: _answers(address, options))
    yield _tried("forgets an episode", lambda: _forgets(address, options))
    yield _tried("gives the same depth for the same frames", lambda: _repeats(address, options))
    yield _tried("refuses another protocol", lambda: _refused(address, options, _other_protocol()))
    yield _tried("refuses a frame without its bytes", lambda: _refused(address, options, _broken_frame()))
    if address.certificates is None:
        yield _tried("refuses a wrong token", lambda: _refuses_token(address, options))


def _tried(what: str, attempt: Callable[[], str]) -> Verdict:
    try:
        return Verdict(what, attempt())
    except (DeviceError, ValueError, RuntimeError) as error:
        return Verdict(what, str(error))


def _estimates(source: LockstepSource, count: int) -> list[np.ndarray]:
    source.reset(0)
    depths = []
    for number, image in enumerate(noise_images((96, 128), count)):
        source.offer(Frame(image, number * 10**7))
        estimate = source.newest(number * 10**7)
        if estimate is not None:
            depths.append(estimate.depth)
    return depths


def _lockstep(address: Address, options: Options) -> LockstepSource:
    return LockstepSource(address, options, FreeRunning(), load_profile("ideal"))


def _answers(address: Address, options: Options) -> str:
    source = _lockstep(address, options)
    try:
        depths = _estimates(source, 4)
    finally:
        source.close()
    if len(depths) != 4 or not all(np.isfinite(d).all() and (d > 0).any() for d in depths):
        return "depth is missing, not finite or zero"
    there = source.device_accounts
    if there is None or (there.received, there.answered) != (8, 8):
        return f"8 runs were asked for, but its accounts say {there}"
    return ""


def _forgets(address: Address, options: Options) -> str:
    source = _lockstep(address, options)
    try:
        first, second = _estimates(source, 3), _estimates(source, 3)
    finally:
        source.close()
    same = all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    return "" if same else "the second of two equal episodes has other depth"


def _repeats(address: Address, options: Options) -> str:
    taken = []
    for _ in range(2):
        source = _lockstep(address, options)
        try:
            taken.append(_estimates(source, 3))
        finally:
            source.close()
    same = all(np.array_equal(a, b) for a, b in zip(*taken, strict=True))
    return "" if same else "the second of two equal sessions has other depth"


def _other_protocol() -> tuple[list[pb.ToDevice], grpc.StatusCode]:
    return [pb.ToDevice(hello=pb.Hello(protocol=PROTOCOL + 1))], grpc.StatusCode.FAILED_PRECONDITION


def _broken_frame() -> tuple[list[pb.ToDevice], grpc.StatusCode]:
    image = pb.Array(dtype="uint8", shape=[64, 64, 3], encoding=pb.RAW)
    return [pb.ToDevice(frame=pb.Frame(id=1, image=image))], grpc.StatusCode.INVALID_ARGUMENT


def _refused(address: Address, options: Options, told: tuple[list[pb.ToDevice], grpc.StatusCode]) -> str:
    messages, wanted = told
    hello = Link(address, options.hello(pb.REAL_TIME), _Nobody()).hello
    first = [] if messages[0].HasField("hello") else [pb.ToDevice(hello=hello)]
    channel = address.channel()
    try:
        stream = channel.stream_stream(
            SESSION,
            request_serializer=pb.ToDevice.SerializeToString,
            response_deserializer=pb.ToHost.FromString,
        )
        call = stream(iter([*first, *messages]), metadata=address.metadata(), timeout=ANSWER_S)
        for _ in call:
            pass
        return "it took it"
    except grpc.RpcError as error:
        code = error.code()  # type: ignore[attr-defined]
        return "" if code is wanted else f"it answered {code.name} instead of {wanted.name}"
    finally:
        channel.close()


def _refuses_token(address: Address, options: Options) -> str:
    channel = address.channel()
    try:
        stream = channel.stream_stream(SESSION)
        for _ in stream(iter([b""]), metadata=(("authorization", "Bearer guess"),), timeout=ANSWER_S):
            pass
        return "it took it"
    except grpc.RpcError as error:
        code = error.code()  # type: ignore[attr-defined]
        return "" if code is grpc.StatusCode.UNAUTHENTICATED else f"it answered {code.name}"
    finally:
        channel.close()


class _Nobody:
    def connected(self, welcome: pb.Welcome) -> None: ...

    def answered(self, answer: pb.Answer) -> None: ...

    def told(self, telemetry: pb.Telemetry) -> None: ...

    def accounted(self, accounts: pb.Accounts) -> None: ...

    def disconnected(self, reason: str) -> None: ...


@dataclass(frozen=True)
class WayTimes:
    """Times of single frames, one after the other, seconds each.

    Args:
        whole: From before encoding to after decoding.
        fast: The fast path's runs, by the device.
        slow: The slow path's runs.
        frames_per_s: Frames a second with this one at a time.
    """

    whole: list[float]
    fast: list[float]
    slow: list[float]
    frames_per_s: float

    @property
    def overhead(self) -> list[float]:
        """Whole without the fast path's run: encoding, both ways, decoding."""
        return [whole - fast for whole, fast in zip(self.whole, self.fast, strict=True)]


class _Recorded(_Nobody):
    """Answers with the time at which they were decoded."""

    def __init__(self) -> None:
        import queue

        self.answers: queue.Queue[tuple[float, pb.Answer] | str] = queue.Queue()
        self.telemetry: list[pb.Telemetry] = []

    def answered(self, answer: pb.Answer) -> None:
        if answer.HasField("depth"):
            decode_depth(answer.depth)
            decode_depth(answer.trust)
        self.answers.put((time.perf_counter(), answer))

    def told(self, telemetry: pb.Telemetry) -> None:
        self.telemetry.append(telemetry)

    def disconnected(self, reason: str) -> None:
        self.answers.put(reason)


def time_way(address: Address, options: Options, size: tuple[int, int], frames: int) -> WayTimes:
    """Send frames in lockstep, each after the last one's answer; the slow path runs on every tenth.

    Args:
        address: The device.
        options: How to send.
        size: Height and width of the images.
        frames: How many are timed, after ten that are not.

    Raises:
        DeviceError: The device does not answer.
    """
    heard = _Recorded()
    link = Link(address, options.hello(pb.LOCKSTEP), heard)
    link.start()
    images = noise_images(size)
    whole, fast, slow = [], [], []
    number = 0

    def ask(path: pb.Path, image: np.ndarray, refresh: int = 0) -> tuple[float, pb.Answer]:
        nonlocal number
        number += 1
        start = time.perf_counter()
        run = pb.RunRequest(path=path, refresh=refresh)
        message = pb.ToDevice(frame=pb.Frame(id=number, run=run))
        encode_image(image, options.image_encoding, message.frame.image)
        link.send(message)
        answer = heard.answers.get(timeout=ANSWER_S)
        if isinstance(answer, str):
            raise DeviceError(f"the device left in the middle of the measurement: {answer}")
        return answer[0] - start, answer[1]

    try:
        begun = time.perf_counter()
        for index in range(-10, frames):
            if index == 0:
                begun = time.perf_counter()
            refresh = 0
            if index % 10 == 0:
                _, answer = ask(pb.SLOW, images[index % len(images)])
                slow.append((answer.slow.end_ns - answer.slow.start_ns) / 1e9)
                refresh = number
            taken, answer = ask(pb.FAST, images[index % len(images)], refresh)
            if index >= 0:
                whole.append(taken)
                fast.append((answer.fast.end_ns - answer.fast.start_ns) / 1e9)
        return WayTimes(whole, fast, slow, frames / (time.perf_counter() - begun))
    finally:
        link.close()


@dataclass(frozen=True)
class SoakReport:
    """What a while in real time gave.

    Args:
        seconds: How long.
        frames_per_s: Frames offered a second.
        totals: How the frames sent ended on the host.
        accounts: The same on the device; None if the session did not end well.
        age_s: Age of the newest estimate at each frame, from the first estimate on.
        sessions: Sessions that it took.
        clock_error_ns: Bound on the error of the device's clock at the end.
        drift_ppm: Drift of the device's clock.
        memory_bytes: This process's memory, a quarter of the way on and at the end.
        handles: Its open handles at the same times.
        energy_j: Energy of the device over the time; None without telemetry.
    """

    seconds: float
    frames_per_s: float
    totals: Totals
    accounts: dict[str, int] | None
    age_s: list[float] = field(repr=False)
    sessions: int
    clock_error_ns: int
    drift_ppm: float
    memory_bytes: tuple[int, int]
    handles: tuple[int, int]
    energy_j: float | None

    @property
    def energy_per_frame_j(self) -> float | None:
        """Energy for each estimate that was delivered."""
        if self.energy_j is None or not self.totals.delivered:
            return None
        return self.energy_j / self.totals.delivered

    @property
    def sums_agree(self) -> bool:
        """Whether both sides count the same; unknown, so false, after a session that did not end well."""
        there, here = self.accounts, self.totals
        if there is None or self.sessions != 1:
            return False
        return (
            there["received"] == here.opened
            and there["answered"] == here.delivered + here.late
            and there["superseded"] == here.superseded
        )


def soak(
    address: Address,
    options: Options,
    size: tuple[int, int],
    seconds: float,
    rate_hz: float,
    trace: Path | None = None,
    tick: Callable[[float], None] = lambda share: None,
) -> SoakReport:
    """Stream in real time for a while.

    Args:
        address: The device.
        options: How to send.
        size: Height and width of the images.
        seconds: How long.
        rate_hz: Frames a second.
        trace: A .parquet file for the frames' fates and times.
        tick: Told of the share of the time that has passed.

    Raises:
        DeviceError: There is no device.
    """
    images = noise_images(size)
    clock = WallClock()
    remote = RealTimeSource(address, options, clock)
    source = PacedSource(remote, clock)
    source.reset(0)
    if trace is not None:
        remote.trace.open(trace, {"device": remote.welcome.device})
    interval_ns, count = round(1e9 / rate_hz), max(round(seconds * rate_hz), 4)
    ages: list[float] = []
    energy, powered = 0.0, False
    resources = [(0, 0), (0, 0)]
    start = time.monotonic()
    for number in range(count):
        now_ns = number * interval_ns
        source.offer(Frame(images[number % len(images)], now_ns))
        estimate = source.newest(now_ns)
        if estimate is not None:
            ages.append((now_ns - estimate.capture_ns) / 1e9)
        if (power := remote.power_w) is not None:
            energy, powered = energy + power * interval_ns / 1e9, True
        if number in (count // 4, count - 1):
            resources[number == count - 1] = (_memory_bytes(), len(os.listdir("/proc/self/fd")))
        tick((number + 1) / count)
    taken = time.monotonic() - start
    fit = remote.link.clock.fit
    remote.close()
    there = remote.device_accounts
    names = ("received", "answered", "superseded", "lost")
    return SoakReport(
        seconds=taken,
        frames_per_s=count / taken,
        totals=remote.totals,
        accounts=None if there is None else {name: getattr(there, name) for name in names},
        age_s=ages,
        sessions=remote.link.sessions,
        clock_error_ns=0 if fit is None else fit.error_ns(fit.until_ns),
        drift_ppm=0.0 if fit is None else fit.drift_ppm,
        memory_bytes=(resources[0][0], resources[1][0]),
        handles=(resources[0][1], resources[1][1]),
        energy_j=energy if powered else None,
    )


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def as_dict(report: SoakReport) -> dict[str, object]:
    """For a JSON file, without the single ages."""
    values = dataclasses.asdict(report)
    ages = values.pop("age_s")
    values["age_ms"] = {f"p{p}": float(np.percentile(ages, p) * 1e3) for p in (50, 95, 99)} if ages else None
    values["sums_agree"] = report.sums_agree
    values["energy_per_frame_j"] = report.energy_per_frame_j
    return values
