"""Scores of alignments on a made-up sequence."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from asyncmde_sim.evaluation.alignments import score_alignments, summarise_alignments
from asyncmde_sim.evaluation.depth_accuracy import DepthSequence
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.types import RangeReadings

HEIGHT_M, WALL_M, FRAMES = 0.5, 3.0, 4
CAMERA = Intrinsics(48, 36, 24.0, 24.0, 23.5, 17.5)


@pytest.fixture
def sequence() -> DepthSequence:
    """A level camera that stands before a wall on a floor; its range sensor fails in the last two frames."""
    rows = np.arange(36)[:, None] + np.zeros((1, 48))
    with np.errstate(divide="ignore"):
        floor = HEIGHT_M * CAMERA.fy / (rows - CAMERA.cy)
    depth = np.where(floor > 0, np.minimum(floor, WALL_M), WALL_M).astype(np.float32)
    pose = np.eye(4)
    pose[:3, :3], pose[2, 3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], HEIGHT_M
    at = np.arange(2.0, 34.0, 2.0)
    ranges = RangeReadings(at, at, depth[at.astype(int), at.astype(int)].astype(np.float64))
    none = RangeReadings(*np.zeros((3, 0)))
    return DepthSequence(
        [np.full((36, 48, 3), 128, np.uint8)] * FRAMES,
        [depth] * FRAMES,
        [pose] * FRAMES,
        CAMERA,
        [HEIGHT_M] * FRAMES,
        [ranges, ranges, none, none],
    )


def rows(sequence, *names):
    depth = sequence.depths[0]
    relative = SimpleNamespace(run=lambda image: 3 / depth + 1)
    metric = SimpleNamespace(run=lambda image: 2 * depth)
    return summarise_alignments(score_alignments([sequence], names, relative, metric, 20.0))


def test_each_alignment_is_scored_as_metric_depth_beside_the_metric_model_and_the_best_fit(sequence):
    whole, low = rows(sequence, "floor")["floor"]
    assert (whole["circumstance"], low["circumstance"]) == (None, "low")
    assert whole["frames"] == FRAMES and (whole["fitted"], whole["held"], whole["none"]) == (1, 0, 0)
    assert whole["aligned"] == pytest.approx([1.0, 0.0], abs=1e-3)
    assert whole["fitted_to_truth"] == pytest.approx([1.0, 0.0], abs=1e-3)
    assert whole["metric"] == pytest.approx([0.0, 1.0], abs=1e-3)


def test_frames_without_evidence_are_counted(sequence):
    found = rows(sequence, "ranges", "odometry")
    whole, few, spread = found["ranges"]
    assert (whole["fitted"], whole["held"], whole["none"]) == (0.5, 0.5, 0)
    assert (few["circumstance"], few["fitted"], few["held"]) == ("few readings", 0, 1)
    assert (spread["circumstance"], spread["fitted"]) == ("near and far", 1)
    whole, standing = found["odometry"]
    assert (standing["circumstance"], standing["none"], standing["aligned"]) == ("standing", 1, None)
