"""Carried depth is what the scene is from the new place."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.runtime.reprojection import COVERED, combine, reproject
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(width=64, height=48).pinhole


def wall(pose, distance=3.0):
    """True depth of the plane z = ``distance``, in a camera at a pose 4x4 ``T_world_camera``."""
    rows, columns = np.mgrid[0:48, 0:64]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(CAMERA.matrix).T
    reach = (rays @ pose[:3, :3].T)[..., 2]
    return ((distance - pose[2, 3]) / reach).astype(np.float32)


def pose(angles=(0, 0, 0), position=(0, 0, 0)):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("yxz", angles).as_matrix()
    matrix[:3, 3] = position
    return matrix


@pytest.mark.parametrize(
    ("angles", "position"),
    [((0.2, 0, 0), (0, 0, 0)), ((0, 0.1, 0.2), (0.3, 0, 0.4)), ((-0.1, 0, 0), (0, 0.2, -0.5))],
)
def test_a_wall_stays_the_wall(angles, position):
    first, second = pose(), pose(angles, position)
    carried = reproject(wall(first), np.linalg.inv(second) @ first, CAMERA)
    there = carried > 0
    assert there.mean() > 0.6
    error = np.abs(carried / wall(second) - 1)[there]
    assert np.median(error) < 0.01 and error.max() < 0.06
    wrong = reproject(wall(first), np.linalg.inv(first) @ second, CAMERA)
    assert np.median(np.abs(wrong / wall(second) - 1)[wrong > 0]) > 0.03


def test_from_the_same_place_nothing_changes():
    depth = np.random.default_rng(0).uniform(1, 9, (48, 64)).astype(np.float32)
    depth[3, 5] = 0
    np.testing.assert_allclose(reproject(depth, np.eye(4), CAMERA), depth, rtol=1e-6)


def test_a_nearer_view_has_no_gaps_and_the_nearest_surface_wins():
    depth = wall(pose())
    depth[18:30, 26:38] = 1.0
    closer = pose(position=(0, 0, 0.25))
    carried = reproject(depth, np.linalg.inv(closer), CAMERA)
    assert (carried[4:-4, 4:-4] > 0).all()
    np.testing.assert_allclose(carried[25, 30], 0.75, rtol=1e-6)
    assert ((carried < 0.76) & (carried > 0)).sum() > 100


def test_what_is_behind_the_camera_is_not_seen():
    beyond = pose(position=(0, 0, 3.5))
    assert not reproject(wall(pose()), np.linalg.inv(beyond), CAMERA).any()


def test_combining_averages_log_depth_where_there_is_something_to_average():
    estimate = np.array([2.0, 2.0, 2.0, 0.0], np.float32)
    carried = np.array([0.0, 0.5, 2.0 * COVERED + 0.01, 3.0], np.float32)
    np.testing.assert_allclose(combine(estimate, carried), [2.0, 1.0, 2.0, 0.0])
