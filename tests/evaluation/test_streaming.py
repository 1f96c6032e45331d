"""Streaming scores: late depth is scored against the present, and sources are paired by trajectory."""

import numpy as np
import pytest

from asyncmde_sim.evaluation.streaming import Setup, StreamScores, stream, summarise
from asyncmde_sim.runtime import make_source
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(width=64, height=48)


def receding_wall(count):
    """A wall whose distance grows by a tenth a frame, 10 ms apart."""
    image = np.zeros((48, 64, 3), np.uint8)
    return [(i * 10_000_000, image, np.full((48, 64), 1.1**i, np.float32), np.eye(4)) for i in range(count)]


@pytest.mark.parametrize("late", [0, 1, 3])
def test_true_depth_that_is_late_is_right_about_its_frame_and_wrong_about_now(late):
    source = make_source("oracle", latency_ms=10.0 * late)
    scores = stream(receding_wall(20), source, CAMERA.pinhole, 20.0, seed=0)
    assert scores.abs_rel == 0 and scores.delta1 == 1
    assert scores.streaming_abs_rel == pytest.approx(1 - 1.1**-late, abs=1e-6)
    assert scores.streaming_delta1 == (1.1**late < 1.25)
    assert scores.has_depth == pytest.approx((20 - late) / 20) and scores.frames == 20


def test_a_source_that_never_has_depth_is_refused():
    with pytest.raises(ValueError, match="no estimate in 5 frames"):
        stream(receding_wall(5), make_source("blind"), CAMERA.pinhole, 20.0, seed=0)


def test_a_setup_is_compared_with_the_reference_trajectory_by_trajectory():
    def scores(factor):
        return [StreamScores(0.1, 0.9, factor * x, 0.8, 1.0, 7, 50) for x in (0.2, 0.4, 0.3)]

    summary = summarise({"a": scores(1.0), "b": scores(0.8)}, "a")
    assert summary["a"]["change"] == [0, 0, 0]
    mean, low, high = summary["b"]["change"]
    assert mean == pytest.approx(-0.2) and low < mean < high < 0
    assert summary["b"]["slow_runs"] == 21 and summary["b"]["frames"] == 150


def test_labels_tell_setups_apart():
    assert Setup("async", "free", "ideal").label == "async"
    assert Setup("async", "every-10", "ideal").label == "async, every-10"
