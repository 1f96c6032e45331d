"""What a rollout keeps of the device that computed its depth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.runtime.registry import is_remote
from asyncmde_sim.runtime.sources import inner_source
from asyncmde_sim.runtime.types import DepthSource
from asyncmde_sim.runtime.wall_clock import PacedSource


class RemoteLog:
    """Writes ``trace.parquet``, which ``--device`` replays, and ``remote.json``, for a source on a device.

    A source of another kind leaves neither.

    Args:
        source: The rollout's depth source, reset.
        depth: Its name.
        folder: The rollout's folder.
    """

    def __init__(self, source: DepthSource, depth: str, folder: Path) -> None:
        self._paced = source if isinstance(source, PacedSource) else None
        remote: Any = inner_source(source) if is_remote(depth) else None
        self._remote, self._folder = remote, folder
        if remote is not None:
            remote.trace.open(folder / "trace.parquet", {"device": json.dumps(self._device())})

    def _device(self) -> dict[str, Any]:
        welcome = self._remote.welcome
        names = ("device", "engine", "weights", "weights_sha256", "version", "threads", "telemetry")
        return {name: getattr(welcome, name) for name in names}

    def finish(self) -> list[str]:
        """Write what is known when the source is closed, and say it in a few lines."""
        lines = []
        if self._paced is not None:
            clock = self._paced.clock
            late = f"{clock.late_steps} of {clock.steps} steps came late"
            lines.append(f"wall clock: {late}, by {clock.slipped_ns / 1e9:.2f} s in all")
        if self._remote is None:
            return lines
        totals, fit = self._remote.totals, self._remote.link.clock.fit
        there = self._remote.device_accounts
        names = ("received", "answered", "superseded", "lost")
        report = {
            "device": self._device(),
            "sessions": self._remote.link.sessions,
            "frames": dataclasses.asdict(totals),
            "frames_of_device": None if there is None else {name: getattr(there, name) for name in names},
            "clock": None
            if fit is None
            else {
                "offset_ns": fit.offset_ns,
                "drift_ppm": fit.drift_ppm,
                "error_ns": fit.error_ns(fit.until_ns),
            },
        }
        write_json(report, self._folder / "remote.json")
        ends = ", ".join(
            f"{getattr(totals, end)} {end}" for end in ("delivered", "superseded", "late", "lost")
        )
        lines.append(f"device {self._remote.welcome.device}: {totals.opened} frames sent, {ends}")
        return lines
