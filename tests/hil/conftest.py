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

PATIENCE_S = 20


@pytest.fixture
def until():
    """Wait for a condition."""

    def wait(condition, patience_s=PATIENCE_S):
        end = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.002)

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
