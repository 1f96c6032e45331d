"""A host's connection to a device: it comes back by itself, and notices when the device is gone."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc

from asyncmde_sim import __version__
from asyncmde_sim.hil import MAX_MESSAGE_BYTES, PROTOCOL, SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.buffers import keep_buffers
from asyncmde_sim.hil.clock import ClockEstimate, PingSample
from asyncmde_sim.hil.security import channel_credentials, read_token, token_metadata

log = logging.getLogger(__name__)

CONNECT_S = 5.0
"""Until the first welcome."""
SILENCE_S = 3.0
"""A device that answers no ping for so long is gone."""
PING_S = 0.25
FIRST_PINGS = 4
"""One after the other, before the first frame."""
RETRY_S = 0.25
GOODBYE_S = 5.0

FINAL = (
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""Trying again would not help."""


class DeviceError(ConnectionError):
    """The device cannot be reached, or refuses; the message says why."""


@dataclass(frozen=True)
class Address:
    """Where a device is, and how to be let in.

    Args:
        target: ``host:port``.
        certificates: Folder with the host's certificate; None where the device has none.
        token: File with the device's token; None for the usual one, which is needed without certificates.
    """

    target: str
    certificates: Path | None = None
    token: Path | None = None

    def channel(self) -> grpc.Channel:
        """A fresh channel.

        Raises:
            ValueError: The certificates are missing.
        """
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        if self.certificates is None:
            return grpc.insecure_channel(self.target, options)
        return grpc.secure_channel(self.target, channel_credentials(self.certificates), options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries.

        Raises:
            ValueError: The token is missing.
        """
        if self.token is None and self.certificates is not None:
            return ()
        return token_metadata(read_token(self.token))


class Listener(Protocol):
    """Told what comes from the device, in the link's thread."""

    def connected(self, welcome: pb.Welcome) -> None:
        """A session has begun; frames are numbered from 1."""
        ...

    def answered(self, answer: pb.Answer) -> None:
        """A frame was answered."""
        ...

    def told(self, telemetry: pb.Telemetry) -> None:
        """The device's figures."""
        ...

    def accounted(self, accounts: pb.Accounts) -> None:
        """The session ends well; how the device's frames ended."""
        ...

    def disconnected(self, reason: str) -> None:
        """The session is over; nothing of it will come any more. The reason is empty after a goodbye."""
        ...


class NoListener:
    """Takes no note of anything."""

    def connected(self, welcome: pb.Welcome) -> None: ...

    def answered(self, answer: pb.Answer) -> None: ...

    def told(self, telemetry: pb.Telemetry) -> None: ...

    def accounted(self, accounts: pb.Accounts) -> None: ...

    def disconnected(self, reason: str) -> None: ...


class Link:
    """Keeps a session with a device, in two threads of its own.

    Args:
        address: The device.
        hello: What to say; protocol and version are added.
        listener: Told what comes.
    """

    def __init__(self, address: Address, hello: pb.Hello, listener: Listener) -> None:
        self._address, self._listener = address, listener
        self.hello = pb.Hello()
        self.hello.CopyFrom(hello)
        self.hello.protocol, self.hello.version = PROTOCOL, __version__
        self.clock = ClockEstimate()
        self.sessions = 0
        self._changed = threading.Condition()
        self._up = self._closing = False
        self._final: str | None = None
        self._reason = "it does not answer"
        self._requests: queue.SimpleQueue[pb.ToDevice | None] = queue.SimpleQueue()
        self._call: Any = None
        self._welcome = pb.Welcome()
        self._heard_ns = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, patience_s: float = CONNECT_S) -> None:
        """Connect, and stay connected from then on.

        Raises:
            DeviceError: The device refuses, or does not answer in time.
            ValueError: Token or certificates are missing.
        """
        keep_buffers()
        self._address.metadata()
        self._address.channel().close()
        self._threads = [
            threading.Thread(target=loop, name=f"hil-{name}", daemon=True)
            for name, loop in (("link", self._keep), ("ping", self._watch))
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.wait(patience_s)
        except DeviceError:
            self.close()
            raise

    def wait(self, patience_s: float) -> None:
        """Return when there is a session.

        Raises:
            DeviceError: The device refuses, or there is none in time.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._up or self._final is not None, patience_s)
            self.check()
            if not self._up:
                raise DeviceError(
                    f"no depth device answers at {self._address.target} ({self._reason}): start one there "
                    "with 'python scripts/hil.py serve'"
                )

    def check(self) -> None:
        """Raise if the device refuses for good.

        Raises:
            DeviceError: It does.
        """
        if self._final is not None:
            raise DeviceError(f"the depth device at {self._address.target} refuses: {self._final}")

    @property
    def up(self) -> bool:
        """Whether there is a session now."""
        return self._up

    def send(self, message: pb.ToDevice) -> None:
        """Queue a message; without a session it is lost."""
        self._requests.put(message)

    def close(self) -> None:
        """Say goodbye, wait a little for the accounts, and end."""
        with self._changed:
            self._closing = True
            if self._up:
                self.send(pb.ToDevice(goodbye=pb.Goodbye()))
                self._changed.wait_for(lambda: not self._up, GOODBYE_S)
        self._stop.set()
        call = self._call
        if call is not None:
            call.cancel()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2 * GOODBYE_S)
        self._threads = []

    def _keep(self) -> None:
        while not self._stop.is_set() and not self._closing and self._final is None:
            self._session()
            self._stop.wait(RETRY_S)

    def _session(self) -> None:
        self._requests = queue.SimpleQueue()
        self._requests.put(pb.ToDevice(hello=self.hello))
        self._heard_ns = time.monotonic_ns()
        reason = "the stream has ended"
        channel = self._address.channel()
        try:
            start = channel.stream_stream(
                SESSION,
                request_serializer=pb.ToDevice.SerializeToString,
                response_deserializer=pb.ToHost.FromString,
            )
            self._call = start(_until_none(self._requests), metadata=self._address.metadata())
            if not self._stop.is_set():
                for message in self._call:
                    self._heard_ns = time.monotonic_ns()
                    self._hear(message)
        except grpc.RpcError as error:
            reason = self._why(error)
        except ValueError as error:  # what the device says makes no sense
            reason = str(error)
            log.warning("the depth device at %s is dropped: %s", self._address.target, reason)
        finally:
            self._requests.put(None)
            if self._call is not None:
                self._call.cancel()
            channel.close()
            with self._changed:
                was_up, self._up = self._up, False
                self._reason = reason
                self._changed.notify_all()
            if was_up:
                self._listener.disconnected("" if self._closing else reason)

    def _why(self, error: grpc.RpcError) -> str:
        code, details = error.code(), " ".join((error.details() or "").split())  # type: ignore[attr-defined]
        if code in FINAL:
            with self._changed:
                self._final = details
                self._changed.notify_all()
        if code is grpc.StatusCode.CANCELLED and not self._closing:
            return f"it has been silent for {SILENCE_S:g} s"
        return f"{code.name.lower().replace('_', ' ')}: {details}"

    def _hear(self, message: pb.ToHost) -> None:
        kind = message.WhichOneof("content")
        if kind == "welcome":
            self.clock = ClockEstimate()
            self._welcome = message.welcome
            for _ in range(FIRST_PINGS):
                self._ping()
        elif kind == "answer":
            self._listener.answered(message.answer)
        elif kind == "pong":
            pong = message.pong
            times = pong.host_sent_ns, pong.received_ns, pong.sent_ns, self._heard_ns
            self.clock.add(PingSample.of(*times))
            if not self._up:
                self._begin()
        elif kind == "telemetry":
            self._listener.told(message.telemetry)
        elif kind == "accounts":
            self._listener.accounted(message.accounts)

    def _begin(self) -> None:
        """The device has welcomed us, and its clock is known."""
        self.sessions += 1
        self._listener.connected(self._welcome)
        with self._changed:
            self._up = True
            self._changed.notify_all()

    def _ping(self) -> None:
        self.send(pb.ToDevice(ping=pb.Ping(host_sent_ns=time.monotonic_ns())))

    def _watch(self) -> None:
        """Ping, and cancel a session that has fallen silent."""
        while not self._stop.wait(PING_S):
            if self._up:
                self._ping()
            limit_s = SILENCE_S if self._up else CONNECT_S
            call = self._call
            if call is not None and time.monotonic_ns() - self._heard_ns > limit_s * 1e9:
                call.cancel()


def _until_none(requests: queue.SimpleQueue[pb.ToDevice | None]) -> Iterator[pb.ToDevice]:
    while (message := requests.get()) is not None:
        yield message
