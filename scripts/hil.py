"""Depth on a device: serve it, check a device, make a lab's certificates.

Examples:

    python scripts/hil.py serve                                             # this machine is the device
    python scripts/hil.py check hil://127.0.0.1:50151                       # what a device is worth
    python scripts/hil.py certificate --out lab --names jetson.local        # for --certificates
    python scripts/rollout.py --depth hil://127.0.0.1:50151                 # the simulation waits for it
    python scripts/rollout.py --depth hil://127.0.0.1:50151 --clock wall    # the simulation runs in real time
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from asyncmde_sim.evaluation.command_line import errors_through, exit_code
from asyncmde_sim.evaluation.records import write_json

try:
    from asyncmde_sim.hil.conformance import conformance
    from asyncmde_sim.hil.link import Address
    from asyncmde_sim.hil.realtime import Options
    from asyncmde_sim.hil.remote import parse_url
    from asyncmde_sim.hil.server import ServerConfig, serve
    from asyncmde_sim.hil.soak import soak
    from asyncmde_sim.hil.way_times import time_way
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("grpc", "grpc_health", "google"):
        raise
    sys.exit("this needs gRPC: pip install 'asyncmde-sim[hil]', on a device 'asyncmde-sim[device]'")


@dataclass(frozen=True)
class Serve(ServerConfig):
    __doc__ = ServerConfig.__doc__

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        serve(self)


@dataclass(frozen=True)
class Certificate:
    """Make an authority and certificates for a device and a host.

    Args:
        out: Folder for them; all of it is secret but the .crt files.
        names: The device's host names and IP addresses, as the host calls it.
        days: How long they are valid.
    """

    out: Path
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    days: int = 365

    def run(self) -> None:
        """Make them."""
        from asyncmde_sim.hil.certificates import make_certificates

        make_certificates(self.out, self.names, self.days)
        print(f"written to {self.out}: copy authority.crt, device.crt and device.key to the device, and keep")
        print("authority.key here; the host needs authority.crt, host.crt and host.key")


@dataclass(frozen=True)
class Check:
    """Try a device, and measure it and the way to it.

    Args:
        url: The device: hil://HOST:PORT; see scripts/rollout.py --depth.
        heights: Heights of the images that are timed, pixels.
        widths: Their widths, one for each height.
        frames: Frames of each size.
        soak_s: Then stream for so many seconds in real time; 0 leaves that out.
        rate_hz: Frames a second of that.
        trace: Write its frames' fates and times to this .parquet file, for --device.
        json_file: File for the figures.
    """

    url: Annotated[str, tyro.conf.Positional] = "hil://127.0.0.1:50151"
    heights: tuple[int, ...] = (168, 518)
    widths: tuple[int, ...] = (224, 518)
    frames: int = 200
    soak_s: float = 60.0
    rate_hz: float = 30.0
    trace: Path | None = None
    json_file: Path | None = None

    def __post_init__(self) -> None:
        if len(self.heights) != len(self.widths) or not self.heights:
            raise ValueError(
                f"heights are {self.heights} and widths {self.widths}, but each size has one of both"
            )
        if self.frames < 10:
            raise ValueError(f"frames is {self.frames}, but percentiles need at least 10")
        if not (math.isfinite(self.soak_s) and self.soak_s >= 0):
            raise ValueError(f"soak_s is {self.soak_s}, but it must be finite and not negative")
        if not 0.1 <= self.rate_hz <= 1000:
            raise ValueError(f"rate_hz is {self.rate_hz}, but it must lie between 0.1 and 1000")
        if self.trace is not None and self.trace.suffix != ".parquet":
            raise ValueError(f"trace is {self.trace}, but a latency trace is a .parquet file: name it so")

    def run(self) -> None:
        """Measure and print; ends with an error if the device does not do what it must."""
        address, options = parse_url(self.url)
        console = Console(stderr=True)
        problems = []
        for verdict in conformance(address, options):
            print(f"{'FAILED' if verdict.problem else 'ok':7}{verdict.what}")
            if verdict.problem:
                problems.append(f"{verdict.what}: {verdict.problem}")
        if problems:
            raise ValueError(f"the device does not do what it must: {'; '.join(problems)}")
        columns = ("p50 ms", "p95", "p99", "/s")
        table = Table("one frame at a time", *columns, box=box.SIMPLE_HEAD)
        figures: dict[str, object] = {}
        for size in zip(self.heights, self.widths, strict=True):
            shown = f"{size[0]}x{size[1]}"
            with console.status(f"{self.frames} frames of {shown}"):
                times = time_way(address, options, size, self.frames)
            rows = {"overhead": times.overhead, "fast path": times.fast, "slow path": times.slow}
            for name, seconds in {"whole": times.whole, **rows}.items():
                percentiles = [float(np.percentile(seconds, p) * 1e3) for p in (50, 95, 99)]
                figures[f"{shown} {name}"] = percentiles
                rate = f"{times.frames_per_s:.1f}" if name == "whole" else ""
                table.add_row(f"{shown} {name}", *(f"{p:.2f}" for p in percentiles), rate)
        Console(width=80).print(table)
        if self.soak_s:
            figures["soak"] = self._soak(address, options)
        if self.json_file:
            write_json(figures, self.json_file)

    def _soak(self, address: Address, options: Options) -> dict[str, object]:
        size = self.heights[0], self.widths[0]
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("soak", total=1.0)
            report = soak(
                address,
                options,
                size,
                self.soak_s,
                self.rate_hz,
                self.trace,
                lambda share: progress.update(task, completed=share),
            )
        there, totals = report.accounts, report.totals
        ages = [float(np.percentile(report.age_s, p) * 1e3) for p in (50, 95, 99)] if report.age_s else []
        print(f"soak: {report.seconds:.0f} s of {size[0]}x{size[1]} at {report.frames_per_s:.1f} frames/s")
        ends = ("delivered", "superseded", "late", "lost")
        print(f"  host    {totals.opened} sent, " + ", ".join(f"{getattr(totals, e)} {e}" for e in ends))
        print(f"  device  {there}; the sums {'agree' if report.sums_agree else 'DO NOT AGREE'}")
        if ages:
            print("  age of the depth at each frame: p50 {:.0f} ms, p95 {:.0f}, p99 {:.0f}".format(*ages))
        error = f"to within {report.clock_error_ns / 1e6:.3f} ms, drift {report.drift_ppm:+.1f} ppm"
        print(f"  clocks  {error}; {report.sessions} session(s)")
        grown = (report.memory_bytes[1] - report.memory_bytes[0]) / 1e6
        handles = "{} and {}".format(*report.handles)
        print(f"  memory  {grown:+.1f} MB since a quarter of the time; handles {handles}")
        if report.energy_per_frame_j is not None:
            print(f"  energy  {report.energy_per_frame_j:.3f} J a delivered frame")
        return report.as_dict()


COMMANDS: dict[str, Callable[..., Any]] = {
    "serve": errors_through(Serve),
    "check": errors_through(Check),
    "certificate": errors_through(Certificate),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script."""
    cli = tyro.extras.subcommand_cli_from_dict
    return exit_code(lambda: cli(COMMANDS, args=arguments, description=__doc__).run())


if __name__ == "__main__":
    sys.exit(main())
