"""Domain randomisation: a source whose latency, resolution and noise differ from episode to episode."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.sources import EpisodeSeeds
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts

NOISE_PATCHES = 6
"""Patches along the shorter side of the image whose depth errs together."""


@dataclass(frozen=True)
class Randomisation:
    """Bounds of what is drawn at the start of each episode, evenly from 0, or from 1 for the resolution.

    Args:
        latency_ms: Largest constant latency on top, milliseconds.
        coarser: Largest factor by which the depth is coarser, pixels of the image along one of the depth.
        noise: Largest deviation of the logarithm of the depth, drawn anew for each estimate, alike within
            patches of a sixth of the image.
    """

    latency_ms: float = 0.0
    coarser: int = 1
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("latency_ms", 10_000.0), ("noise", 2.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise ValueError(f"{name} is {value}, but it must lie between 0 and {most:g}")
        if not 1 <= self.coarser <= 64:
            raise ValueError(f"coarser is {self.coarser}, but it must be a whole number from 1 to 64")

    @property
    def any(self) -> bool:
        """Whether anything is drawn."""
        return self != Randomisation()


class RandomisedSource:
    """Any source, with more latency, less resolution and more noise than it has; drawn at each reset.

    Times and counts are the source's own, later by the drawn latency.

    Args:
        source: The source.
        randomisation: The bounds.
    """

    def __init__(self, source: DepthSource, randomisation: Randomisation) -> None:
        self._source = source
        self._bounds = randomisation
        self._seeds = EpisodeSeeds()
        self._draw(None)

    @property
    def source(self) -> DepthSource:
        """The source."""
        return self._source

    def _draw(self, seed: int | None) -> None:
        self._seed = self._seeds.next(seed)
        rng = np.random.default_rng(self._seed)
        self.drawn = Randomisation(
            rng.uniform(0, self._bounds.latency_ms),
            int(rng.integers(1, self._bounds.coarser + 1)),
            rng.uniform(0, self._bounds.noise),
        )
        """What this episode has."""
        self._latency_ns = round(self.drawn.latency_ms * 1e6)
        self._last: tuple[Estimate, Estimate] | None = None

    def reset(self, seed: int | None = None) -> None:
        """Forget everything and draw anew."""
        self._draw(seed)
        self._source.reset(self._seed)

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time."""
        self._source.offer(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """What the source had a latency earlier, made worse; an estimate is made worse once."""
        estimate = self._source.newest(now_ns - self._latency_ns)
        if estimate is None:
            return None
        if self._last is None or self._last[0] is not estimate:
            self._last = estimate, self._worse(estimate)
        return self._last[1]

    def _worse(self, estimate: Estimate) -> Estimate:
        depth = coarse(estimate.depth, self.drawn.coarser)
        if self.drawn.noise:
            rng = np.random.default_rng([self._seed, estimate.capture_ns])
            depth = depth * np.exp(_patches(rng, depth.shape, self.drawn.noise))
        return replace(
            estimate,
            depth=depth,
            available_ns=estimate.available_ns + self._latency_ns,
            refresh_landed_ns=estimate.refresh_landed_ns + self._latency_ns,
        )

    @property
    def counts(self) -> SourceCounts:
        """The source's counts."""
        return self._source.counts


def coarse(depth: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """The depth (H, W) with every pixel that of the middle of its square of ``factor`` x ``factor``."""
    if factor == 1:
        return depth
    rows, columns = (_middles(length, factor) for length in depth.shape)
    return depth[rows][:, columns]


@lru_cache(maxsize=16)
def _middles(length: int, factor: int) -> NDArray[np.intp]:
    return np.minimum(np.arange(length) // factor * factor + factor // 2, length - 1)


def _patches(rng: np.random.Generator, shape: tuple[int, int], deviation: float) -> NDArray[np.float32]:
    side = max(min(shape) // NOISE_PATCHES, 1)
    small = rng.normal(0.0, deviation, (-(-shape[0] // side), -(-shape[1] // side))).astype(np.float32)
    return small.repeat(side, 0).repeat(side, 1)[: shape[0], : shape[1]]
