"""What every device must do, tried on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import grpc
import numpy as np

from asyncmde_sim.hil import PROTOCOL, SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.link import Address, DeviceError, Link, NoListener
from asyncmde_sim.hil.lockstep import LockstepSource
from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.hil.trial import ANSWER_S, noise_images
from asyncmde_sim.runtime.latency import load_profile
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.types import Frame


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
        yield _tried("refuses a wrong token", lambda: _refuses_token(address))


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
    hello = Link(address, options.hello(pb.REAL_TIME), NoListener()).hello
    first = [] if messages[0].HasField("hello") else [pb.ToDevice(hello=hello)]
    return _ends_with(address, [*first, *messages], address.metadata(), wanted)


def _refuses_token(address: Address) -> str:
    guess = (("authorization", "Bearer guess"),)
    return _ends_with(address, [pb.ToDevice()], guess, grpc.StatusCode.UNAUTHENTICATED)


def _ends_with(
    address: Address,
    messages: Sequence[pb.ToDevice],
    metadata: Sequence[tuple[str, str]],
    wanted: grpc.StatusCode,
) -> str:
    """How else than so a session with these messages ends."""
    channel = address.channel()
    try:
        stream = channel.stream_stream(
            SESSION,
            request_serializer=pb.ToDevice.SerializeToString,
            response_deserializer=pb.ToHost.FromString,
        )
        for _ in stream(iter(messages), metadata=metadata, timeout=ANSWER_S):
            pass
        return "it took it"
    except grpc.RpcError as error:
        code = error.code()  # type: ignore[attr-defined]
        return "" if code is wanted else f"it answered {code.name} instead of {wanted.name}"
    finally:
        channel.close()
