"""Whatever goes wrong on the way or at either end, both sides live, and no frame leaves the accounts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from asyncmde_sim.hil import MAX_IN_FLIGHT, PROTOCOL, SERVICE, SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.certificates import make_certificates
from asyncmde_sim.hil.link import Address, DeviceError
from asyncmde_sim.hil.messages import encode_image
from asyncmde_sim.hil.realtime import Options
from asyncmde_sim.hil.session import Limits
from asyncmde_sim.hil.workers import RealTimeWorker
from asyncmde_sim.runtime import Frame

RECONNECT_S = 2.0
"""A device that is back has a session again after this time at most."""

PATIENCE_S = 30.0


def big_frame(number):
    """256 x 192 px, all of one value: the fakes read its number from it."""
    return Frame(np.full((192, 256, 3), number % 256, np.uint8), number * 10**6)


def pump(source, enough, start=0, interval_s=0.01):
    """Offer frames until it is enough; the last number."""
    end, number = time.monotonic() + PATIENCE_S, start
    while not enough():
        assert time.monotonic() < end, "nothing happened"
        number += 1
        source.offer(big_frame(number))
        time.sleep(interval_s)
    return number


def delivers(source, count):
    """Whether so many estimates have come from now on."""
    before = source.totals.delivered
    return lambda: source.totals.delivered >= before + count


def settled(source):
    """The accounts at the end, which add up by their own check."""
    source.close()
    totals = source.totals
    assert totals.open == 0
    return totals


class Proxy:
    """A TCP proxy that can slow, cut or spoil what goes to the device and back.

    Args:
        port: The device's.
        mangle: Called with the direction ("up" or "down") and the bytes; returns what goes on, None to cut.
    """

    def __init__(self, port, mangle=lambda way, data: data):
        self._target, self.mangle = port, mangle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                device = socket.create_connection(("127.0.0.1", self._target), 2)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                client.close()
                continue
            self._sockets += [client, device]
            for way, a, b in (("up", client, device), ("down", device, client)):
                threading.Thread(target=self._copy, args=(way, a, b), daemon=True).start()

    def _copy(self, way, source, sink):
        try:
            while data := source.recv(16384):
                data = self.mangle(way, data)
                if data is None:
                    break
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self):
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()
        self.cut()
        for one in self._sockets:
            one.close()


@pytest.fixture
def through():
    """Proxies; all are closed in the end."""
    proxies = []

    def make(device, mangle=lambda way, data: data):
        proxies.append(Proxy(device.port, mangle))
        return proxies[-1], Address(f"127.0.0.1:{proxies[-1].port}", token=device.address.token)

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def big_engines(make_engines):
    """``make_engines`` whose depth has the size of the image."""

    class BigFast:
        def __init__(self, fast):
            self._fast = fast
            self.refreshed = fast.refreshed

        def run(self, image, state):
            depth, state, trust = self._fast.run(image, state)
            return np.full(image.shape[:2], depth[0, 0], np.float32), state, trust

    class BigEngines:
        def __init__(self, **options):
            engines = make_engines(**options)
            self.slow, self.fast = engines.slow, BigFast(engines.fast)

    return BigEngines


# The connection.


def test_a_cut_in_the_middle_of_a_message_costs_the_frames_in_flight(
    make_engines, make_device, real_time, through, until
):
    device = make_device(make_engines(sleep_s=0.002))
    sent = {"bytes": 0, "cuts": 0}

    def mangle(way, data):
        sent["bytes"] += len(data) if way == "up" else 0
        if sent["bytes"] > 300_000 and sent["cuts"] < 3:  # a frame has 147,456 bytes
            sent["bytes"], sent["cuts"] = 0, sent["cuts"] + 1
            return None
        return data

    _, address = through(device, mangle)
    source = real_time(address)
    pump(source, lambda: sent["cuts"] == 3 and source.link.sessions == 4)
    pump(source, delivers(source, 5))
    until(lambda: not any(s.totals.open for s in device.server.sessions))
    totals = settled(source)
    assert totals.lost >= 3
    until(lambda: not device.server.sessions)


def test_delayed_messages_are_waited_for_and_nothing_is_lost(make_engines, make_device, real_time, through):
    rng = np.random.default_rng(0)

    def mangle(way, data):
        if way == "down" and rng.random() < 0.05:
            time.sleep(0.2)
        return data

    _, address = through(make_device(make_engines(sleep_s=0.001)), mangle)
    source = real_time(address)
    pump(source, delivers(source, 60), interval_s=0.02)
    assert settled(source).lost == 0


def test_half_the_bandwidth_withholds_frames_but_keeps_them_fresh(
    make_engines, make_device, real_time, through
):
    per_s = 147_456 * 10

    def mangle(way, data):
        if way == "up":
            time.sleep(len(data) / per_s)
        return data

    _, address = through(make_device(make_engines()), mangle)
    source = real_time(address)
    start = time.monotonic()
    number = pump(source, delivers(source, 10), interval_s=0.05)
    elapsed = time.monotonic() - start
    newest = source.newest(0)
    assert newest is not None
    behind_s = (number - newest.capture_ns / 10**6) * elapsed / number
    assert behind_s < 1.0
    counts, totals = source.counts, settled(source)
    assert totals.opened < counts.frames_seen == number
    assert totals.lost == 0


@pytest.mark.parametrize("way", ["up", "down"])
@pytest.mark.parametrize("kind", ["random", "truncated"])
def test_spoiled_bytes_end_a_session_but_neither_side(
    kind, way, big_engines, make_device, real_time, through
):
    device = make_device(big_engines())
    rng = np.random.default_rng(0)
    state = {"bytes": 0, "spoiled": 0}

    def mangle(which, data):
        if which == way:
            state["bytes"] += len(data)
            if state["bytes"] > 400_000 and state["spoiled"] < 2:
                state["bytes"], state["spoiled"] = 0, state["spoiled"] + 1
                return rng.bytes(len(data)) if kind == "random" else data[: len(data) // 2]
        return data

    _, address = through(device, mangle)
    source = real_time(address)
    number = pump(source, lambda: state["spoiled"] == 2 and source.link.up)
    pump(source, delivers(source, 1), start=number)
    settled(source)
    fresh = real_time(device.address)
    pump(fresh, delivers(fresh, 1))
    settled(fresh)


# What a device may say.


class Replayed:
    """A worker's outlet that sends each answer again, and pairs of answers in the other order."""

    def __init__(self, outlet):
        self._outlet, self._held = outlet, None

    def answer(self, message):
        if self._held is None and not message.answer.superseded:
            self._held = message
            return
        for one in (message, self._held):
            if one is not None:
                self._outlet.answer(one)
                again = pb.ToHost()
                again.CopyFrom(one)
                self._outlet.answer(again)
        self._held = None

    def fail(self, error):
        self._outlet.fail(error)


