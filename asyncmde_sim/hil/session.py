"""One session on the device: what a host says is checked, its frames are computed and accounted for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from asyncmde_sim import __version__
from asyncmde_sim.hil import MAX_IN_FLIGHT, PROTOCOL
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.accounts import FrameAccounts, Totals
from asyncmde_sim.hil.messages import DEPTH_ENCODINGS, IMAGE_ENCODINGS, decode_image
from asyncmde_sim.hil.workers import LockstepWorker, RealTimeWorker, Worker
from asyncmde_sim.runtime.concurrent_source import BothPaths

log = logging.getLogger(__name__)

MAX_WAITING_MESSAGES = 32
"""Messages for a host that does not read them; from then on nothing more is read from it either."""


@dataclass(frozen=True)
class Limits:
    """How long a host may take.

    Args:
        hello_s: Until it has said hello.
        idle_s: Between two of its messages.
        stall_s: Until it has read a message.
    """

    hello_s: float = 5.0
    idle_s: float = 30.0
    stall_s: float = 10.0


class Refused(Exception):
    """The session ends: a status and a sentence for the host."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.status = status


def check_hello(hello: pb.Hello, welcome: pb.Welcome) -> None:
    """Check that host and device go together.

    Raises:
        Refused: They do not; the sentence says why and what to do.
    """

    def refuse(text: str) -> NoReturn:
        raise Refused(grpc.StatusCode.FAILED_PRECONDITION, text)

    if hello.protocol != PROTOCOL:
        refuse(f"the host speaks protocol {hello.protocol}, this device {PROTOCOL}: install the same version")
    if hello.version != __version__:
        refuse(
            f"the host runs asyncmde-sim {hello.version or 'of no version'}, this device {__version__}: "
            "install the same version on both"
        )
    if hello.mode not in (pb.REAL_TIME, pb.LOCKSTEP):
        refuse(f"the host asks for mode {hello.mode}: ask for real time or lockstep")
    if hello.image_encoding not in IMAGE_ENCODINGS.values():
        refuse(
            f"the host sends images with encoding {hello.image_encoding}: use {' or '.join(IMAGE_ENCODINGS)}"
        )
    if hello.depth_encoding not in DEPTH_ENCODINGS.values():
        refuse(
            f"the host wants depth with encoding {hello.depth_encoding}: use {' or '.join(DEPTH_ENCODINGS)}"
        )
    if hello.weights and hello.weights != welcome.weights:
        refuse(
            f"the host expects the weights {hello.weights!r}, but this device serves {welcome.weights!r}: "
            "serve the others, or leave weights out"
        )


