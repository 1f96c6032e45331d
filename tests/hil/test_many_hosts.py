"""Many hosts at once, and one after the other."""

from __future__ import annotations

import os
import socket
import threading
import time

import grpc
import numpy as np
import pytest

from asyncmde_sim.hil import SESSION
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.link import DeviceError
from asyncmde_sim.hil.session import Limits
from asyncmde_sim.runtime import Frame


def test_a_hundred_idle_clients_do_not_keep_one_from_working(
    make_engines, make_device, real_time, deliver, settled
):
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
    deliver(source, 10)
    assert settled(source).lost == 0
    codes = [one.code() for one in streams]
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    release.set()
    for one in (*channels, *idle):
        one.close()


def test_too_many_sessions_are_refused_and_the_next_is_let_in(
    make_engines, make_device, real_time, until, deliver, settled
):
    device = make_device(make_engines(), sessions=1)
    first = real_time(device.address)
    with pytest.raises(DeviceError, match="serves 1 hosts at a time"):
        real_time(device.address)
    first.close()
    until(lambda: not device.server.sessions)
    second = real_time(device.address)
    deliver(second, 1)
    settled(second)


def test_two_sessions_never_mix_their_memories(make_engines, make_device, real_time, settled):
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


def test_nothing_grows_over_many_sessions(make_engines, make_device, real_time, deliver, settled):
    device = make_device(make_engines())
    handles = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731
    counts = []
    for _ in range(8):
        source = real_time(device.address)
        deliver(source, 1)
        settled(source)
        counts.append((handles(), threading.active_count()))
    time.sleep(0.3)
    assert handles() <= counts[1][0] + 3 and threading.active_count() <= counts[1][1] + 2
