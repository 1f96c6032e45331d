"""A device's load, clocks, temperatures and power, through jetson-stats where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

Reader = Callable[[], dict[str, float]]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def jetson_values(jetson: Any) -> dict[str, float]:
    """What an open ``jtop`` of jetson-stats 4 tells now; what it does not have is left out.

    Names end in their unit: ``gpu_load_percent``, ``gpu_clock_mhz``, ``cpu_load_percent``, ``cpu_clock_mhz``,
    ``temperature_<sensor>_c``, ``power_w``.
    """
    values: dict[str, float | None] = {}
    gpus: Mapping[str, Any] = jetson.gpu
    for gpu in list(gpus.values())[:1]:
        values["gpu_load_percent"] = _number(gpu.get("status", {}).get("load"))
        values["gpu_clock_mhz"] = _scaled(gpu.get("freq", {}).get("cur"), 1e-3)
    idle = _number(jetson.cpu.get("total", {}).get("idle"))
    values["cpu_load_percent"] = None if idle is None else 100.0 - idle
    cores = [_number(core.get("freq", {}).get("cur")) for core in jetson.cpu.get("cpu", [])]
    running = [clock for clock in cores if clock is not None]
    values["cpu_clock_mhz"] = _scaled(max(running), 1e-3) if running else None
    for name, sensor in jetson.temperature.items():
        if sensor.get("online", True):
            values[f"temperature_{name.lower().replace(' ', '_')}_c"] = _number(sensor.get("temp"))
    values["power_w"] = _scaled(jetson.power.get("tot", {}).get("power"), 1e-3)
    return {name: value for name, value in values.items() if value is not None}


def _scaled(value: Any, factor: float) -> float | None:
    number = _number(value)
    return None if number is None else number * factor


class Telemetry:
    """Reads a device's figures; without jetson-stats, or without its service, there are none."""

    def __init__(self) -> None:
        self.source = ""
        self._jetson: Any = None
        try:
            from jtop import jtop
        except ImportError:
            return
        try:
            self._jetson = jtop()
            self._jetson.start()
        except Exception as error:  # its own class of error, known only where it is installed
            log.warning("jetson-stats is installed, but does not answer (%s): no telemetry", error)
            self._jetson = None
            return
        self.source = "jetson-stats"

    def read(self) -> dict[str, float]:
        """The figures now; none where there is no source, or it fails."""
        if self._jetson is None:
            return {}
        try:
            return jetson_values(self._jetson)
        except Exception as error:  # telemetry must never end a session
            log.warning("jetson-stats gave no figures: %s", error)
            return {}

    def close(self) -> None:
        """End the connection to its service."""
        if self._jetson is not None:
            self._jetson.close()
