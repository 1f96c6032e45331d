"""Pixel weights and the edges that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.mapping.weighting import (
    LEAST,
    NEAR_M,
    check_weighting,
    range_weights,
    trust_weights,
    without_edges,
)

CAMERA = Intrinsics(64, 48, 32.0, 32.0, 31.5, 23.5)


def test_far_pixels_count_less_and_none_nothing():
    depth = np.array([[0.0, 1.0, NEAR_M, 2 * NEAR_M, 100.0]], np.float32)
    np.testing.assert_allclose(range_weights(depth), [[0, 1, 1, 0.25, LEAST]], rtol=1e-5)


def test_trust_and_age_take_from_the_weight_and_no_memory_does_not():
    depth = np.ones((4, 6), np.float32)
    trust = np.array([[1.0, 0.5, 0.0]], np.float32)
    weights = trust_weights(depth, trust, 0.0)
    np.testing.assert_allclose(weights, np.broadcast_to([1, 1, 0.5, 0.5, 0, 0], (4, 6)))
    np.testing.assert_allclose(trust_weights(depth, trust, 1.0), weights / 4)
    np.testing.assert_array_equal(trust_weights(depth, None, 1.0), range_weights(depth))


def plane(normal, distance):
    """Depth of the plane at this distance from the camera, 0 where it is not in front."""
    v, u = np.mgrid[:48, :64]
    rays = np.stack([(u - 31.5) / 32, (v - 23.5) / 32, np.ones_like(u, float)], axis=-1)
    slope = rays @ np.asarray(normal, float)
    return np.where(slope > 1e-2, distance / np.maximum(slope, 1e-2), 0).astype(np.float32)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0.6, 0, 0.8), (0, 1, 0), (1, 0, 0)])
def test_planes_farther_than_the_least_stay_and_nearer_ones_go(normal):
    seen = plane(normal, 0.5)
    inner = seen > 0
    inner[1:] &= seen[:-1] > 0
    inner[:-1] &= seen[1:] > 0
    inner[:, 1:] &= seen[:, :-1] > 0
    inner[:, :-1] &= seen[:, 1:] > 0
    assert (without_edges(seen, CAMERA, 0.4)[inner] > 0).all()
    if normal != (0, 0, 1):
        gone = without_edges(plane(normal, 0.2), CAMERA, 0.4)
        assert (gone[inner] == 0).mean() > 0.9


def test_the_smeared_edge_of_something_near_goes_and_both_sides_stay():
    depth = np.full((48, 64), 4.0, np.float32)
    depth[:, :20] = 1.0
    depth[:, 20:24] = [1.6, 2.2, 2.8, 3.4]
    kept = without_edges(depth, CAMERA, 0.3)
    assert (kept[:, :19] == 1).all() and (kept[:, 26:] == 4).all()
    assert (kept[:, 20:22] == 0).all()


def test_without_a_least_distance_everything_stays():
    depth = np.random.default_rng(0).uniform(1, 5, (48, 64)).astype(np.float32)
    np.testing.assert_array_equal(without_edges(depth, CAMERA, 0.0), depth)


def test_an_unknown_weighting_is_named():
    with pytest.raises(ValueError, match="unknown weighting 'guess': choose one of uniform, range, trust"):
        check_weighting("guess")