def test_duplicate_and_reordered_answers_count_once(make_engines, make_device, real_time, monkeypatch):
    original = RealTimeWorker.__init__

    def scrambled(self, engines, outlet, encoding):
        original(self, engines, Replayed(outlet), encoding)

    monkeypatch.setattr(RealTimeWorker, "__init__", scrambled)
    source = real_time(make_device(make_engines()).address)
    captures = []
    for number in range(1, 3000):
        source.offer(big_frame(number))
        time.sleep(0.005)
        if (estimate := source.newest(0)) is not None:
            captures.append(estimate.capture_ns)
        if len(set(captures)) > 40:
            break
    assert captures == sorted(captures)
    totals = settled(source)
    assert totals.strays > 10 and totals.late > 10 and totals.delivered > 10


def test_a_device_without_memory_loses_the_session_and_not_the_accounts(
    make_engines, make_device, real_time, monkeypatch, until
):
    engines = make_engines()
    runs = {"fast": 0}
    original = type(engines.fast).run

    def run(self, image, state):
        runs["fast"] += 1
        if runs["fast"] % 20 == 0:
            raise MemoryError("out of memory")
        return original(self, image, state)

    monkeypatch.setattr(type(engines.fast), "run", run)
    device = make_device(engines)
    source = real_time(device.address)
    pump(source, lambda: source.link.sessions >= 3)
    pump(source, delivers(source, 5))
    until(lambda: len(device.server.sessions) <= 1)
    assert settled(source).lost > 0


# Both ends' processes.


