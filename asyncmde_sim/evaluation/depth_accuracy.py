"""Accuracy of the depth networks by lag: how the memory ages between two refreshes.

The slow path fills the memory from every N-th frame and the fast path runs on every frame, so a frame is seen
at a lag of 0 to N - 1, as the paper counts it: no latency is charged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from asyncmde_sim.envs.range_sensor import measure_ranges
from asyncmde_sim.evaluation.ablations import Variant
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.metrics.depth import (
    Alignment,
    Depth,
    DepthScores,
    obstacle_error,
    scale_error,
    score_frames,
)
from asyncmde_sim.metrics.statistics import paired_bootstrap
from asyncmde_sim.metrics.temporal import SeenAgain, alignment_error, seen_both_ways
from asyncmde_sim.recordings import Recording, UnreadableFrameError
from asyncmde_sim.runtime.async_sources import AsyncOdometrySource
from asyncmde_sim.runtime.engines import Engines
from asyncmde_sim.runtime.refresh import EveryN
from asyncmde_sim.runtime.types import Frame, RangeReadings, View
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.training.clips import Clips

SOURCES = ("foundation", "fast")
"""Beside them there is at least ``async``."""
ALIGNMENTS: tuple[Alignment, ...] = ("none", "sequence", "frame")
MEASURES = tuple(field.name for field in fields(DepthScores))
MAX_WIDTH_PX = 320
"""Recorded depth wider than this is scored on every second, third, ... pixel, its image reduced to those."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DepthSequence:
    """Frames in time order.

    Args:
        images: T images (H, W, 3) uint8.
        depths: T true depths (H, W) float32 metres, 0 for none.
        poses: T poses 4x4 ``T_world_camera``, None where unknown.
        camera: Of images and depth.
        camera_heights_m: T heights of the camera above the floor, metres; None where unknown.
        ranges: What a range sensor measured with each frame; None where there was none.
    """

    images: Sequence[NDArray[np.uint8]]
    depths: Sequence[NDArray[np.float32]]
    poses: Sequence[Array | None]
    camera: Intrinsics
    camera_heights_m: Sequence[float] | None = None
    ranges: Sequence[RangeReadings] | None = None

    def frame(self, index: int) -> Frame:
        """One frame as a source sees it, its index for the time."""
        pose = self.poses[index]
        return Frame(
            self.images[index],
            index,
            view=None if pose is None else View(pose, self.camera),
            camera_height_m=None if self.camera_heights_m is None else self.camera_heights_m[index],
            ranges=None if self.ranges is None else self.ranges[index],
        )


@dataclass(frozen=True)
class SequenceScores:
    """The scores of one sequence.

    Args:
        lags: (T,) frames since the refresh.
        scores: For each source, ``SOURCES`` first, (T, alignments, measures), NaN for a frame without true
            depth.
        scale_errors: For each source (T,), see ``metrics.depth.scale_error``.
        obstacle_errors: For each source (T,), see ``metrics.depth.obstacle_error``, NaN without obstacles.
        tae: For each source the mean temporal alignment error, NaN without poses.
    """

    lags: NDArray[np.int64]
    scores: dict[str, Array]
    scale_errors: dict[str, Array]
    obstacle_errors: dict[str, Array]
    tae: dict[str, float]


def clip_sequences(shards: Iterable[Clips], camera: Camera) -> Iterator[DepthSequence]:
    """Each rendered clip as a sequence, with range readings; the floor of our scenes is at z = 0."""
    rng = np.random.default_rng(0)
    for shard in shards:
        for images, depths, poses in zip(shard.images, shard.depth, shard.poses, strict=True):
            size = depths.shape[:0:-1]
            yield DepthSequence(
                images,
                depths.astype(np.float32),
                list(poses),
                camera.pinhole.resized(*size),
                poses[:, 2, 3].tolist(),
                [RangeReadings.from_rows(measure_ranges(depth, camera, rng)) for depth in depths],
            )


