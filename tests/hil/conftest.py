"""A device on loopback, in a thread of its own, and sources that use it."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from asyncmde_sim.hil.link import Address
from asyncmde_sim.hil.lockstep import LockstepSource
from asyncmde_sim.hil.realtime import Options, RealTimeSource
from asyncmde_sim.hil.server import DeviceServer, ServerConfig
from asyncmde_sim.runtime import Frame, parse_refresh
from asyncmde_sim.runtime.wall_clock import WallClock

PATIENCE_S = 30


@pytest.fixture
def until():
    """Wait for a condition."""

    def wait(condition, patience_s=PATIENCE_S, interval_s=0.002):
        end = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end, "nothing happened"
            time.sleep(interval_s)

    return wait


class Device:
    """A device that can be stopped and started again on the same port."""

    def __init__(self, token, engines=None, limits=None, **options):
        self._options = {"port": 0, "token": token, **options}
        self._engines, self._limits = engines, limits

    def start(self):
        ready, failed = threading.Event(), []

        async def serve():
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.server = DeviceServer(ServerConfig(**self._options), self._engines, self._limits)
            self._options["port"] = await self.server.start()
            ready.set()
            await self._stop.wait()
            await self.server.stop()

        def run():
            try:
                asyncio.run(serve())
            except BaseException as error:
                failed.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S) and not failed, failed
        return self

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def port(self):
        return self._options["port"]

    @property
    def address(self):
        folder = self._options.get("certificates")
        return Address(f"127.0.0.1:{self.port}", folder, self._options["token"])

    @property
    def url(self):
        return f"hil://127.0.0.1:{self.port}?token={self._options['token']}"


@pytest.fixture
def make_device(tmp_path):
    """Starts devices with a token of their own; all are stopped in the end."""
    devices = []

    def make(engines=None, limits=None, **options):
        devices.append(Device(tmp_path / "token", engines, limits, **options))
        return devices[-1].start()

    yield make
    for device in devices:
        device.stop()


@pytest.fixture
def real_time():
    """Real-time sources, with the first session begun and the clock at 0; all are closed in the end."""
    sources = []

    def make(address, options=None):
        clock = WallClock()
        clock.wait_until(0)
        sources.append(RealTimeSource(address, options or Options(), clock))
        sources[-1].reset(0)
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def lockstep():
    """Lockstep sources; all are closed in the end."""
    sources = []

    def make(address, profile=None, refresh="free", options=None):
        sources.append(LockstepSource(address, options or Options(), parse_refresh(refresh), profile))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def frame():
    """Frame number n of ``make_engines``, n ms after the start."""

    def make(number, at_ns=None):
        return Frame(np.full((2, 2, 3), number % 256, np.uint8), number * 10**6 if at_ns is None else at_ns)

    return make


@pytest.fixture
def big_frame():
    """Frame number n of ``big_engines``: 256 x 192 px, all of the value that the fakes read as its number."""

    def make(number):
        return Frame(np.full((192, 256, 3), number % 256, np.uint8), number * 10**6)

    return make


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


@pytest.fixture
def pump(until, big_frame):
    """Offer a source frames until it is enough; gives the last one's number."""

    def offer(source, enough, start=0, interval_s=0.01):
        number = start

        def offered_enough():
            nonlocal number
            if enough():
                return True
            number += 1
            source.offer(big_frame(number))
            return False

        until(offered_enough, interval_s=interval_s)
        return number

    return offer


@pytest.fixture
def deliver(pump):
    """Offer a source frames until so many more estimates have come; see ``pump``."""

    def offer(source, count, start=0, interval_s=0.01):
        wanted = source.totals.delivered + count
        return pump(source, lambda: source.totals.delivered >= wanted, start, interval_s)

    return offer


@pytest.fixture
def settled():
    """A source's accounts at its end, which add up by their own check."""

    def end(source):
        source.close()
        totals = source.totals
        assert totals.open == 0
        return totals

    return end
