"""Intervals: Wilson for rates, the paired bootstrap for comparisons by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_Z_95 = 1.959963984540054


def wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """The 95 % score interval of a rate (Wilson 1927).

    Raises:
        ValueError: No episodes, or successes outside [0, episodes].
    """
    if episodes < 1:
        raise ValueError(f"the number of episodes is {episodes}, but a rate needs at least 1")
    if not 0 <= successes <= episodes:
        raise ValueError(f"{successes} successes of {episodes} episodes: give between 0 and {episodes}")
    p, z2 = successes / episodes, _Z_95**2 / episodes
    centre = p + z2 / 2
    half = _Z_95 * math.sqrt(p * (1 - p) / episodes + z2 / (4 * episodes))
    low = 0.0 if successes == 0 else (centre - half) / (1 + z2)
    high = 1.0 if successes == episodes else (centre + half) / (1 + z2)
    return low, high


@dataclass(frozen=True)
class PairedDifference:
    """Mean of ``a - b`` over pairs and its 95 % interval."""

    mean: float
    low: float
    high: float
    pairs: int


def paired_bootstrap(a: ArrayLike, b: ArrayLike, seed: int = 0, resamples: int = 10_000) -> PairedDifference:
    """The mean difference of two conditions that ran the same seeds, with a percentile bootstrap interval.

    Args:
        a: Results (N,) of one condition.
        b: Results (N,) of the other, in the same order of seeds.
        seed: Draws the resamples.
        resamples: How many.

    Raises:
        ValueError: Shapes differ, nothing to compare, or a result that is not finite.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise ValueError(
            f"results of shapes {first.shape} and {second.shape} cannot be paired: "
            "give one number per seed for each"
        )
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}, but at least 1 is needed")
    difference = first - second
    if not np.isfinite(difference).all():
        raise ValueError("a result is not finite: leave that seed out of both conditions")
    rng = np.random.default_rng(seed)
    pairs = len(difference)
    rows = [len(part) for part in np.array_split(np.arange(resamples), 1 + resamples * pairs // 2**20)]
    means = np.concatenate([difference[rng.integers(pairs, size=(row, pairs))].mean(axis=1) for row in rows])
    low, high = np.quantile(means, [0.025, 0.975])
    return PairedDifference(float(difference.mean()), float(low), float(high), len(difference))
