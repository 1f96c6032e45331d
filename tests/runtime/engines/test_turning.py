"""Turning maps without torch is turning them with torch."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines.turning import TurnedGrid

CAMERA = Intrinsics(224, 168, 112.0, 112.0, 111.5, 83.5)


@pytest.mark.parametrize("size", [(42, 56), (6, 7), (16, 24)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (3, -7, 12), (0, 60, 0), (0, 170, 0)])
def test_maps_turn_as_with_torch(size, degrees):
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(1, c, *size)).astype(np.float32) for c in (5, 2))
    rotation = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    grid, turn = TurnedGrid(rotation, CAMERA, size), Turn(torch.from_numpy(rotation)[None], CAMERA)
    for ours, original in zip(grid(a, b), (a, b), strict=True):
        theirs = turn(torch.from_numpy(original)).numpy()
        if degrees != (0, 170, 0):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_array_equal(grid.seen, turn.seen(torch.from_numpy(a)).numpy())
    assert (grid.seen.sum() == a[0, 0].size) == (degrees == (0, 0, 0))