def recorded_sequence(
    recording: Recording, on_problem: Callable[[str], None] = lambda problem: None
) -> DepthSequence:
    """A recording as a sequence; frames that cannot be read are left out and reported.

    Raises:
        ValueError: No frame can be read.
    """
    images, depths, poses = [], [], []
    stride = -(-recording.camera.width // MAX_WIDTH_PX)
    for frame in recording.frames:
        try:
            data = recording.read(frame)
        except UnreadableFrameError as error:
            on_problem(str(error))
            continue
        if data.bad_pixels:
            on_problem(f"{frame.depth_file.name} has {data.bad_pixels} pixels that are negative or no number")
        depth = data.depth[::stride, ::stride]
        image = Image.fromarray(data.image).resize(depth.shape[::-1], Image.Resampling.BOX)
        images.append(np.asarray(image))
        depths.append(depth)
        poses.append(frame.T_world_camera)
    if not images:
        raise ValueError(f"recording {recording.name!r} has no frame that can be read: check the folder")
    full = recording.camera
    camera = Intrinsics(*depths[0].shape[::-1], *(v / stride for v in (full.fx, full.fy, full.cx, full.cy)))
    return DepthSequence(images, depths, poses, camera)


def score_sequence_by_lag(
    sequence: DepthSequence,
    engines: Engines,
    interval: int,
    max_range_m: float,
    asynchronous: Mapping[str, Variant],
) -> SequenceScores:
    """Run all sources over a sequence, with a refresh at every ``interval``-th frame, and score them.

    Args:
        sequence: The frames.
        engines: The networks.
        interval: Frames from one refresh to the next, 1 or more.
        max_range_m: True depth at or beyond it does not count.
        asynchronous: The sources beside ``SOURCES``, by name. One that needs poses is left out where they
            are not all known.
    """
    if interval < 1:
        raise ValueError(f"interval is {interval}, but a refresh needs at least 1 frame")
    estimates = _estimates(sequence, engines, interval, asynchronous)
    truths = sequence.depths
    seen = _seen_again(sequence, max_range_m)

    def each_frame(error: Callable[[Depth, Depth, float], float | None]) -> dict[str, Array]:
        return {
            source: np.array(
                [error(e, t, max_range_m) for e, t in zip(maps, truths, strict=True)], np.float64
            )
            for source, maps in estimates.items()
        }

    return SequenceScores(
        np.arange(len(truths)) % interval,
        {
            source: np.stack([_table(maps, truths, max_range_m, a) for a in ALIGNMENTS], axis=1)
            for source, maps in estimates.items()
        },
        each_frame(scale_error),
        each_frame(obstacle_error),
        {source: _mean_tae(maps, seen) for source, maps in estimates.items()},
    )


def summarise(sequences: Sequence[SequenceScores]) -> dict[str, object]:
    """What a table and a JSON file say: averages over the refresh cycle, and by lag.

    A cycle average is the mean of the means at each lag. The recovery of an asynchronous source is
    (source - fast) / (foundation - fast) of delta1 without alignment, None where foundation is not above
    fast. ``gain_by_lag`` is source - fast of delta1 with its 95 % interval, paired by sequence (bootstrap).

    Raises:
        ValueError: There are no sequences.
    """
    if not sequences:
        raise ValueError("there is nothing to score: give recordings, or render clips first")
    lags = np.concatenate([s.lags for s in sequences])
    cycle = range(int(lags.max()) + 1)

    def by_lag(source: str) -> Array:
        scores = np.concatenate([s.scores[source] for s in sequences])
        return np.stack([np.nanmean(scores[lags == lag], axis=0) for lag in cycle])

    sources = list(sequences[0].scores)
    asynchronous = [source for source in sources if source not in SOURCES]
    tables = {source: by_lag(source) for source in sources}
    mean = {source: table.mean(axis=0) for source, table in tables.items()}
    delta1 = {source: float(mean[source][0, 2]) for source in sources}
    gap = delta1["foundation"] - delta1["fast"]
    return {
        "sequences": len(sequences),
        "frames": len(lags),
        "delta1": delta1,
        "abs_rel": {source: float(mean[source][0, 0]) for source in sources},
        "recovery": {
            source: (delta1[source] - delta1["fast"]) / gap if gap > 0 else None for source in asynchronous
        },
        "scores": {
            source: {
                alignment: dict(zip(MEASURES, mean[source][i].tolist(), strict=True))
                for i, alignment in enumerate(ALIGNMENTS)
            }
            for source in sources
        },
        "tae": {source: _mean([s.tae[source] for s in sequences]) for source in sources},
        "scale_drift": {
            source: _mean([float(np.nanstd(s.scale_errors[source])) for s in sequences]) for source in sources
        },
        "obstacle_abs_rel": {
            source: _mean(np.concatenate([s.obstacle_errors[source] for s in sequences]).tolist())
            for source in sources
        },
        "delta1_by_lag": {source: tables[source][:, 0, 2].round(4).tolist() for source in sources},
        "abs_rel_by_lag": {source: tables[source][:, 0, 0].round(4).tolist() for source in sources},
        "gain_by_lag": {source: [_gain(sequences, source, lag) for lag in cycle] for source in asynchronous},
    }


def _estimates(
    sequence: DepthSequence, engines: Engines, interval: int, asynchronous: Mapping[str, Variant]
) -> dict[str, list[NDArray[np.float32]]]:
    posed = all(pose is not None for pose in sequence.poses)
    sources = {name: make(EveryN(interval)) for name, make in asynchronous.items()}
    sources = {n: s for n, s in sources.items() if posed or not isinstance(s, AsyncOdometrySource)}
    estimates: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*SOURCES, *sources)}
    for index, image in enumerate(sequence.images):
        frame = sequence.frame(index)
        for name, source in sources.items():
            source.offer(frame)
            estimate = source.newest(index)
            assert estimate is not None
            estimates[name].append(estimate.depth)
        estimates["foundation"].append(engines.slow.run(image))
        estimates["fast"].append(engines.single.run(image))
    return estimates


