import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.metrics.temporal import temporal_alignment_error

CAMERA = np.array([[60.0, 0, 39.5], [0, 60.0, 29.5], [0, 0, 1]])
SHAPE = (60, 80)


def wall(pose: np.ndarray, distance_m: float = 4.0) -> np.ndarray:
    """Depth of the plane z = ``distance_m`` of the world."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(CAMERA).T
    toward = rays @ pose[:3, :3].T
    return ((distance_m - pose[2, 3]) / toward[..., 2]).astype(np.float32)


def moved(angles, position) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("YX", angles).as_matrix()
    pose[:3, 3] = position
    return pose


POSES = (moved([0, 0], [0, 0, 0]), moved([0.12, -0.05], [0.2, 0.1, 0.4]))
TRUTHS = (wall(POSES[0]), wall(POSES[1]))


def error(estimates, truths=TRUTHS, poses=POSES):
    return temporal_alignment_error(estimates, truths, poses, CAMERA, 20.0)


def test_the_truth_agrees_with_itself_only_under_the_true_poses():
    assert error(TRUTHS) < 0.005  # pixels are rounded
    shifted = (POSES[0], moved([0.12, -0.05], [0.2, 0.1, 0.3]))
    assert error(TRUTHS, poses=shifted) > 0.02


def test_a_scale_that_jumps_is_seen_and_one_that_stays_is_nearly_not():
    steady = error((1.1 * TRUTHS[0], 1.1 * TRUTHS[1]))
    jump = error((TRUTHS[0], 1.1 * TRUTHS[1]))
    assert jump == pytest.approx((1 - 1 / 1.1 + 0.1) / 2, abs=0.01)
    assert steady < 0.02 < jump


def test_it_does_not_matter_which_frame_comes_first():
    estimates = (TRUTHS[0], 1.2 * TRUTHS[1])
    backwards = error(estimates[::-1], TRUTHS[::-1], POSES[::-1])
    assert error(estimates) == pytest.approx(backwards)


def test_what_is_hidden_or_has_moved_does_not_count():
    box = TRUTHS[1].copy()
    box[20:40, 20:50] = 1.5  # something has come into the second view
    wrong = TRUTHS[1].copy()
    wrong[20:40, 20:50] = 9.0  # the estimate of it would be far off
    with_box = error((TRUTHS[0], wrong), (TRUTHS[0], box))
    assert with_box < 0.01 < error((TRUTHS[0], wrong))


def test_views_that_share_nothing_have_no_error():
    away = moved([np.pi, 0], [0, 0, 0])
    assert error((TRUTHS[0], TRUTHS[0]), (TRUTHS[0], TRUTHS[0]), (POSES[0], away)) is None
    nothing = np.zeros(SHAPE, np.float32)
    assert error((nothing, nothing)) is None
