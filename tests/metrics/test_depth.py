"""Identities of the depth scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asyncmde_sim.metrics.depth import (
    DepthScores,
    obstacle_error,
    scale_error,
    score_frame,
    score_frames,
    score_sequence,
)

RANGE_M = 10.0


@pytest.fixture
def truth():
    return np.random.default_rng(0).uniform(0.5, 8.0, (12, 16)).astype(np.float32)


@pytest.fixture
def estimate(truth):
    return (truth * np.random.default_rng(1).uniform(0.7, 1.5, truth.shape)).astype(np.float32)


def close(a: DepthScores, b: DepthScores) -> bool:
    return np.allclose([a.abs_rel, a.rmse, a.delta1], [b.abs_rel, b.rmse, b.delta1], atol=1e-6)


@pytest.mark.parametrize("alignment", ["none", "frame", "sequence"])
def test_perfect_depth_has_no_error(alignment, truth):
    scores = score_sequence([truth, truth[::-1]], [truth, truth[::-1]], RANGE_M, alignment)
    assert close(scores, DepthScores(0.0, 0.0, 1.0))


def test_scores_against_the_definitions_written_out(truth, estimate):
    absolute = [abs(float(e) - float(t)) for e, t in zip(estimate.flat, truth.flat, strict=True)]
    relative = [a / float(t) for a, t in zip(absolute, truth.flat, strict=True)]
    right = [max(e / t, t / e) < 1.25 for e, t in zip(estimate.flat, truth.flat, strict=True)]
    wanted = DepthScores(np.mean(relative), np.mean(np.square(absolute)) ** 0.5, np.mean(right))
    assert close(score_frame(estimate, truth, RANGE_M * 2), wanted)


@pytest.mark.parametrize(
    ("factor", "delta1"), [(1.1, 1.0), (1.24, 1.0), (1.26, 0.0), (0.81, 1.0), (0.79, 0.0)]
)
def test_a_constant_factor_shows_in_metric_depth(factor, delta1, truth):
    scores = score_frame(truth * factor, truth, 100.0)
    assert scores.abs_rel == pytest.approx(abs(factor - 1), rel=1e-5)
    assert scores.delta1 == delta1


@pytest.mark.parametrize("alignment", ["frame", "sequence"])
def test_alignment_ignores_scale_and_shift_of_inverse_depth(alignment, truth, estimate):
    reference = score_sequence([estimate], [truth], RANGE_M, alignment)
    moved = (1 / (3.7 / estimate.astype(np.float64) + 0.2)).astype(np.float32)
    assert close(score_sequence([moved], [truth], RANGE_M, alignment), reference)
    assert not close(score_frame(moved, truth, RANGE_M), score_frame(estimate, truth, RANGE_M))


def test_alignment_per_frame_hides_drift_of_scale_and_per_sequence_shows_it(truth):
    estimates, truths = [truth, truth * 2], [truth, truth]
    per_frame = score_sequence(estimates, truths, RANGE_M, "frame")
    per_sequence = score_sequence(estimates, truths, RANGE_M, "sequence")
    assert per_frame.abs_rel < 1e-6
    assert per_sequence.abs_rel > 0.1


def test_one_frame_is_its_own_sequence(truth, estimate):
    frame, sequence = (score_sequence([estimate], [truth], RANGE_M, a) for a in ("frame", "sequence"))
    assert frame == sequence


def test_the_least_squares_fit_is_numpys(truth, estimate):
    inverse, target = 1 / estimate.ravel().astype(float), 1 / truth.ravel().astype(float)
    scale, shift = np.linalg.lstsq(np.stack([inverse, np.ones_like(inverse)], 1), target, rcond=None)[0]
    aligned = 1 / np.clip(scale * inverse + shift, 1 / RANGE_M, None)
    wanted = score_frame(aligned.reshape(truth.shape), truth, RANGE_M)
    assert close(score_frame(estimate, truth, RANGE_M, "frame"), wanted)


def test_frames_are_averaged_with_equal_weight_whatever_their_pixels(truth, estimate):
    sparse = np.where(np.arange(truth.size).reshape(truth.shape) < 5, truth, 0)
    both = score_sequence([estimate, estimate], [truth, sparse], RANGE_M)
    parts = [score_frame(estimate, t, RANGE_M) for t in (truth, sparse)]
    assert both.abs_rel == pytest.approx(np.mean([p.abs_rel for p in parts]))
    assert both.delta1 == pytest.approx(np.mean([p.delta1 for p in parts]))


@pytest.mark.parametrize("alignment", ["none", "frame"])
def test_only_valid_truth_counts(alignment, truth, estimate):
    holes = truth.copy()
    holes[0], holes[1], holes[2] = 0.0, RANGE_M, RANGE_M + 5
    rest = score_frame(estimate[3:], truth[3:], RANGE_M, alignment)
    assert score_frame(estimate, holes, RANGE_M, alignment) == rest


@pytest.mark.parametrize("alignment", ["none", "frame", "sequence"])
def test_a_missing_estimate_is_a_miss(alignment, truth):
    half = truth.copy()
    half[:6] = 0.0
    scores = score_sequence([half], [truth], RANGE_M, alignment)
    assert scores.delta1 == pytest.approx(0.5)
    assert scores.abs_rel == pytest.approx(0.5, abs=2e-3)
    nothing = score_sequence([np.zeros_like(truth)], [truth], RANGE_M, alignment)
    assert nothing.delta1 == 0.0
    assert nothing.abs_rel == pytest.approx(1.0, abs=2e-3)


def test_an_estimate_without_structure_aligns_to_the_mean_inverse_depth(truth):
    scores = score_frame(np.full_like(truth, 3.0), truth, RANGE_M, "frame")
    mean = np.full_like(truth, 1 / np.mean(1 / truth.astype(float)))
    assert close(scores, score_frame(mean, truth, RANGE_M))


def test_frames_without_valid_truth_are_left_out(truth, estimate):
    empty = np.zeros_like(truth)
    assert score_frame(estimate, empty, RANGE_M) is None
    assert score_sequence([], [], RANGE_M) is None
    one = score_sequence([estimate], [truth], RANGE_M)
    assert score_sequence([estimate, estimate], [truth, empty], RANGE_M) == one


def test_bad_input_is_refused(truth, estimate):
    with pytest.raises(ValueError, match=r"shape \(11, 16\).*resize"):
        score_frame(estimate[:-1], truth, RANGE_M)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="negative or not finite"):
            score_frame(np.full_like(truth, wrong), truth, RANGE_M)
    with pytest.raises(ValueError, match="unknown alignment 'median'"):
        score_sequence([estimate], [truth], RANGE_M, "median")
    with pytest.raises(ValueError, match="1 estimates cannot be scored against 2"):
        score_sequence([estimate], [truth, truth], RANGE_M)
    for wrong in (0.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="max_range_m is"):
            score_frame(estimate, truth, wrong)


def test_frames_average_to_the_sequence_and_one_without_truth_has_none():
    rng = np.random.default_rng(4)
    truths = [rng.uniform(1, 5, (6, 8)) for _ in range(3)] + [np.zeros((6, 8))]
    estimates = [t * rng.uniform(0.8, 1.2, t.shape) for t in truths]
    for alignment in ("none", "frame", "sequence"):
        scores = score_frames(estimates, truths, 20.0, alignment)
        assert scores[3] is None
        mean = score_sequence(estimates, truths, 20.0, alignment)
        assert mean.abs_rel == pytest.approx(np.mean([s.abs_rel for s in scores[:3]]))


def test_the_scale_error_is_the_log_of_the_scale_and_ignores_holes():
    truth = np.linspace(1, 5, 48).reshape(6, 8)
    estimate = 1.3 * truth
    estimate[:2] = 0
    assert scale_error(estimate, truth, 20.0) == pytest.approx(math.log(1.3))
    assert scale_error(np.zeros_like(truth), truth, 20.0) is None
    assert scale_error(truth, np.zeros_like(truth), 20.0) is None


def test_the_obstacle_error_counts_what_stands_out_alone():
    truth = np.full((48, 64), 3.0)
    assert obstacle_error(truth, truth, 20.0) is None
    truth[20:40, 30:33] = 1.0
    missed = np.full((48, 64), 3.0)
    assert obstacle_error(truth, truth, 20.0) == 0
    assert obstacle_error(missed, truth, 20.0) == pytest.approx(2.0)
    elsewhere = truth.copy()
    elsewhere[:, :20] = 1.0
    assert obstacle_error(elsewhere, truth, 20.0) == 0
    assert obstacle_error(truth, 3 * truth, 20.0) is None, "too far away to be one"
    holes = truth.copy()
    holes[:, 31] = 0
    assert obstacle_error(missed, holes, 20.0) == pytest.approx(2.0)