def _table(
    estimates: Sequence[NDArray[np.float32]],
    truths: Sequence[NDArray[np.float32]],
    max_range_m: float,
    alignment: Alignment,
) -> Array:
    """(T, measures)."""
    scores = score_frames(estimates, truths, max_range_m, alignment)
    return np.array([[np.nan] * len(MEASURES) if s is None else astuple(s) for s in scores])


def _seen_again(sequence: DepthSequence, max_range_m: float) -> list[tuple[SeenAgain, SeenAgain] | None]:
    """For each pair of neighbours what both see, None where a pose is unknown: the same for every source."""
    pairs = zip(pairwise(sequence.depths), pairwise(sequence.poses), strict=True)
    return [
        None
        if a is None or b is None
        else seen_both_ways(truths, (a, b), sequence.camera.matrix, max_range_m)
        for truths, (a, b) in pairs
    ]


def _mean_tae(
    estimates: Sequence[NDArray[np.float32]], seen: Sequence[tuple[SeenAgain, SeenAgain] | None]
) -> float:
    pairs = zip(pairwise(estimates), seen, strict=True)
    errors = [alignment_error(pair, points) for pair, points in pairs if points is not None]
    mean = _mean([e for e in errors if e is not None])
    return float("nan") if mean is None else mean


def _gain(sequences: Sequence[SequenceScores], source: str, lag: int) -> dict[str, float]:
    pairs = []
    for s in sequences:
        at = s.lags == lag
        means = [np.nanmean(s.scores[one][at, 0, 2]) for one in (source, "fast") if at.any()]
        if len(means) == 2 and np.isfinite(means).all():
            pairs.append(means)
    return {k: round(v, 4) for k, v in asdict(paired_bootstrap(*np.array(pairs).T)).items()}


def _mean(values: Sequence[float]) -> float | None:
    """The mean of what is a number, None if nothing is."""
    finite = [v for v in values if np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
