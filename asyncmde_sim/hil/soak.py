"""A device used in real time for a while, and what that gave."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asyncmde_sim.hil.accounts import Totals
from asyncmde_sim.hil.link import Address
from asyncmde_sim.hil.realtime import Options, RealTimeSource
from asyncmde_sim.hil.trial import noise_images
from asyncmde_sim.runtime.types import Frame
from asyncmde_sim.runtime.wall_clock import PacedSource, WallClock


@dataclass(frozen=True)
class SoakReport:
    """What a while in real time gave.

    Args:
        seconds: How long.
        frames_per_s: Frames offered a second.
        totals: How the frames sent ended on the host.
        accounts: The same on the device; None if the session did not end well.
        age_s: Age of the newest estimate at each frame, from the first estimate on.
        sessions: Sessions that it took.
        clock_error_ns: Bound on the error of the device's clock at the end.
        drift_ppm: Drift of the device's clock.
        memory_bytes: This process's memory, a quarter of the way on and at the end.
        handles: Its open handles at the same times.
        energy_j: Energy of the device over the time; None without telemetry.
    """

    seconds: float
    frames_per_s: float
    totals: Totals
    accounts: dict[str, int] | None
    age_s: list[float] = field(repr=False)
    sessions: int
    clock_error_ns: int
    drift_ppm: float
    memory_bytes: tuple[int, int]
    handles: tuple[int, int]
    energy_j: float | None

    @property
    def energy_per_frame_j(self) -> float | None:
        """Energy for each estimate that was delivered."""
        if self.energy_j is None or not self.totals.delivered:
            return None
        return self.energy_j / self.totals.delivered

    @property
    def sums_agree(self) -> bool:
        """Whether both sides count the same; unknown, so false, after a session that did not end well."""
        there, here = self.accounts, self.totals
        if there is None or self.sessions != 1:
            return False
        return (
            there["received"] == here.opened
            and there["answered"] == here.delivered + here.late
            and there["superseded"] == here.superseded
        )

    def as_dict(self) -> dict[str, object]:
        """For a JSON file, without the single ages."""
        values = dataclasses.asdict(self)
        ages = values.pop("age_s")
        values["age_ms"] = (
            {f"p{p}": float(np.percentile(ages, p) * 1e3) for p in (50, 95, 99)} if ages else None
        )
        values["sums_agree"] = self.sums_agree
        values["energy_per_frame_j"] = self.energy_per_frame_j
        return values


def soak(
    address: Address,
    options: Options,
    size: tuple[int, int],
    seconds: float,
    rate_hz: float,
    trace: Path | None = None,
    tick: Callable[[float], None] = lambda share: None,
) -> SoakReport:
    """Stream in real time for a while.

    Args:
        address: The device.
        options: How to send.
        size: Height and width of the images.
        seconds: How long.
        rate_hz: Frames a second.
        trace: A .parquet file for the frames' fates and times.
        tick: Told of the share of the time that has passed.

    Raises:
        DeviceError: There is no device.
    """
    images = noise_images(size)
    clock = WallClock()
    remote = RealTimeSource(address, options, clock)
    source = PacedSource(remote, clock)
    source.reset(0)
    if trace is not None:
        remote.trace.open(trace, {"device": remote.welcome.device})
    interval_ns, count = round(1e9 / rate_hz), max(round(seconds * rate_hz), 4)
    ages: list[float] = []
    energy, powered = 0.0, False
    resources = [(0, 0), (0, 0)]
    start = time.monotonic()
    for number in range(count):
        now_ns = number * interval_ns
        source.offer(Frame(images[number % len(images)], now_ns))
        estimate = source.newest(now_ns)
        if estimate is not None:
            ages.append((now_ns - estimate.capture_ns) / 1e9)
        if (power := remote.power_w) is not None:
            energy, powered = energy + power * interval_ns / 1e9, True
        if number in (count // 4, count - 1):
            resources[number == count - 1] = (_memory_bytes(), len(os.listdir("/proc/self/fd")))
        tick((number + 1) / count)
    taken = time.monotonic() - start
    fit = remote.link.clock.fit
    remote.close()
    there = remote.device_accounts
    names = ("received", "answered", "superseded", "lost")
    return SoakReport(
        seconds=taken,
        frames_per_s=count / taken,
        totals=remote.totals,
        accounts=None if there is None else {name: getattr(there, name) for name in names},
        age_s=ages,
        sessions=remote.link.sessions,
        clock_error_ns=0 if fit is None else fit.error_ns(fit.until_ns),
        drift_ppm=0.0 if fit is None else fit.drift_ppm,
        memory_bytes=(resources[0][0], resources[1][0]),
        handles=(resources[0][1], resources[1][1]),
        energy_j=energy if powered else None,
    )


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
