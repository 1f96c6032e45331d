"""A device on loopback, in a thread of its own, over fake engines or the shipped networks."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from pathlib import Path

from asyncmde_sim.hil.link import Address
from asyncmde_sim.hil.server import DeviceServer, ServerConfig
from asyncmde_sim.hil.session import Limits

PATIENCE_S = 20


def until(condition, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


class Device:
    """A device that can be killed and started again on the same port."""

    def __init__(self, token: Path, engines=None, limits: Limits | None = None, **options):
        self.config = ServerConfig(port=0, token=token, **options)
        self._engines, self._limits = engines, limits
        self.server: DeviceServer | None = None
        self.port = 0

    def start(self):
        ready = threading.Event()
        config = ServerConfig(**{**vars(self.config), "port": self.port})

        async def serve():
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.server = DeviceServer(config, self._engines, self._limits)
            self.port = await self.server.start()
            ready.set()
            await self._stop.wait()
            await self.server.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S)
        return self

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    @property
    def address(self) -> Address:
        return Address(f"127.0.0.1:{self.port}", token=self.config.token, certificates=None)


def fake_engines(**options):
    """Those of ``tests/runtime``: numbers tell which frames and which memory an estimate is made from."""
    spec = importlib.util.spec_from_file_location("fakes", Path(__file__).parents[1] / "runtime/conftest.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["fakes"] = module
    spec.loader.exec_module(module)
    return module.FakeEngines(**options)
