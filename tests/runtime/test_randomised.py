"""Domain randomisation of a depth source."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.randomised import Randomisation, RandomisedSource, coarse
from asyncmde_sim.runtime.sources import DelayedSource
from asyncmde_sim.runtime.types import Frame

STEP_NS = 10_000_000


def frames(count):
    rng = np.random.default_rng(0)
    image = np.zeros((48, 64, 3), np.uint8)
    return [Frame(image, i * STEP_NS, rng.uniform(1, 9, (48, 64)).astype(np.float32)) for i in range(count)]


def estimates(source, count=12, seed=3):
    source.reset(seed)
    told = []
    for frame in frames(count):
        source.offer(frame)
        told.append(source.newest(frame.time_ns))
    return told


def test_latency_alone_is_a_delay_drawn_for_each_episode():
    source = RandomisedSource(make_source("oracle"), Randomisation(latency_ms=50))
    told = estimates(source)
    drawn = source.drawn.latency_ms
    assert 0 < drawn < 50
    delayed = estimates(DelayedSource(make_source("oracle"), round(drawn * 1e6)))
    for a, b in zip(told, delayed, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.depth == b.depth).all()
            assert (a.capture_ns, a.available_ns) == (b.capture_ns, b.available_ns)
    estimates(source, seed=4)
    assert source.drawn.latency_ms != drawn
    estimates(source, seed=3)
    assert source.drawn.latency_ms == drawn


def test_the_same_seed_gives_the_same_depth_and_each_estimate_is_spoilt_once():
    bounds = Randomisation(coarser=4, noise=0.3)
    first, second = (estimates(RandomisedSource(make_source("oracle"), bounds)) for _ in range(2))
    assert all((a.depth == b.depth).all() for a, b in zip(first, second, strict=True))
    true = estimates(make_source("oracle"))
    assert not (first[-1].depth == true[-1].depth).any()
    source = RandomisedSource(make_source("oracle"), bounds)
    last = estimates(source)[-1]
    assert source.newest(11 * STEP_NS) is last


def test_noise_has_the_drawn_deviation_within_patches():
    source = RandomisedSource(make_source("oracle"), Randomisation(noise=0.4))
    told, true = estimates(source, 200), estimates(make_source("oracle"), 200)
    errors = np.array([np.log(a.depth / b.depth) for a, b in zip(told, true, strict=True)])
    assert errors[:, ::8, ::8].std() == pytest.approx(source.drawn.noise, rel=0.05)
    assert np.ptp(errors[:, :8, :8], axis=(1, 2)).max() < 1e-5


def test_coarse_depth_is_constant_in_squares():
    depth = np.arange(48 * 64, dtype=np.float32).reshape(48, 64)
    assert coarse(depth, 1) is depth
    squares = coarse(depth, 4).reshape(12, 4, 16, 4)
    assert (np.ptp(squares, axis=(1, 3)) == 0).all()
    assert squares[3, 0, 5, 0] == depth[3 * 4 + 2, 5 * 4 + 2]


@pytest.mark.parametrize("options", [{"latency_ms": -1}, {"noise": float("nan")}, {"coarser": 0}])
def test_bounds_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        Randomisation(**options)
