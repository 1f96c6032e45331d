"""Whatever happens to the connection or the device, the host lives, and no frame leaves the accounts."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.link import Address, DeviceError
from asyncmde_sim.hil.workers import RealTimeWorker

RECONNECT_S = 2.0
"""A device that is back has a session again after this time at most."""


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


def test_a_cut_in_the_middle_of_a_message_costs_the_frames_in_flight(
    make_engines, make_device, real_time, through, until, pump, deliver, settled
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
    deliver(source, 5)
    until(lambda: not any(s.totals.open for s in device.server.sessions))
    totals = settled(source)
    assert totals.lost >= 3
    until(lambda: not device.server.sessions)


def test_delayed_messages_are_waited_for_and_nothing_is_lost(
    make_engines, make_device, real_time, through, deliver, settled
):
    rng = np.random.default_rng(0)

    def mangle(way, data):
        if way == "down" and rng.random() < 0.05:
            time.sleep(0.2)
        return data

    _, address = through(make_device(make_engines(sleep_s=0.001)), mangle)
    source = real_time(address)
    deliver(source, 60, interval_s=0.02)
    assert settled(source).lost == 0


def test_half_the_bandwidth_withholds_frames_but_keeps_them_fresh(
    make_engines, make_device, real_time, through, deliver, settled
):
    per_s = 147_456 * 10

    def mangle(way, data):
        if way == "up":
            time.sleep(len(data) / per_s)
        return data

    _, address = through(make_device(make_engines()), mangle)
    source = real_time(address)
    start = time.monotonic()
    number = deliver(source, 10, interval_s=0.05)
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
    kind, way, big_engines, make_device, real_time, through, pump, deliver, settled
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
    deliver(source, 1, start=number)
    settled(source)
    fresh = real_time(device.address)
    deliver(fresh, 1)
    settled(fresh)


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


def test_duplicate_and_reordered_answers_count_once(
    make_engines, make_device, real_time, monkeypatch, settled, big_frame
):
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
    make_engines, make_device, real_time, monkeypatch, until, pump, deliver, settled
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
    deliver(source, 5)
    until(lambda: len(device.server.sessions) <= 1)
    assert settled(source).lost > 0


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


def test_a_killed_device_is_used_again_when_it_is_back(real_time, tmp_path, until, pump, deliver, settled):
    process, port = serve(tmp_path / "token")
    try:
        source = real_time(Address(f"127.0.0.1:{port}", token=tmp_path / "token"))
        number = deliver(source, 3, interval_s=0.03)
        process.kill()
        process.wait(10)
        number = pump(source, lambda: not source.link.up, start=number, interval_s=0.03)
        process.stdout.close()
        process, _ = serve(tmp_path / "token", port)
        until(lambda: source.link.up, RECONNECT_S)
        deliver(source, 3, start=number, interval_s=0.03)
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


def test_no_device_is_said_in_one_sentence(real_time, tmp_path):
    (tmp_path / "token").write_text("word")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"no depth device answers .*hil.py serve"):
        real_time(Address(f"127.0.0.1:{port}", token=tmp_path / "token"))
    assert time.monotonic() - start < 8
