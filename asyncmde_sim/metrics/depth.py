"""Depth accuracy: AbsRel, RMSE and delta1 under three alignments.

Every pixel with ``1e-3 < true depth < max_range_m`` counts. Where the estimate is 0 (none) it is a miss,
scored as a depth of ``MIN_DEPTH_M``: about 1 in AbsRel, the true depth in RMSE, wrong in delta1. Other
estimates are clipped to ``[MIN_DEPTH_M, max_range_m]``, after alignment if there is one.

Alignments: ``none`` scores metric depth; ``frame`` fits one scale and shift per frame and ``sequence`` one
for all frames, by least squares in inverse depth (as for relative depth models; Ranftl et al., MiDaS). Scores
are means over the pixels of a frame, and then over frames.

Such means say little of what a robot hits: a lamp or a bottle is a hundredth of an image. ``obstacle_error``
scores what stands out towards the camera, alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

MIN_DEPTH_M = 1e-3
OBSTACLE_RANGE_M = 2.0
OBSTACLE_RATIO = 1.15
"""An obstacle is nearer than the range, and by this ratio nearer than the (geometric) mean around it ..."""
OBSTACLE_WINDOW = 0.14
"""... over a square of this part of the image's width."""
Alignment = Literal["none", "frame", "sequence"]
Depth = NDArray[np.floating]


@dataclass(frozen=True)
class DepthScores:
    """AbsRel (mean of |error| / true), RMSE in metres, delta1 (share within a factor of 1.25)."""

    abs_rel: float
    rmse: float
    delta1: float


def score_frame(
    estimate: Depth, truth: Depth, max_range_m: float, alignment: Literal["none", "frame"] = "none"
) -> DepthScores | None:
    """Scores of one estimate (H, W) against the true depth (H, W), metres; None if no true depth is valid.

    Raises:
        ValueError: Shapes differ, or an estimate is negative or not finite.
    """
    return score_sequence([estimate], [truth], max_range_m, alignment)


def score_sequence(
    estimates: Sequence[Depth], truths: Sequence[Depth], max_range_m: float, alignment: Alignment = "none"
) -> DepthScores | None:
    """Mean scores over the frames that have valid true depth; None if none has. See ``score_frames``."""
    scores = score_frames(estimates, truths, max_range_m, alignment)
    rows = [astuple(s) for s in scores if s is not None]
    return DepthScores(*np.mean(rows, axis=0).tolist()) if rows else None


def score_frames(
    estimates: Sequence[Depth], truths: Sequence[Depth], max_range_m: float, alignment: Alignment = "none"
) -> list[DepthScores | None]:
    """The scores of each frame of a sequence, None for one without valid true depth.

    Args:
        estimates: N maps (H, W), metres, 0 for none.
        truths: N maps (H, W), metres, 0 for none.
        max_range_m: True depth at or beyond it does not count.
        alignment: See the module.

    Raises:
        ValueError: Numbers or shapes of maps differ, an unknown alignment, or an estimate that is negative or
            not finite.
    """
    if alignment not in get_args(Alignment):
        raise ValueError(f"unknown alignment {alignment!r}: use {', '.join(get_args(Alignment))}")
    if len(estimates) != len(truths):
        raise ValueError(
            f"{len(estimates)} estimates cannot be scored against {len(truths)} true maps: pair them"
        )
    pairs = [_valid_pixels(e, t, max_range_m) for e, t in zip(estimates, truths, strict=True)]
    whole = (1.0, 0.0)
    if alignment == "sequence" and pairs:
        whole = _fit(*(np.concatenate(maps) for maps in zip(*pairs, strict=True)))

    def score(estimate: Depth, truth: Depth) -> DepthScores | None:
        if not len(truth):
            return None
        if alignment != "none":
            fit = whole if alignment == "sequence" else _fit(estimate, truth)
            estimate = _align(estimate, *fit, max_range_m)
        return DepthScores(*_frame_scores(estimate, truth, max_range_m))

    return [score(e, t) for e, t in pairs]


