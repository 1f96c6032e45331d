"""A mesh kept up to date equals the mesh made at once."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.mapping import LiveMesh, MapConfig, TsdfMap

CAMERA = Intrinsics(112, 84, 56.0, 56.0, 55.5, 41.5)
FORWARD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def at(x: float, y: float) -> np.ndarray:
    pose = FORWARD.copy()
    pose[:2, 3] = x, y
    return pose


def triangles(mesh):
    """Corners of all triangles, sorted: no two meshes of the same triangles differ."""
    corners = np.asarray(mesh.vertices)[mesh.faces].reshape(-1, 9).round(5)
    return corners[np.lexsort(corners.T)]


def bumpy(rng):
    """A wall with a step and some noise."""
    depth = np.full((84, 112), 2.0, np.float32) + rng.normal(0, 0.01, (84, 112)).astype(np.float32)
    depth[:, 60:] += 0.4
    return depth


def test_a_live_mesh_equals_the_whole_one_at_every_update():
    rng = np.random.default_rng(0)
    tsdf = TsdfMap(MapConfig(voxel_m=0.06))
    tsdf.fuse(bumpy(rng), CAMERA, at(0, 0))
    live = LiveMesh(tsdf)
    for y in (0.0, 0.5, 0.5, -1.0):
        tsdf.fuse(bumpy(rng), CAMERA, at(0, y))
        live.update()
        np.testing.assert_allclose(triangles(live.mesh()), triangles(tsdf.mesh()), atol=2e-5)


def test_only_what_may_have_changed_is_made_again():
    rng = np.random.default_rng(1)
    tsdf = TsdfMap(MapConfig(voxel_m=0.06))
    live = LiveMesh(tsdf)
    for _ in range(2):
        tsdf.fuse(bumpy(rng), CAMERA, at(0, 0))
    first = live.update()
    assert live.update() == {}
    for _ in range(2):
        tsdf.fuse(bumpy(rng), CAMERA, at(50.0, 0))
    second = live.update()
    assert first and second and not first.keys() & second.keys()
    assert len(live.mesh().faces) == sum(len(m.faces) for m in (*first.values(), *second.values()))


def test_what_is_carved_away_is_taken_back():
    tsdf = TsdfMap(MapConfig(voxel_m=0.06, max_weight=2))
    live = LiveMesh(tsdf)
    near, far = np.full((84, 112), 1.0, np.float32), np.full((84, 112), 3.0, np.float32)
    for _ in range(2):
        tsdf.fuse(near, CAMERA, at(0, 0))
    assert live.update()
    for _ in range(20):
        tsdf.fuse(far, CAMERA, at(0, 0))
    live.update()
    middle = np.asarray(live.mesh().vertices)
    assert middle[:, 0].min() > 2.5


@pytest.mark.parametrize("blocks", [np.zeros((0, 3), np.int32), np.array([[900, 900, 900]], np.int32)])
def test_a_part_without_blocks_is_empty(blocks):
    tsdf = TsdfMap(MapConfig(voxel_m=0.06))
    tsdf.fuse(np.full((84, 112), 1.0, np.float32), CAMERA, at(0, 0))
    assert len(tsdf.part(blocks).mesh().faces) == 0
