"""Intervals against known values and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.metrics.statistics import paired_bootstrap, wilson_interval


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_values(successes, episodes, low, high):
    assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_symmetric_and_holds_the_rate():
    for episodes in (1, 3, 10, 100):
        for successes in range(episodes + 1):
            low, high = wilson_interval(successes, episodes)
            mirrored = wilson_interval(episodes - successes, episodes)
            assert 0 <= low <= successes / episodes <= high <= 1
            assert (1 - high, 1 - low) == pytest.approx(mirrored)


def test_wilson_covers_95_percent():
    rng = np.random.default_rng(0)
    inside = [
        low <= 0.8 <= high for low, high in (wilson_interval(int(k), 60) for k in rng.binomial(60, 0.8, 4000))
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("successes", "episodes"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_rate(successes, episodes):
    with pytest.raises(ValueError, match="episodes"):
        wilson_interval(successes, episodes)


def test_the_bootstrap_pairs_by_seed():
    rng = np.random.default_rng(0)
    seeds = rng.normal(0, 10, 80)
    a, b = seeds + rng.normal(1.0, 0.5, 80), seeds
    paired = paired_bootstrap(a, b)
    assert paired.mean == pytest.approx(np.mean(a - b))
    assert paired.low < paired.mean < paired.high
    assert paired.low > 0
    shuffled = paired_bootstrap(a, rng.permutation(b))
    assert shuffled.high - shuffled.low > 10 * (paired.high - paired.low)


def test_the_bootstrap_is_close_to_the_normal_interval_and_antisymmetric():
    difference = np.random.default_rng(1).normal(0.3, 1.0, 200)
    zero = np.zeros(200)
    found = paired_bootstrap(difference, zero, resamples=4000)
    half = 1.96 * difference.std() / np.sqrt(200)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.02)
    back = paired_bootstrap(zero, difference, resamples=4000)
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_the_bootstrap_repeats_with_its_seed():
    a, b = np.random.default_rng(2).random((2, 30))
    assert paired_bootstrap(a, b, seed=1, resamples=200) == paired_bootstrap(a, b, seed=1, resamples=200)
    assert paired_bootstrap(a, b, seed=1, resamples=200) != paired_bootstrap(a, b, seed=2, resamples=200)


def test_the_bootstrap_refuses_what_cannot_be_paired():
    for a, b in (([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_bootstrap(a, b)
    with pytest.raises(ValueError, match="not finite"):
        paired_bootstrap([np.nan], [1.0])
    with pytest.raises(ValueError, match="resamples is 0"):
        paired_bootstrap([1.0], [1.0], resamples=0)