def obstacles(truth: Depth, max_range_m: float) -> NDArray[np.bool_]:
    """Where (H, W) a true depth map shows obstacles: see ``OBSTACLE_RANGE_M``."""
    valid = _valid(truth, max_range_m)
    near = valid & (truth < OBSTACLE_RANGE_M)
    if not near.any():
        return near
    log_depth = np.zeros(truth.shape, np.float32)
    log_depth[valid] = np.log(truth[valid])
    side = 2 * round(OBSTACLE_WINDOW * truth.shape[1] / 2) + 1
    there = _share_within(truth.shape, side) if valid.all() else _box_mean(valid.astype(np.float32), side)
    stands_out = _box_mean(log_depth, side) > (log_depth + np.float32(math.log(OBSTACLE_RATIO))) * there
    return near & np.asarray(stands_out)


def obstacle_error(
    estimate: Depth, truth: Depth, max_range_m: float, where: NDArray[np.bool_] | None = None
) -> float | None:
    """AbsRel of one frame on its obstacles alone: what stands out from its surroundings towards the camera.

    None if it shows none. ``where`` is ``obstacles`` of this truth, if that is known. See ``score_frames``
    for what is valid and raised.
    """
    where = obstacles(truth, max_range_m) if where is None else where
    pixels, true = _valid_pixels(estimate, np.where(where, truth, 0), max_range_m)
    return _frame_scores(pixels, true, max_range_m)[0] if len(true) else None


def scale_error(estimate: Depth, truth: Depth, max_range_m: float) -> float | None:
    """The log of the median of estimate / truth of one frame: 0 where the scale is right, None if unknown.

    Its standard deviation over a sequence is the drift of the scale.
    """
    pixels, true = _valid_pixels(estimate, truth, max_range_m)
    there = pixels > MIN_DEPTH_M
    return float(np.log(np.median(pixels[there] / true[there]))) if there.any() else None


def _box_mean(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Mean over a square around each pixel; what lies outside of the image is 0."""
    return np.asarray(uniform_filter(values, side, mode="constant"))


@lru_cache(maxsize=4)
def _share_within(shape: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Part of the square around each pixel that lies in the image."""
    return _box_mean(np.ones(shape, np.float32), side)


def _valid(truth: Depth, max_range_m: float) -> NDArray[np.bool_]:
    return np.asarray((truth > MIN_DEPTH_M) & (truth < max_range_m))


def _valid_pixels(estimate: Depth, truth: Depth, max_range_m: float) -> tuple[Depth, Depth]:
    if np.shape(estimate) != np.shape(truth):
        raise ValueError(
            f"an estimate of shape {np.shape(estimate)} cannot be scored against true depth of shape "
            f"{np.shape(truth)}: resize it first"
        )
    if not (math.isfinite(max_range_m) and max_range_m > MIN_DEPTH_M):
        raise ValueError(f"max_range_m is {max_range_m}, but it must be finite and above {MIN_DEPTH_M} m")
    index = np.flatnonzero(_valid(truth, max_range_m))
    pixels = np.ravel(estimate)[index]
    if not (np.isfinite(pixels).all() and (pixels >= 0).all()):
        raise ValueError("an estimate is negative or not finite: mark pixels without depth with 0")
    return pixels, np.ravel(truth)[index]


def _fit(estimate: Depth, truth: Depth) -> tuple[float, float]:
    """Scale and shift from the estimate's inverse depth to the true one, where there is an estimate."""
    there = estimate > 0
    if not there.any():
        return 1.0, 0.0
    x, y = (1 / pixels[there].astype(np.float64) for pixels in (estimate, truth))
    centred = x - x.mean()
    variance = float(centred @ centred)
    constant = variance <= len(x) * (1e-9 * float(x.mean())) ** 2
    scale = 0.0 if constant else float(centred @ y) / variance
    return scale, float(y.mean() - scale * x.mean())


def _align(estimate: Depth, scale: float, shift: float, max_range_m: float) -> Depth:
    there = estimate > 0
    inverse = scale / np.where(there, estimate, 1.0).astype(np.float64) + shift
    return np.where(there, 1 / np.clip(inverse, 1 / max_range_m, 1 / MIN_DEPTH_M), 0.0)


def _frame_scores(estimate: Depth, truth: Depth, max_range_m: float) -> tuple[float, float, float]:
    estimate = np.clip(estimate, MIN_DEPTH_M, max_range_m)
    error = np.abs(estimate - truth)
    ratio = np.maximum(estimate / truth, truth / estimate)
    abs_rel, square = (float(values.mean(dtype=np.float64)) for values in (error / truth, error**2))
    return abs_rel, math.sqrt(square), np.count_nonzero(ratio < 1.25) / ratio.size
