"""The depth device: ``python -m asyncmde_sim.hil.server --help``. Needs neither the simulator nor torch."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from asyncmde_sim import __version__
from asyncmde_sim.depth.weights_folder import WeightsConfig, find_weights, read_config
from asyncmde_sim.hil import MAX_IN_FLIGHT, MAX_MESSAGE_BYTES, PORT, PROTOCOL, SERVICE
from asyncmde_sim.hil import device_pb2 as pb
from asyncmde_sim.hil.buffers import keep_buffers
from asyncmde_sim.hil.security import is_loopback, own_token, server_credentials, token_matches
from asyncmde_sim.hil.session import Limits, Refused, Session
from asyncmde_sim.hil.telemetry import Telemetry
from asyncmde_sim.hil.workers import SharedEngines
from asyncmde_sim.runtime.concurrent_source import BothPaths
from asyncmde_sim.runtime.engines import default_engine, load_engines
from asyncmde_sim.runtime.engines.no_engines import NAME as NO_ENGINE
from asyncmde_sim.runtime.engines.no_engines import NoEngines
from asyncmde_sim.runtime.engines.onnx_engine import cpu_threads
from asyncmde_sim.runtime.engines.spec import parse_engine

log = logging.getLogger(__name__)

STOP_S = 2.0


@dataclass(frozen=True)
class ServerConfig:
    """Compute depth for hosts: both paths of AsyncMDE, with the memory of each session apart.

    Args:
        host: Address to listen on; only this machine can reach the default one.
        port: TCP port; 0 takes a free one, which is printed.
        weights: Name or folder of weights; the shipped ones by default.
        engine: What runs the networks, such as onnx-int8 or onnx-fp16@tensorrt; see scripts/rollout.py. none
            computes nothing, to measure the way to the device alone.
        certificates: Folder of 'scripts/hil.py certificate': only hosts of the same authority are let in.
        token: File with the word that hosts must know, made if there is none; without certificates one is
            always needed, by default ~/.config/asyncmde-sim/hil-token.
        sessions: Hosts at a time.
        name: Name of this device in records; its host name by default.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    weights: str | None = None
    engine: str | None = None
    certificates: Path | None = None
    token: Path | None = None
    sessions: int = 4
    name: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}, but it must lie between 0 and 65535")
        if self.sessions < 1:
            raise ValueError(f"sessions is {self.sessions}, but at least 1 is needed")
        if self.engine not in (None, NO_ENGINE):
            parse_engine(self.engine)
        if not self.host:
            raise ValueError("host is empty: give an address, such as 127.0.0.1 or 0.0.0.0")

    @property
    def device_name(self) -> str:
        """The name of this device."""
        return self.name or platform.node()

    @property
    def resolved_engine(self) -> str:
        """The engine, the default one if none is given."""
        return self.engine or default_engine(self.weights)


def describe(config: ServerConfig) -> pb.Welcome:
    """What the device tells a host about itself.

    Raises:
        FileNotFoundError: There are no such weights.
        ValueError: They cannot be read.
    """
    folder = find_weights(config.weights)
    weights: WeightsConfig = read_config(folder)
    digest = hashlib.sha256()
    if config.engine != NO_ENGINE:
        spec = parse_engine(config.resolved_engine)
        files = "*.safetensors" if spec.library == "torch" else f"*.{spec.precision}.onnx"
        for file in sorted(folder.glob(files)):
            digest.update(file.read_bytes())
    return pb.Welcome(
        protocol=PROTOCOL,
        version=__version__,
        device=config.device_name,
        engine=config.resolved_engine,
        weights=folder.name,
        weights_sha256=digest.hexdigest(),
        focal=weights.focal,
        max_in_flight=MAX_IN_FLIGHT,
        max_message_bytes=MAX_MESSAGE_BYTES,
        threads=cpu_threads(),
    )


def _engines(config: ServerConfig) -> BothPaths:
    if config.engine == NO_ENGINE:
        return NoEngines()
    return load_engines(config.weights, None, config.resolved_engine)


