"""Sources taken apart: an estimate's error without its delay, and its delay without its error."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.latency import LatencyDistribution, LatencyProfile
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, SourceCounts

WHOLE, ERROR_ONLY, DELAY_ONLY = TREATMENTS = ("whole", "error only", "delay only")


def at_once(profile: LatencyProfile, slow: bool) -> LatencyProfile:
    """The profile with a fast path that takes no time, and a slow path that takes none if ``slow``."""
    none = LatencyDistribution((0,))
    fast = replace(profile, fast=none, fast_contended=none)
    return replace(fast, slow=none, slow_contended=none) if slow else fast


class TruthSource:
    """Estimates when another source has them, with the true depth of the frames that they describe.

    Args:
        source: The other source; its depth is not looked at.
    """

    def __init__(self, source: DepthSource) -> None:
        self._source = source
        self._truths: deque[tuple[int, NDArray[np.float32]]] = deque()

    def reset(self, seed: int | None = None) -> None:
        """Forget everything."""
        self._source.reset(seed)
        self._truths.clear()

    def offer(self, frame: Frame) -> None:
        """Take a frame with its true depth.

        Raises:
            ValueError: It has none.
        """
        if frame.true_depth is None:
            raise ValueError(
                "the treatment 'delay only' needs the true depth of each frame, but the environment gives no "
                "info['true_depth']: leave it out"
            )
        self._truths.append((frame.time_ns, frame.true_depth))
        self._source.offer(frame)

    def newest(self, now_ns: int) -> Estimate | None:
        """The other source's newest estimate, with true depth."""
        estimate = self._source.newest(now_ns)
        if estimate is None:
            return None
        while self._truths[0][0] < estimate.capture_ns:
            self._truths.popleft()
        return replace(estimate, depth=self._truths[0][1], trust=None)

    @property
    def counts(self) -> SourceCounts:
        """The other source's counts."""
        return self._source.counts
