"""Another host's clock beside this one: offset and drift from pings, with a bound on their error.

A ping leaves at t0, arrives at t1 of the other clock, is answered at t2, and the answer is here at t3.
Whatever each way took, the other clock's offset at (t0 + t3) / 2 lies within half of the round trip of
((t1 - t0) + (t2 - t3)) / 2 (as in NTP, RFC 5905). A straight line is fitted to the quickest pings. The true
offset is a straight line, too, as long as the clocks' rates are constant. At a ping the two differ by no more
than half its round trip plus its residual; from there they part no faster than their slopes differ.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW_NS = 120 * 10**9
SLICES = 48
MAX_DRIFT_PPM = 200.0
"""Clocks of computers differ by less."""


@dataclass(frozen=True)
class PingSample:
    """One ping.

    Args:
        at_ns: Middle of the ping on this host's clock.
        offset_ns: The other clock minus this one, to within ``error_ns``.
        error_ns: Half of the round trip.
    """

    at_ns: int
    offset_ns: float
    error_ns: float

    @classmethod
    def of(cls, t0: int, t1: int, t2: int, t3: int) -> PingSample:
        """From the four times of a ping.

        Raises:
            ValueError: The times cannot be those of a ping.
        """
        round_trip = (t3 - t0) - (t2 - t1)
        if t3 < t0 or t2 < t1 or round_trip < 0:
            raise ValueError(f"times {t0}, {t1}, {t2}, {t3} ns are not those of a ping")
        return cls((t0 + t3) // 2, ((t1 - t0) + (t2 - t3)) / 2, round_trip / 2)


@dataclass(frozen=True)
class ClockFit:
    """The other clock by this one: ``offset = offset_ns + drift * (time - since_ns)``.

    Args:
        since_ns: Time of the first ping used.
        until_ns: Time of the last.
        offset_ns: Offset at ``since_ns``.
        drift: Change of the offset per time.
        pings: Time and bound on the offset's error at each ping used.
        slope: Bound on the error of the drift.
    """

    since_ns: int
    until_ns: int
    offset_ns: float
    drift: float
    pings: tuple[tuple[int, float], ...]
    slope: float

    @property
    def drift_ppm(self) -> float:
        """How much faster the other clock is, parts in a million."""
        return self.drift * 1e6

    def here(self, there_ns: int) -> int:
        """This clock's time at a time of the other one."""
        relative = (there_ns - self.since_ns - self.offset_ns) / (1 + self.drift)
        return self.since_ns + round(relative)

    def error_ns(self, here_ns: int) -> int:
        """Bound on the error of ``here`` at a time of this clock."""
        return math.ceil(min(bound + self.slope * abs(here_ns - at) for at, bound in self.pings))


def quickest(samples: Sequence[PingSample], slices: int = SLICES) -> list[PingSample]:
    """The ping with the shortest round trip of each of equally long slices of time, in order."""
    if not samples:
        return []
    start = min(s.at_ns for s in samples)
    length = max(max(s.at_ns for s in samples) - start, 1)
    best: dict[int, PingSample] = {}
    for sample in samples:
        part = min((sample.at_ns - start) * slices // length, slices - 1)
        if part not in best or sample.error_ns < best[part].error_ns:
            best[part] = sample
    return [best[part] for part in sorted(best)]


def fit_clock(samples: Sequence[PingSample]) -> ClockFit:
    """Offset and drift from pings.

    Raises:
        ValueError: There is none.
    """
    if not samples:
        raise ValueError("the clocks cannot be compared: there was no ping")
    used = quickest(samples)
    since = used[0].at_ns
    times = np.array([s.at_ns - since for s in used], dtype=np.float64)
    offsets = np.array([s.offset_ns for s in used])
    errors = np.array([s.error_ns for s in used])
    base, weights = offsets[0], 1 / np.maximum(errors, 1.0)
    drift = float(np.polyfit(times, offsets - base, 1, w=weights)[0]) if len(used) > 2 else 0.0
    drift = float(np.clip(drift, -1e-6 * MAX_DRIFT_PPM, 1e-6 * MAX_DRIFT_PPM))
    rest = float(np.average(offsets - base - drift * times, weights=weights**2))
    residuals = np.abs(offsets - base - rest - drift * times)
    bounds = errors + residuals
    slope = abs(drift) + 1e-6 * MAX_DRIFT_PPM
    apart = times[None] - times[:, None]
    later = apart > 0
    if later.any():
        slope = min(slope, float(((bounds[None] + bounds[:, None])[later] / apart[later]).min()))
    pings = tuple((s.at_ns, float(bound)) for s, bound in zip(used, bounds, strict=True))
    return ClockFit(since, used[-1].at_ns, float(base + rest), drift, pings, slope)


class ClockEstimate:
    """The fit to the pings of the last two minutes."""

    def __init__(self) -> None:
        self._samples: deque[PingSample] = deque()
        self._fit: ClockFit | None = None

    def add(self, sample: PingSample) -> None:
        """Take a ping, and forget what is too old."""
        self._samples.append(sample)
        while sample.at_ns - self._samples[0].at_ns > WINDOW_NS:
            self._samples.popleft()
        self._fit = None

    @property
    def fit(self) -> ClockFit | None:
        """The present fit, None before the first ping."""
        if self._fit is None and self._samples:
            self._fit = fit_clock(self._samples)
        return self._fit