def serve(token, port=0):
    """A device in a process of its own; the process and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "asyncmde_sim.hil.server", "--port", str(port), "--token", str(token)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = process.stdout.readline()
    return process, int(line.rsplit(":", 1)[1])


def test_a_killed_device_is_used_again_when_it_is_back(real_time, tmp_path, until):
    process, port = serve(tmp_path / "token")
    try:
        source = real_time(Address(f"127.0.0.1:{port}", token=tmp_path / "token"))
        number = pump(source, delivers(source, 3), interval_s=0.03)
        process.kill()
        process.wait(10)
        number = pump(source, lambda: not source.link.up, start=number, interval_s=0.03)
        process.stdout.close()
        process, _ = serve(tmp_path / "token", port)
        until(lambda: source.link.up, RECONNECT_S)
        pump(source, delivers(source, 3), start=number, interval_s=0.03)
        settled(source)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_a_device_ends_well_on_sigterm(tmp_path):
    process, _ = serve(tmp_path / "token")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


# Hosts that misbehave.


def hello(**changes):
    from asyncmde_sim import __version__

    fields = {
        "protocol": PROTOCOL,
        "version": __version__,
        "mode": pb.REAL_TIME,
        "image_encoding": pb.RAW,
        "depth_encoding": pb.RAW,
    }
    return pb.ToDevice(hello=pb.Hello(**{**fields, **changes}))


def call(device, messages, token=None, timeout=15):
    """A raw session: what came, and the status."""
    address = device.address if token is None else Address(device.address.target, token=token)
    channel = address.channel()
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=pb.ToHost.FromString
    )
    came = stream(messages, metadata=address.metadata(), timeout=timeout)
    got = []
    try:
        got.extend(came)
        return got, came.code(), came.details()
    except grpc.RpcError as error:
        return got, error.code(), error.details()
    finally:
        channel.close()


def image_message(number, side=8, **changes):
    array = encode_image(np.zeros((side, side, 3), np.uint8), pb.RAW)
    return pb.ToDevice(frame=pb.Frame(**{"id": number, "image": array, **changes}))


CONFLICTS = {
    "protocol": (hello(protocol=99), "FAILED_PRECONDITION", "install the same version"),
    "version": (hello(version="9.9.9"), "FAILED_PRECONDITION", "install the same version on both"),
    "mode": (hello(mode=pb.MODE_UNSPECIFIED), "FAILED_PRECONDITION", "real time or lockstep"),
    "images": (hello(image_encoding=pb.PNG16), "FAILED_PRECONDITION", "raw or jpeg"),
    "depth": (hello(depth_encoding=pb.JPEG), "FAILED_PRECONDITION", "raw or png16"),
    "weights": (hello(weights="others"), "FAILED_PRECONDITION", "serve the others"),
    "no hello": (image_message(1), "INVALID_ARGUMENT", "must be a hello"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_who_does_not_match_is_refused_in_one_sentence(case, make_engines, make_device):
    message, status, hint = CONFLICTS[case]
    _, code, details = call(make_device(make_engines()), iter([message]))
    assert code.name == status and hint in details and "\n" not in details


BAD_MESSAGES = {
    "twice": ([image_message(1), image_message(1)], "numbers must grow"),
    "bytes": (
        [pb.ToDevice(frame=pb.Frame(id=1, image=pb.Array(dtype="uint8", shape=[8, 8, 3])))],
        "dimensions",
    ),
    "short": (
        [pb.ToDevice(frame=pb.Frame(id=1, image=pb.Array(dtype="uint8", shape=[8, 8, 3], encoding=pb.RAW)))],
        "came with 0 bytes",
    ),
    "second hello": ([hello()], "came unasked"),
    "empty": ([pb.ToDevice()], "came unasked"),
}


@pytest.mark.parametrize("case", BAD_MESSAGES)
def test_a_message_that_makes_no_sense_ends_its_session_alone(case, make_engines, make_device, real_time):
    messages, hint = BAD_MESSAGES[case]
    device = make_device(make_engines())
    other = real_time(device.address)
    got, code, details = call(device, iter([hello(), *messages]))
    assert got[0].HasField("welcome")
    assert (code is grpc.StatusCode.INVALID_ARGUMENT and hint in details) or case == "bytes"
    pump(other, delivers(other, 1))
    assert settled(other).lost == 0


def test_more_frames_than_allowed_are_refused(make_engines, make_device):
    device = make_device(make_engines(sleep_s=0.5))
    _, code, details = call(
        device,
        iter(
            [
                hello(mode=pb.LOCKSTEP),
                *(image_message(n, run=pb.RunRequest(path=pb.SLOW)) for n in range(1, MAX_IN_FLIGHT + 3)),
            ]
        ),
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "in flight" in details


def test_an_oversize_frame_is_refused(make_engines, make_device):
    device = make_device(make_engines())
    huge = pb.Array(dtype="uint8", shape=[2048, 2048, 3], encoding=pb.RAW, data=bytes(33 * 2**20))
    message = pb.ToDevice(frame=pb.Frame(id=1, image=huge))
    channel = grpc.insecure_channel(device.address.target, [("grpc.max_send_message_length", -1)])
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=pb.ToHost.FromString
    )
    came = stream(iter([hello(), message]), metadata=device.address.metadata(), timeout=15)
    with pytest.raises(grpc.RpcError) as raised:
        list(came)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    channel.close()
    got, code, _ = call(device, iter([hello(), pb.ToDevice(goodbye=pb.Goodbye())]))
    assert code is grpc.StatusCode.OK and got[-1].HasField("accounts")


def test_a_client_that_never_reads_is_let_go(big_engines, make_device, until):
    device = make_device(big_engines(), Limits(stall_s=1.0))
    ended = threading.Event()
    image = encode_image(np.zeros((1024, 1024, 3), np.uint8), pb.RAW)

    def messages():
        yield hello()
        number = 0
        while not ended.wait(0.02):
            number += 1
            yield pb.ToDevice(frame=pb.Frame(id=number, image=image))

    channel = device.address.channel()
    stream = channel.stream_stream(
        SESSION, request_serializer=pb.ToDevice.SerializeToString, response_deserializer=bytes
    )
    came = stream(messages(), metadata=device.address.metadata())
    until(lambda: device.server.sessions)
    (session,) = device.server.sessions
    until(lambda: not device.server.sessions)
    assert session.totals.open == 0 and session.totals.opened < 40
    ended.set()
    came.cancel()
    channel.close()


def test_a_hundred_idle_clients_do_not_keep_one_from_working(make_engines, make_device, real_time):
    device = make_device(make_engines(), Limits(hello_s=3.0))
    idle, streams = [], []
    for _ in range(100):
        idle.append(socket.create_connection(("127.0.0.1", device.port)))
    release = threading.Event()

    def nothing():
        release.wait(20)
        return
        yield

    channels = [device.address.channel() for _ in range(10)]
    for channel in channels:
        stream = channel.stream_stream(
            SESSION,
            request_serializer=pb.ToDevice.SerializeToString,
            response_deserializer=pb.ToHost.FromString,
        )
        streams += [stream(nothing(), metadata=device.address.metadata()) for _ in range(10)]
    source = real_time(device.address)
    pump(source, delivers(source, 10))
    assert settled(source).lost == 0
    codes = [one.code() for one in streams]
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    release.set()
    for one in (*channels, *idle):
        one.close()


def test_too_many_sessions_are_refused_and_the_next_is_let_in(make_engines, make_device, real_time, until):
    device = make_device(make_engines(), sessions=1)
    first = real_time(device.address)
    with pytest.raises(DeviceError, match="serves 1 hosts at a time"):
        real_time(device.address)
    first.close()
    until(lambda: not device.server.sessions)
    second = real_time(device.address)
    pump(second, delivers(second, 1))
    settled(second)


def test_two_sessions_never_mix_their_memories(make_engines, make_device, real_time):
    device = make_device(make_engines(sleep_s=0.001))
    sources = [real_time(device.address) for _ in range(2)]
    for number in range(1, 100):
        for index, source in enumerate(sources):
            value = number + 100 * index
            source.offer(Frame(np.full((2, 2, 3), value, np.uint8), value * 10**6))
        time.sleep(0.01)
        for index, source in enumerate(sources):
            estimate = source.newest(0)
            if estimate is not None:
                low = 100 * index * 10**6
                assert low < estimate.memory_capture_ns <= estimate.capture_ns <= low + 100 * 10**6
    assert all(settled(source).delivered > 0 for source in sources)


# Who may come in.


def test_a_wrong_token_is_refused_and_the_health_check_needs_none(
    make_engines, make_device, tmp_path, real_time
):
    device = make_device(make_engines())
    wrong = tmp_path / "wrong"
    wrong.write_text("guess")
    _, code, details = call(device, iter([hello()]), token=wrong)
    assert code is grpc.StatusCode.UNAUTHENTICATED and "token" in details
    start = time.monotonic()
    with pytest.raises(DeviceError, match="refuses: the token is missing or wrong"):
        real_time(Address(device.address.target, token=wrong))
    assert time.monotonic() - start < 5
    with grpc.insecure_channel(device.address.target) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_certificates_let_in_their_own_lab_alone(make_engines, make_device, real_time, tmp_path):
    for lab in ("ours", "theirs"):
        make_certificates(tmp_path / lab, ["127.0.0.1"], 1)
    device = make_device(make_engines(), certificates=tmp_path / "ours")
    source = real_time(device.address)
    pump(source, delivers(source, 1))
    settled(source)
    token = device.address.token
    for folder in (tmp_path / "theirs", None):
        with pytest.raises(DeviceError, match="no depth device answers"):
            real_time(Address(device.address.target, folder, token))


def test_no_device_is_said_in_one_sentence(real_time, tmp_path):
    (tmp_path / "token").write_text("word")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"no depth device answers .*hil.py serve"):
        real_time(Address(f"127.0.0.1:{port}", token=tmp_path / "token"))
    assert time.monotonic() - start < 8


def test_nothing_grows_over_many_sessions(make_engines, make_device, real_time):
    device = make_device(make_engines())
    handles = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    counts = []
    for _ in range(8):
        source = real_time(device.address)
        pump(source, delivers(source, 1))
        settled(source)
        counts.append((handles(), threading.active_count()))
    time.sleep(0.3)
    assert handles() <= counts[1][0] + 3 and threading.active_count() <= counts[1][1] + 2
    assert Options() == Options()
