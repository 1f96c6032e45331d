"""What each alignment makes of relative depth, and under which circumstances it fails.

Scores are those of metric depth, without alignment to the truth, over the frames for which there is depth.
Beside them stand two others over the same frames: the metric model's own, where the relative depth is a
stand-in for it, and those of the relative depth fitted to the truth of each frame (least squares in inverse
depth; what no robot has).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.evaluation.depth_accuracy import DepthSequence
from asyncmde_sim.metrics.depth import score_frame
from asyncmde_sim.runtime.alignment import OdometryAlignment, RangeAlignment, make_alignment
from asyncmde_sim.runtime.alignment.fit import MIN_SPREAD
from asyncmde_sim.runtime.engines import RelativeEngine, SlowEngine

Scores = tuple[float, float]
"""delta1 and AbsRel."""

SCORED = ("aligned", "metric", "fitted_to_truth")
STEEP_RAD = math.radians(15)
HIGH_M = 2.0


@dataclass(frozen=True)
class AlignedFrame:
    """What one alignment made of one frame that has true depth.

    Args:
        circumstance: What decides whether the alignment can know anything, in words.
        fitted: Whether the frame had evidence of its own.
        aligned: Scores; None without depth.
        metric: Scores of the metric model; None without one.
        fitted_to_truth: Scores of the relative depth with the scale and shift that fit the truth best.
    """

    circumstance: str
    fitted: bool
    aligned: Scores | None
    metric: Scores | None
    fitted_to_truth: Scores


def score_alignments(
    sequences: Iterable[DepthSequence],
    names: Sequence[str],
    relative: RelativeEngine,
    metric: SlowEngine | None,
    max_range_m: float,
) -> dict[str, list[AlignedFrame]]:
    """Run alignments over sequences, each forgetting one before the next.

    Args:
        sequences: The frames.
        names: Names of alignments.
        relative: Gives the relative depth.
        metric: The model that ``relative`` stands in for, if it does.
        max_range_m: True depth at or beyond it does not count.

    Raises:
        ValueError: A name is unknown, or a sequence lacks what an alignment needs.
    """
    alignments = {name: make_alignment(name) for name in names}
    found: dict[str, list[AlignedFrame]] = {name: [] for name in names}
    for sequence in sequences:
        for alignment in alignments.values():
            alignment.reset()
        for index, truth in enumerate(sequence.depths):
            frame = sequence.frame(index)
            nearness = relative.run(frame.image)
            best = _scores(_as_depth(nearness), truth, max_range_m, "frame")
            own = None if metric is None else _scores(metric.run(frame.image), truth, max_range_m)
            for name, alignment in alignments.items():
                depth = alignment.align(nearness, frame)
                if best is None:
                    continue
                scores = None if depth is None else _scores(depth, truth, max_range_m)
                circumstance = CIRCUMSTANCES[name](sequence, index)
                found[name].append(AlignedFrame(circumstance, alignment.fitted, scores, own, best))
    return found


def summarise_alignments(found: Mapping[str, Sequence[AlignedFrame]]) -> dict[str, list[dict[str, object]]]:
    """For each alignment a row over all frames, then one for each circumstance.

    A row holds the ``circumstance`` (None: all), the number of ``frames``, the shares ``fitted``, ``held``
    and ``none`` of those with evidence of their own, with a fit held from before, and without depth, and the
    scores ``aligned``, ``metric`` and ``fitted_to_truth`` (delta1, AbsRel; None without any) over the frames
    with depth.

    Circumstances are, for ``floor``: the camera ``looks up`` (its axis by more than 15 degrees), or else is
    ``high`` (above 2 m) or ``low``; for ``ranges``: there are ``few readings`` (less than six), or they are
    all ``equally far`` (within a factor of 1.3), or ``near and far``; for ``odometry``: within the sequence
    the camera has ``moved`` by 5 cm to where it is, or else is ``standing``.
    """
    tables = {}
    for name, frames in found.items():
        groups: dict[str | None, list[AlignedFrame]] = {None: list(frames)}
        for frame in sorted(frames, key=lambda f: f.circumstance):
            groups.setdefault(frame.circumstance, []).append(frame)
        tables[name] = [_row(circumstance, group) for circumstance, group in groups.items()]
    return tables


def _row(circumstance: str | None, frames: Sequence[AlignedFrame]) -> dict[str, object]:
    seen = [f for f in frames if f.aligned is not None]
    fitted = sum(f.fitted for f in seen)
    shares = (fitted, len(seen) - fitted, len(frames) - len(seen))
    return {
        "circumstance": circumstance,
        "frames": len(frames),
        **{key: n / len(frames) for key, n in zip(("fitted", "held", "none"), shares, strict=True)},
        **{key: _mean([getattr(f, key) for f in seen]) for key in SCORED},
    }


def _mean(scores: Sequence[Scores | None]) -> list[float] | None:
    there = [s for s in scores if s is not None]
    return np.mean(there, axis=0).tolist() if there else None


def _scores(
    depth: NDArray[np.floating],
    truth: NDArray[np.float32],
    max_range_m: float,
    alignment: Literal["none", "frame"] = "none",
) -> Scores | None:
    scores = score_frame(depth, truth, max_range_m, alignment)
    return None if scores is None else (scores.delta1, scores.abs_rel)


def _as_depth(relative: NDArray[np.float32]) -> NDArray[np.float64]:
    """Positive numbers whose inverse is the relative depth but for scale and shift."""
    span = float(np.ptp(relative)) or 1.0
    return 1 / (1 + (relative.astype(np.float64) - relative.min()) / span)


def _floor_circumstance(sequence: DepthSequence, index: int) -> str:
    pose, heights = sequence.poses[index], sequence.camera_heights_m
    assert pose is not None and heights is not None
    if pose[2, 2] > math.sin(STEEP_RAD):
        return "looks up"
    return "high" if heights[index] > HIGH_M else "low"


def _range_circumstance(sequence: DepthSequence, index: int) -> str:
    assert sequence.ranges is not None
    depth = sequence.ranges[index].depth_m
    depth = depth[depth > 0]
    if len(depth) < RangeAlignment.MIN_READINGS:
        return "few readings"
    low, high = np.percentile(depth, (5, 95))
    return "near and far" if high >= MIN_SPREAD * low else "equally far"


def _odometry_circumstance(sequence: DepthSequence, index: int) -> str:
    places = [pose[:3, 3] for pose in sequence.poses[: index + 1] if pose is not None]
    moved = np.linalg.norm(np.array(places) - places[-1], axis=1).max() >= OdometryAlignment.KEYFRAME_M
    return "moved" if moved else "standing"


CIRCUMSTANCES: dict[str, Callable[[DepthSequence, int], str]] = {
    "floor": _floor_circumstance,
    "ranges": _range_circumstance,
    "odometry": _odometry_circumstance,
}
