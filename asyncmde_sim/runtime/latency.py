"""Latency profiles: how long each path takes on a named device, alone and while the other path runs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

LATENCIES = ("fast", "fast_contended", "slow", "slow_contended")
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class LatencyDistribution:
    """The observed durations of a run; one of them is drawn with equal chance for each run.

    Args:
        samples_ns: At least one duration, integer nanoseconds, not negative. A single one is a constant.
    """

    samples_ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.samples_ns:
            raise ValueError("a latency has no samples: give at least one duration")
        for sample in self.samples_ns:
            if not isinstance(sample, int) or isinstance(sample, bool) or sample < 0:
                raise ValueError(f"latency sample {sample!r} must be an integer number of ns, 0 or more")

    def draw(self, rng: np.random.Generator) -> int:
        """One duration in ns. A constant consumes no randomness."""
        if len(self.samples_ns) == 1:
            return self.samples_ns[0]
        return self.samples_ns[int(rng.integers(len(self.samples_ns)))]


@dataclass(frozen=True)
class LatencyProfile:
    """How long each path takes on one device.

    A run's duration is drawn when it starts: from the contended distribution if the other path is running
    at that moment, else from the one measured alone. It is not changed by what starts later.

    Args:
        name: The device.
        source: Where the numbers come from: a citation, or how they were measured.
        fast: Fast path alone.
        fast_contended: Fast path started while the slow path runs.
        slow: Slow path alone.
        slow_contended: Slow path started while the fast path runs.
    """

    name: str
    source: str
    fast: LatencyDistribution
    fast_contended: LatencyDistribution
    slow: LatencyDistribution
    slow_contended: LatencyDistribution

    def __post_init__(self) -> None:
        for field in ("name", "source"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(
                    f"the latency profile's {field} is {value!r}, but it must be a text: name it"
                )

    def as_dict(self) -> dict[str, Any]:
        """The content of a JSON file that ``load_profile`` reads, every sample in milliseconds."""
        samples = {key: getattr(self, key).samples_ns for key in LATENCIES}
        return {
            "name": self.name,
            "source": self.source,
            **{f"{key}_ms": [ns / _NS_PER_MS for ns in values] for key, values in samples.items()},
        }

    def latency(self, path: str, contended: bool) -> LatencyDistribution:
        """The distribution of ``path`` ("slow" or "fast"), alone or while the other path runs."""
        distribution: LatencyDistribution = getattr(self, f"{path}_contended" if contended else path)
        return distribution


def builtin_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package."""
    folder = resources.files(__package__) / "profiles"
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


def load_profile(name_or_path: str | Path) -> LatencyProfile:
    """A built-in profile by name, or a user's JSON file by path.

    The file holds ``name`` and ``source`` (texts) and ``fast_ms``, ``fast_contended_ms``, ``slow_ms``,
    ``slow_contended_ms``: milliseconds, each a number or a list of samples::

        {"name": "my-machine", "source": "measured on 2026-11-25, 1000 runs",
         "fast_ms": [4.1, 4.2, 4.4], "fast_contended_ms": 8.0, "slow_ms": 17, "slow_contended_ms": 20}

    Raises:
        ValueError: No such profile or file, or a file that does not hold the above.
    """
    text = str(name_or_path)
    if text in builtin_profiles():
        entry = resources.files(__package__) / "profiles" / f"{text}.json"
        return parse_profile(entry.read_text(encoding="utf-8"), text)
    path = Path(name_or_path)
    if not path.is_file():
        raise ValueError(
            f"unknown device {text!r}: built in are {', '.join(builtin_profiles())}; "
            "or give the path of an existing JSON file with your own latencies"
        )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"latency file {text} cannot be read ({error}): give a readable JSON file"
        ) from error
    return parse_profile(content, text)


def parse_profile(content: str, origin: str) -> LatencyProfile:
    """The profile in a JSON text; ``origin`` names the file in errors.

    Raises:
        ValueError: Not such a profile; the message names the file, the key, the value and the fix.
    """
    try:
        data = json.loads(content)
    except json.JSONDecodeError as error:
        raise ValueError(f"latency file {origin} is not valid JSON ({error}): correct it") from error
    if not isinstance(data, dict):
        raise ValueError(f"latency file {origin} holds a {type(data).__name__}, but it must hold an object")
    expected = ("name", "source", *(f"{key}_ms" for key in LATENCIES))
    for key in expected:
        if key not in data:
            raise ValueError(
                f"latency file {origin} has no key {key!r}: add it (needed: {', '.join(expected)})"
            )
    for key in data:
        if key not in expected:
            raise ValueError(f"latency file {origin} has the unknown key {key!r}: use {', '.join(expected)}")
    for key in ("name", "source"):
        if not isinstance(data[key], str) or not data[key].strip():
            raise ValueError(
                f"latency file {origin}: {key!r} is {data[key]!r}, but it must be a text: name it"
            )
    latencies = {key: _distribution(data[f"{key}_ms"], origin, f"{key}_ms") for key in LATENCIES}
    return LatencyProfile(name=data["name"], source=data["source"], **latencies)


def _distribution(value: Any, origin: str, key: str) -> LatencyDistribution:
    def refuse(wrong: Any, fix: str) -> NoReturn:
        raise ValueError(f"latency file {origin}: {key!r} is {wrong!r}, {fix}")

    samples = value if isinstance(value, list) else [value]
    if not samples:
        refuse(value, "but it needs at least one duration in milliseconds: add one")
    for sample in samples:
        if isinstance(sample, bool) or not isinstance(sample, int | float):
            refuse(sample, "but it must be a number of milliseconds or a list of them: correct it")
        if not math.isfinite(sample) or sample < 0:
            refuse(sample, "but a duration is finite and 0 ms or more: correct it")
    return LatencyDistribution(tuple(round(sample * _NS_PER_MS) for sample in samples))
