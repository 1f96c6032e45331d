"""Surface distances against shapes whose answer is known, and clearance at places that are known."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from asyncmde_sim.metrics.mesh import clearance_scores, distances_to, surface_scores, thinned


def box_surface(side: float, seed: int) -> np.ndarray:
    """Points on a box with a corner at the origin."""
    box = trimesh.creation.box((side, side, side))
    box.apply_translation(np.full(3, side / 2))
    return np.asarray(trimesh.sample.sample_surface(box, 200_000, seed=seed)[0])


def test_a_unit_box_against_one_of_1_1_has_the_figures_of_open3d():
    """Open3D, TriangleMesh.compute_metrics: Chamfer 0.1, Hausdorff 0.17, F 50 %."""
    scores = surface_scores(box_surface(1.0, 0), box_surface(1.1, 1))
    assert scores.chamfer_m == pytest.approx(0.1, rel=0.05)
    assert scores.hausdorff_m == pytest.approx(0.17, rel=0.05)
    assert scores.f_score(0.05) == pytest.approx(0.5, rel=0.05)


def test_a_surface_is_itself_and_roles_mirror():
    a, b = thinned(box_surface(1.0, 0)), thinned(box_surface(1.1, 0))
    same = surface_scores(a, a)
    assert same.chamfer_m == same.hausdorff_m == 0 and same.f_score(0.05) == 1
    one, other = surface_scores(a, b), surface_scores(b, a)
    assert one.accuracy_m == other.completeness_m and one.recall == other.precision
    assert one.f_score(0.05) == other.f_score(0.05)


def test_an_empty_set_has_no_distances_and_scores_0():
    a = box_surface(1.0, 0)[:100]
    for pair in ((a, np.zeros((0, 3))), (np.zeros((0, 3)), a)):
        scores = surface_scores(*pair)
        assert scores.chamfer_m is None and scores.accuracy_m is None
        assert scores.f_score(0.05) == 0
    assert np.isinf(distances_to(np.zeros((0, 3)), a)).all()
    assert thinned(np.zeros((0, 3))).shape == (0, 3)


def test_half_a_surface_has_all_the_precision_and_half_the_recall():
    a = thinned(box_surface(1.0, 0))
    scores = surface_scores(a[a[:, 0] < 0.5], a)
    assert scores.precision[0.05] == 1
    assert scores.recall[0.05] == pytest.approx(0.5, abs=0.1)


def test_thinning_keeps_the_shape_and_not_the_density():
    dense = np.concatenate([box_surface(1.0, 0), box_surface(1.0, 1)[:50_000]])
    thin = thinned(dense)
    assert len(thin) < len(dense) / 10
    assert distances_to(dense, thin).max() < 0.02
    assert len(thinned(np.concatenate([thin, thin]))) == len(thinned(thin))


def test_missed_obstacles_and_phantoms():
    true = np.array([0.1, 0.1, 0.4, 0.4, 2.0])
    mapped = np.array([0.1, 1.0, 0.1, 0.4, 2.0])
    scores = clearance_scores(true, mapped, radius_m=0.18)
    assert scores.missed == 0.5
    assert scores.phantom == pytest.approx(1 / 3)
    assert scores.error_m == pytest.approx((0 + 0.4 + 0.3 + 0) / 4)
    perfect = clearance_scores(true, true, radius_m=0.18)
    assert (perfect.missed, perfect.phantom, perfect.error_m) == (0, 0, 0)
    blind = clearance_scores(true, np.full(5, np.inf), radius_m=0.18)
    assert blind.missed == 1 and blind.phantom == 0
    nothing = clearance_scores(true[4:], mapped[4:], radius_m=0.18)
    assert nothing.missed is None and nothing.error_m is None