class DeviceServer:
    """The service, for one event loop.

    Args:
        config: Its options.
        engines: The networks; None loads those of the config.
        limits: How long hosts may take.
    """

    def __init__(
        self, config: ServerConfig, engines: BothPaths | None = None, limits: Limits | None = None
    ) -> None:
        keep_buffers()
        self._config, self._limits = config, limits or Limits()
        self._token = None
        if config.token is not None or config.certificates is None:
            self._token = own_token(config.token)
        self._welcome = describe(config)
        self._engines = SharedEngines(engines or _engines(config))
        self._telemetry = Telemetry()
        self._welcome.telemetry = self._telemetry.source
        self._server: Any = None
        self.sessions: set[Session] = set()

    def warm_up(self) -> None:
        """Run both paths once, so that the first frame takes no longer than others."""
        image = np.zeros((64, 64, 3), np.uint8)
        state = self._engines.fast.refreshed(None, self._engines.slow.memory(image))
        self._engines.fast.run(image, state)

    async def start(self) -> int:
        """Listen; the port.

        Raises:
            ValueError: It cannot.
        """
        limit = MAX_MESSAGE_BYTES
        options = [
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ]
        self._server = grpc.aio.server(options=options)
        handler = grpc.stream_stream_rpc_method_handler(
            self._session, pb.ToDevice.FromString, pb.ToHost.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Session": handler}),)
        )
        checks = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, self._server)
        for service in ("", SERVICE):
            await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        address = f"{host}:{self._config.port}"
        try:
            if self._config.certificates is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(self._config.certificates))
        except RuntimeError as error:
            raise ValueError(
                f"cannot listen on {address} ({str(error).splitlines()[0]}): give another --host or --port"
            ) from error
        if self._config.certificates is None and not is_loopback(self._config.host):
            log.warning("token and images cross the network in clear: use --certificates outside a lab")
        await self._server.start()
        return int(port)

    async def stop(self) -> None:
        """End all sessions and listen no more."""
        if self._server is not None:
            await self._server.stop(STOP_S)
        self._telemetry.close()

    async def _session(self, _: Any, context: Any) -> None:
        if self._token is not None and not token_matches(self._token, context.invocation_metadata() or ()):
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "the token is missing or wrong: copy the device's token file to the host",
            )
        welcome = pb.Welcome()
        welcome.CopyFrom(self._welcome)
        session = Session(context, self._engines, welcome, self._telemetry.read, self._admit, self._limits)
        status = None
        try:
            await session.run()
        except Refused as refused:
            status = refused
        finally:
            self.sessions.discard(session)
            log.info(
                "%s: it has ended%s; %s", context.peer(), f" ({status})" if status else "", session.totals
            )
        if status is not None:
            await context.abort(status.status, str(status))

    def _admit(self, session: Session) -> int:
        others = len(self.sessions)
        if others >= self._config.sessions:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"this device serves {others} hosts at a time, and that many are there: wait, or serve with "
                "more --sessions",
            )
        self.sessions.add(session)
        return others


async def _serve(config: ServerConfig) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = DeviceServer(config)
    server.warm_up()
    port = await server.start()
    print(f"{config.device_name} serves {config.resolved_engine} on {config.host}:{port}", flush=True)
    await stopped.wait()
    await server.stop()


def serve(config: ServerConfig) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ValueError: An option is wrong, or the port is taken.
        OSError: Weights or certificates are missing.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(config))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 for a refusal."""
    parser = argparse.ArgumentParser(prog="python -m asyncmde_sim.hil.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="TCP port (%(default)s)")
    parser.add_argument("--weights", help="name or folder of weights; the shipped ones by default")
    parser.add_argument("--engine", help="such as onnx-int8 or onnx-fp16@tensorrt; none computes nothing")
    parser.add_argument("--certificates", type=Path, help="folder of 'scripts/hil.py certificate'")
    parser.add_argument("--token", type=Path, help="file with the word that hosts must know")
    parser.add_argument("--sessions", type=int, default=4, help="hosts at a time (%(default)s)")
    parser.add_argument("--name", help="name of this device in records; its host name by default")
    try:
        serve(ServerConfig(**vars(parser.parse_args(arguments))))
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, ImportError) and error.name:
            raise
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
