"""Accuracy of the depth networks by lag: how the memory ages between two refreshes.

A clip of N frames is one refresh cycle: the slow path fills the memory from the first frame, and the fast
path runs on every frame, so frame ``i`` is seen at lag ``i``. All scores are metric (no alignment).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.metrics.depth import DepthScores, score_frame
from asyncmde_sim.runtime.engines import Engines
from asyncmde_sim.training.clips import Clips

SOURCES = ("foundation", "fast", "async")


@dataclass(frozen=True)
class LagScores:
    """Mean ``abs_rel`` and ``delta1`` of each source at each lag, arrays (lags,), over ``clips`` clips."""

    clips: int
    abs_rel: dict[str, NDArray[np.float64]]
    delta1: dict[str, NDArray[np.float64]]

    def summary(self) -> dict[str, object]:
        """The cycle averages, the values by lag, and the recovery of the delta1 gap, for JSON.

        Recovery is (async - fast) / (foundation - fast), None where foundation is not above fast.
        """
        mean = {source: float(self.delta1[source].mean()) for source in SOURCES}
        gap = mean["foundation"] - mean["fast"]
        return {
            "clips": self.clips,
            "frames": self.clips * len(self.delta1["async"]),
            "delta1": mean,
            "abs_rel": {source: float(self.abs_rel[source].mean()) for source in SOURCES},
            "recovery": (mean["async"] - mean["fast"]) / gap if gap > 0 else None,
            "delta1_by_lag": {source: self.delta1[source].round(4).tolist() for source in SOURCES},
            "abs_rel_by_lag": {source: self.abs_rel[source].round(4).tolist() for source in SOURCES},
        }


def score_by_lag(clips: Iterable[Clips], engines: Engines, max_range_m: float) -> LagScores:
    """Score the slow path, the fast path without memory and the asynchronous system on clips of one length.

    Raises:
        ValueError: There are no clips.
    """
    rows: list[list[dict[str, DepthScores]]] = []
    for shard in clips:
        for images, depth in zip(shard.images, shard.depth, strict=True):
            rows.append(_score_clip(images, depth.astype(np.float32), engines, max_range_m))
    if not rows:
        raise ValueError("there are no clips to score: render some first")

    def mean(name: str) -> dict[str, NDArray[np.float64]]:
        return {
            source: np.array([[getattr(frame[source], name) for frame in row] for row in rows]).mean(axis=0)
            for source in SOURCES
        }

    return LagScores(len(rows), mean("abs_rel"), mean("delta1"))


def _score_clip(
    images: NDArray[np.uint8], depth: NDArray[np.float32], engines: Engines, max_range_m: float
) -> list[dict[str, DepthScores]]:
    state = engines.fast.refreshed(None, engines.slow.memory(images[0]))
    scores = []
    for image, truth in zip(images, depth, strict=True):
        fused, state, _ = engines.fast.run(image, state)
        estimates = {"foundation": engines.slow.run(image), "fast": engines.single.run(image), "async": fused}
        scored = {source: score_frame(e, truth, max_range_m) for source, e in estimates.items()}
        scores.append({source: s for source, s in scored.items() if s is not None})
    return scores
