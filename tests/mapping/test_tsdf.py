"""TSDF maps against surfaces whose answer is known; bounds, weights, carving, files."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.mapping import MapConfig, MapFullError, TsdfMap
from asyncmde_sim.mapping.poses import check_rigid, find_jump
from asyncmde_sim.mapping.tsdf import BLOCK_BYTES

CAMERA = Intrinsics(112, 84, 56.0, 56.0, 55.5, 41.5)
FORWARD = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""At the origin of a z-up world, looking along x."""


def wall(distance_m: float) -> np.ndarray:
    return np.full((84, 112), distance_m, np.float32)


def at(x: float, yaw: float = 0.0) -> np.ndarray:
    turn = np.eye(4)
    turn[:2, :2] = [[math.cos(yaw), -math.sin(yaw)], [math.sin(yaw), math.cos(yaw)]]
    turn[0, 3] = x
    return turn @ FORWARD


def sphere_depth(pose: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    v, u = np.mgrid[:84, :112]
    rays = np.stack([(u - 55.5) / 56, (v - 41.5) / 56, np.ones_like(u, float)], axis=-1)
    middle = pose[:3, :3].T @ (centre - pose[:3, 3])
    a, b = (rays**2).sum(-1), rays @ middle
    root = b**2 - a * (middle @ middle - radius**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, 0).astype(np.float32)


def test_the_same_frames_give_the_same_mesh_in_the_same_order():
    meshes = []
    for _ in range(3):
        tsdf = TsdfMap(MapConfig(voxel_m=0.03))
        for x in (0.0, 0.1, 0.2):
            tsdf.fuse(sphere_depth(at(x), np.array([2.0, 0, 0]), 0.5), CAMERA, at(x))
        meshes.append(tsdf.mesh())
    for mesh in meshes[1:]:
        np.testing.assert_array_equal(mesh.vertices, meshes[0].vertices)
        np.testing.assert_array_equal(mesh.faces, meshes[0].faces)


def test_a_camera_in_whole_numbers_is_a_camera():
    whole = TsdfMap(MapConfig(voxel_m=0.06))
    whole.fuse(wall(2.0), Intrinsics(112, 84, 56, 56, 56, 42), FORWARD)
    exact = TsdfMap(MapConfig(voxel_m=0.06))
    exact.fuse(wall(2.0), Intrinsics(112, 84, 56.0, 56.0, 56.0, 42.0), FORWARD)
    np.testing.assert_array_equal(whole.voxels()[1], exact.voxels()[1])


def test_a_wall_lies_where_it_was_seen():
    tsdf = TsdfMap(MapConfig(voxel_m=0.05))
    for x in (0.0, 0.1, 0.2):
        tsdf.fuse(wall(2.0 - x), CAMERA, at(x))
    vertices = tsdf.mesh().vertices
    assert len(vertices) > 1000
    np.testing.assert_allclose(vertices[:, 0], 2.0, atol=1e-3)
    assert abs(vertices[:, 1].mean()) < 0.03 and abs(vertices[:, 2].mean()) < 0.03


def test_small_voxels_leave_no_gaps_in_a_wall_far_away():
    tsdf = TsdfMap(MapConfig(voxel_m=0.02))
    for _ in range(2):
        tsdf.fuse(wall(4.5), CAMERA, at(0.0))
    seen_m2 = 4.5**2 * (CAMERA.width / CAMERA.fx) * (CAMERA.height / CAMERA.fy)
    assert tsdf.mesh().area == pytest.approx(seen_m2, rel=0.03)


def test_a_sphere_seen_from_around_is_that_sphere_without_a_bias():
    tsdf = TsdfMap(MapConfig(voxel_m=0.03, truncation_voxels=3))
    centre = np.array([2.0, 0.0, 0.0])
    for yaw in np.arange(12) * math.pi / 6:
        eye = np.eye(4)
        eye[:3, :3] = at(0.0, yaw)[:3, :3]
        eye[:3, 3] = centre - 1.5 * eye[:3, 2]
        tsdf.fuse(sphere_depth(eye, centre, 0.5), CAMERA, eye)
    error = np.linalg.norm(tsdf.mesh().vertices - centre, axis=1) - 0.5
    assert abs(np.median(error)) < 0.003
    assert np.percentile(np.abs(error), 90) < 0.015


def test_half_the_weight_twice_is_the_weight_once():
    once, twice = TsdfMap(), TsdfMap()
    for depth in (2.0, 2.05):
        once.fuse(wall(depth), CAMERA, at(0.0))
        for _ in range(2):
            twice.fuse(wall(depth), CAMERA, at(0.0), weights=np.full((84, 112), 0.5, np.float32))
    for one, other in zip(once.voxels(), twice.voxels(), strict=True):
        order = [np.lexsort(m.voxels()[0].T) for m in (once, twice)]
        np.testing.assert_allclose(one[order[0]], other[order[1]], atol=1e-5)


@pytest.mark.parametrize("level", [1.0, 0.25])
def test_what_is_far_in_another_part_of_a_depth_map_changes_nothing_near(level):
    near = np.zeros((84, 112), np.float32)
    near[:, :40] = 1.2
    far = near.copy()
    far[:, 80:] = 4.5
    alone, beside = (TsdfMap(MapConfig(edge_m=0.0)) for _ in range(2))
    for tsdf, depth in ((alone, near), (beside, far)):
        tsdf.fuse(depth, CAMERA, at(0.0), weights=np.full((84, 112), level, np.float32))
    for one, other in zip(alone.voxels(), beside.part(alone.voxels()[0]).voxels(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pixels_that_are_not_trusted_move_the_wall_less():
    weights = np.full((84, 112), 0.125, np.float32)
    trusting, doubting = TsdfMap(), TsdfMap()
    for tsdf, second in ((trusting, None), (doubting, weights)):
        for _ in range(2):
            tsdf.fuse(wall(2.0), CAMERA, at(0.0))
        tsdf.fuse(wall(2.1), CAMERA, at(0.0), weights=second)
    wall_x = [np.median(m.mesh().vertices[:, 0]) for m in (trusting, doubting)]
    assert 2.0 <= wall_x[1] < 2.01 < 2.02 < wall_x[0] < 2.06


def test_a_weight_below_the_least_level_is_left_out():
    tsdf = TsdfMap()
    tsdf.fuse(wall(2.0), CAMERA, at(0.0), weights=np.full((84, 112), 0.1, np.float32))
    assert tsdf.blocks == 0 and len(tsdf.mesh().faces) == 0


def test_what_moved_away_is_carved_out_and_what_is_hidden_stays():
    tsdf = TsdfMap(MapConfig(max_weight=8))
    for _ in range(20):
        tsdf.fuse(wall(1.5), CAMERA, at(0.0))
    for _ in range(20):
        tsdf.fuse(wall(3.0), CAMERA, at(0.0))
    x = tsdf.mesh().vertices[:, 0]
    assert (np.abs(x - 3.0) < 0.05).mean() > 0.9
    for _ in range(20):
        tsdf.fuse(wall(1.5), CAMERA, at(0.0))
    x = tsdf.mesh().vertices[:, 0]
    assert (np.abs(x - 1.5) < 0.05).any() and (np.abs(x - 3.0) < 0.05).any()


def test_memory_grows_with_the_surface_not_with_the_frames():
    tsdf = TsdfMap()
    tsdf.fuse(wall(2.0), CAMERA, at(0.0))
    first = tsdf.blocks
    for _ in range(30):
        tsdf.fuse(wall(2.0), CAMERA, at(0.0))
    assert tsdf.blocks == first
    tsdf.fuse(wall(2.0), CAMERA, at(0.0, yaw=math.pi))
    assert tsdf.blocks > 1.5 * first


def test_the_table_grows_without_losing_anything():
    small, large = TsdfMap(MapConfig(voxel_m=0.02)), TsdfMap(MapConfig(voxel_m=0.02))
    large._grid.hashmap().reserve(30000)
    for yaw in np.arange(8) * math.pi / 4:
        for tsdf in (small, large):
            tsdf.fuse(wall(2.0), CAMERA, at(0.0, yaw))
    assert small.blocks == large.blocks > 1024, "more than it had room for at first"
    assert len(small.mesh().faces) == len(large.mesh().faces)


def test_a_full_map_refuses_and_stays_as_it_was():
    tsdf = TsdfMap(MapConfig(memory_mb=300 * BLOCK_BYTES / 1e6))
    tsdf.fuse(wall(1.0), CAMERA, at(0.0))
    before, mesh = tsdf.blocks, tsdf.mesh()
    with pytest.raises(MapFullError, match=r"needs \d+ MB after 1 frames, but may take .* use larger voxels"):
        tsdf.fuse(wall(4.0), CAMERA, at(0.0))
    assert tsdf.blocks == before
    np.testing.assert_array_equal(tsdf.mesh().vertices, mesh.vertices)


def test_a_map_comes_back_from_its_file(tmp_path):
    tsdf = TsdfMap(MapConfig(voxel_m=0.05, max_weight=32))
    image = np.full((84, 112, 3), (200, 100, 50), np.uint8)
    for x in (0.0, 0.2):
        tsdf.fuse(wall(2.0), CAMERA, at(x), image=image)
    path = tmp_path / "map.npz"
    tsdf.save(path)
    loaded = TsdfMap.load(path)
    assert loaded.config == tsdf.config and loaded.frames == 2
    a, b = tsdf.mesh(), loaded.mesh()
    assert sorted(map(tuple, a.vertices.round(5))) == sorted(map(tuple, b.vertices.round(5)))
    np.testing.assert_allclose(np.asarray(b.visual.vertex_colors)[:, :3].mean(axis=0), (200, 100, 50), atol=1)
    loaded.fuse(wall(2.0), CAMERA, at(0.4))
    assert loaded.frames == 3


@pytest.mark.parametrize("content", [b"", b"not a map", b"PK\x03\x04broken"])
def test_a_file_that_is_no_map_is_refused(tmp_path, content):
    path = tmp_path / "map.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a map"):
        TsdfMap.load(path)
    with pytest.raises(FileNotFoundError):
        TsdfMap.load(tmp_path / "none.npz")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_bad_depth_is_refused(bad):
    depth = wall(2.0)
    depth[3, 4] = bad
    with pytest.raises(ValueError, match="1 pixels of the depth map are negative or not a number"):
        TsdfMap().fuse(depth, CAMERA, at(0.0))
    with pytest.raises(ValueError, match="the depth map is 10 x 10 px"):
        TsdfMap().fuse(np.ones((10, 10), np.float32), CAMERA, at(0.0))


@pytest.mark.parametrize(
    "pose",
    [np.diag([2.0, 2, 2, 1]), np.diag([1.0, 1, -1, 1]), np.full((4, 4), np.nan), np.eye(3)],
    ids=["scaled", "mirrored", "nan", "3x3"],
)
def test_poses_that_are_not_rigid_are_refused(pose):
    with pytest.raises(ValueError, match=r"not rigid|finite 4x4"):
        check_rigid(pose)
    with pytest.raises(ValueError, match=r"not rigid|finite 4x4"):
        TsdfMap().fuse(wall(2.0), CAMERA, pose)


def test_a_jump_is_named():
    assert find_jump(at(0.0), at(0.1), 0.1, 5.0, 10.0) is None
    assert "faster than 5 m/s" in find_jump(at(0.0), at(1.0), 0.1, 5.0, 10.0)
    assert "faster than 10 rad/s" in find_jump(at(0.0), at(0.0, 1.5), 0.1, 5.0, 10.0)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"voxel_m": 0.0}, "voxel_m is 0.0"),
        ({"max_range_m": math.inf}, "max_range_m is inf"),
        ({"truncation_voxels": 0.5}, "truncation_voxels is 0.5"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_a_config_checks_itself(option, message):
    with pytest.raises(ValueError, match=message):
        MapConfig(**option)