class Session:
    """Serves one stream, in the event loop; the worker calls ``answer`` and ``fail`` from its threads.

    Args:
        context: The stream.
        engines: The networks, loaded.
        welcome: What the device is.
        telemetry: Its figures now; called once a second in a thread if ``welcome.telemetry`` is set.
        admit: Called after a hello that goes with the device; returns the number of other sessions, or raises
            ``Refused`` if there are too many.
        limits: How long the host may take.
    """

    def __init__(
        self,
        context: Any,
        engines: BothPaths,
        welcome: pb.Welcome,
        telemetry: Callable[[], dict[str, float]],
        admit: Callable[[Session], int],
        limits: Limits,
    ) -> None:
        self._context, self._engines, self._welcome = context, engines, welcome
        self._telemetry, self._admit, self._limits = telemetry, admit, limits
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[pb.ToHost | None] = asyncio.Queue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._accounts = FrameAccounts()
        self._worker: Worker | None = None
        self._closing = False

    @property
    def totals(self) -> Totals:
        """How the frames received so far have ended; an answer counts when it is handed to the connection."""
        return self._accounts.totals

    def answer(self, message: pb.ToHost) -> None:
        """Queue an answer; from any thread."""
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, message)

    def fail(self, error: BaseException) -> None:
        """End the session for an error of the worker; from any thread."""
        log.error("an engine failed", exc_info=error)
        reason = str(error).strip().splitlines()
        text = f"the device's engine failed: {type(error).__name__}: {reason[0] if reason else ''}"
        self._loop.call_soon_threadsafe(self._end, Refused(grpc.StatusCode.INTERNAL, text[:500]))

    async def run(self) -> None:
        """Serve until the host leaves.

        Raises:
            Refused: The session is over for another reason.
        """
        hello = await self._hello()
        # Apart from the first message: a write that is given up would leave unknown whether they were sent.
        await self._context.send_initial_metadata(())
        writer = asyncio.create_task(self._guarded(self._write()))
        teller = asyncio.create_task(self._guarded(self._send_telemetry()))
        try:
            await self._write_first(hello)
            await self._read_all()
        finally:
            teller.cancel()
            self._closing = True
            self._outbox.put_nowait(None)
            await asyncio.gather(writer, teller, return_exceptions=True)
            if self._worker is not None:
                await asyncio.to_thread(self._worker.close)
            self._accounts.lose(self._accounts.open)

    async def _hello(self) -> pb.Hello:
        try:
            first = await asyncio.wait_for(self._context.read(), self._limits.hello_s)
        except asyncio.TimeoutError:
            raise Refused(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"no hello came within {self._limits.hello_s:g} s"
            ) from None
        if first is grpc.aio.EOF or first.WhichOneof("content") != "hello":
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be a hello")
        check_hello(first.hello, self._welcome)
        self._welcome.other_sessions = self._admit(self)
        hello: pb.Hello = first.hello
        return hello

    async def _write_first(self, hello: pb.Hello) -> None:
        kind = RealTimeWorker if hello.mode == pb.REAL_TIME else LockstepWorker
        self._worker = await asyncio.to_thread(kind, self._engines, self, hello.depth_encoding)
        self._outbox.put_nowait(pb.ToHost(welcome=self._welcome))

    async def _read_all(self) -> None:
        while True:
            read = asyncio.ensure_future(self._context.read())
            try:
                done, _ = await asyncio.wait(
                    (read, self._ended), timeout=self._limits.idle_s, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if not read.done():
                    read.cancel()
            if self._ended in done:
                self._ended.result()
            if not done:
                raise Refused(
                    grpc.StatusCode.DEADLINE_EXCEEDED, f"no message came for {self._limits.idle_s:g} s"
                )
            message = read.result()
            if message is grpc.aio.EOF:
                return
            kind = message.WhichOneof("content")
            if kind == "frame":
                await self._take(message.frame)
            elif kind == "ping":
                pong = pb.Pong(host_sent_ns=message.ping.host_sent_ns, received_ns=time.monotonic_ns())
                self._outbox.put_nowait(pb.ToHost(pong=pong))
            elif kind == "new_episode":
                assert self._worker is not None
                await asyncio.to_thread(self._worker.new_episode)
            elif kind == "goodbye":
                await self._leave()
                return
            else:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"a message of kind {kind!r} came unasked")
            while self._outbox.qsize() > MAX_WAITING_MESSAGES and not self._ended.done():
                await asyncio.sleep(0.01)

    async def _take(self, frame: pb.Frame) -> None:
        received_ns = time.monotonic_ns()
        try:
            self._accounts.begin(frame.id, received_ns)
            if self._accounts.in_flight > MAX_IN_FLIGHT:
                raise ValueError(f"more than {MAX_IN_FLIGHT} frames are in flight: wait for answers")
            if frame.image.encoding == pb.RAW:
                image = decode_image(frame.image)
            else:
                image = await asyncio.to_thread(decode_image, frame.image)
            assert self._worker is not None
            self._worker.take(frame, image, received_ns)
        except ValueError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        except RuntimeError as error:  # a path has failed meanwhile
            raise Refused(grpc.StatusCode.INTERNAL, str(error)) from error

    async def _leave(self) -> None:
        """Answer what is left, then say how all ended."""
        worker, self._worker = self._worker, None
        assert worker is not None
        await asyncio.to_thread(worker.close)
        await asyncio.sleep(0)  # its last answers are in the outbox
        self._outbox.put_nowait(None)
        await asyncio.wait((self._ended,), timeout=2 * self._limits.stall_s)
        if self._ended.done():
            self._ended.result()

    async def _write(self) -> None:
        """Write until there is nothing more to say. No write is cancelled; one that stalls is given up."""
        while (message := await self._outbox.get()) is not None and not self._closing:
            kind = message.WhichOneof("content")
            if kind == "answer":
                message.answer.sent_ns = time.monotonic_ns()
            elif kind == "pong":
                message.pong.sent_ns = time.monotonic_ns()
            await self._send(message)
            if kind == "answer":
                answer = message.answer
                self._accounts.answer(answer.frame, answer.sent_ns, answer.superseded)
        if self._closing:
            return
        totals = self._accounts.totals
        lost = totals.lost + totals.open
        counts = pb.Accounts(
            received=totals.opened,
            answered=totals.delivered + totals.late,
            superseded=totals.superseded,
            lost=lost,
        )
        await self._send(pb.ToHost(accounts=counts))
        self._end(None)

    async def _send(self, message: pb.ToHost) -> None:
        try:
            await asyncio.wait_for(self._context.write(message), self._limits.stall_s)
        except asyncio.TimeoutError:
            raise Refused(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing was read for {self._limits.stall_s:g} s"
            ) from None

    async def _send_telemetry(self) -> None:
        while self._welcome.telemetry:
            values = await asyncio.to_thread(self._telemetry)
            if values and not self._outbox.qsize():
                now = pb.Telemetry(time_ns=time.monotonic_ns(), values=values)
                self._outbox.put_nowait(pb.ToHost(telemetry=now))
            await asyncio.sleep(1.0)

    async def _guarded(self, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
            self._ended.exception()  # seen, even where the session is over already
