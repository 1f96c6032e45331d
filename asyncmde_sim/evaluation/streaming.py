"""Depth sources as a device delivers them, all on the same trajectories.

A rollout lets the depth steer, so no two sources see the same frames. Here the frames are given: those of an
agent that steers by true depth, or of an open-loop trajectory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.metrics.depth import score_frame
from asyncmde_sim.metrics.statistics import paired_bootstrap
from asyncmde_sim.recordings.frames import Frame as CameraFrame
from asyncmde_sim.recordings.frames import frames_along
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.sources import close_source
from asyncmde_sim.runtime.types import DepthSource, Frame, View


@dataclass(frozen=True)
class Setup:
    """One depth source with its refresh policy on a device; see ``runtime.make_source``."""

    depth: str
    refresh: str
    device: str

    @property
    def label(self) -> str:
        """Its name in a table."""
        return self.depth if self.refresh == "free" else f"{self.depth}, {self.refresh}"


@dataclass(frozen=True)
class StreamScores:
    """What a source delivered over one trajectory.

    Args:
        abs_rel: Mean AbsRel against the true depth of the frame that each estimate describes.
        delta1: The same for delta1.
        streaming_abs_rel: Mean AbsRel against the true depth at the moment of use.
        streaming_delta1: The same for delta1.
        has_depth: Share of the frames at which there was an estimate.
        slow_runs: Runs of the slow path.
        frames: Frames of the trajectory.
    """

    abs_rel: float
    delta1: float
    streaming_abs_rel: float
    streaming_delta1: float
    has_depth: float
    slow_runs: int
    frames: int


def stream(
    frames: Sequence[CameraFrame], source: DepthSource, camera: Intrinsics, max_range_m: float, seed: int
) -> StreamScores:
    """Feed a trajectory to a source and score what it has at each frame's time.

    Args:
        frames: The trajectory; its poses are taken for the odometry.
        source: The source; it is reset first.
        camera: The camera of the frames.
        max_range_m: True depth at or beyond it does not count.
        seed: Draws latencies.

    Raises:
        ValueError: The source never had an estimate.
    """
    source.reset(seed)
    truths, rows = {}, []
    for time_ns, image, depth, pose in frames:
        truths[time_ns] = depth
        source.offer(Frame(image, time_ns, depth, View(pose, camera)))
        estimate = source.newest(time_ns)
        if estimate is None:
            continue
        model = score_frame(estimate.depth, truths[estimate.capture_ns], max_range_m)
        now = score_frame(estimate.depth, depth, max_range_m)
        if model is not None and now is not None:
            rows.append((model.abs_rel, model.delta1, now.abs_rel, now.delta1))
    if not rows:
        raise ValueError(f"there was no estimate in {len(frames)} frames: give longer trajectories")
    abs_rel, delta1, now_abs_rel, now_delta1 = np.mean(rows, axis=0).tolist()
    has_depth, runs = len(rows) / len(frames), source.counts.slow_runs
    return StreamScores(abs_rel, delta1, now_abs_rel, now_delta1, has_depth, runs, len(frames))


def score_trajectory(
    env_name: str,
    options: Mapping[str, Any],
    motion: str,
    most: int,
    seed: int,
    setups: Sequence[Setup],
    weights: str | None,
) -> list[StreamScores]:
    """The scores of every setup on the trajectory of one seed; see ``frames.frames_along``.

    Args:
        env_name: Environment.
        options: Its options.
        motion: What the camera does.
        most: Bound on the number of frames.
        seed: Decides scene and motion, and draws latencies.
        setups: What is scored.
        weights: Name or folder of the networks' weights; None for those shipped.
    """
    env = gym.make(env_name, disable_env_checker=True, **options)
    camera = env.unwrapped.robot.camera  # type: ignore[attr-defined]
    frames = list(frames_along(env, motion, seed, most))
    env.close()
    focal = camera.focal_share
    scores = []
    for setup in setups:
        source = make_source(setup.depth, setup.device, setup.refresh, weights=weights, focal=focal)
        try:
            scores.append(stream(frames, source, camera.pinhole, camera.max_range_m, seed))
        finally:
            close_source(source)
    return scores


def summarise(scores: Mapping[str, Sequence[StreamScores]], reference: str) -> dict[str, dict[str, object]]:
    """Means over the trajectories for each setup, and its streaming AbsRel against the reference's.

    Args:
        scores: For each setup one score a trajectory, in the same order.
        reference: The setup that the others are compared with; ``change`` is the difference of the streaming
            AbsRel as a share of the reference's mean, paired by trajectory, with its 95 % interval.
    """
    summary: dict[str, dict[str, object]] = {}
    base = np.array([s.streaming_abs_rel for s in scores[reference]])
    for label, found in scores.items():
        names = ("abs_rel", "delta1", "streaming_abs_rel", "streaming_delta1", "has_depth")
        row: dict[str, object] = {n: float(np.mean([getattr(s, n) for s in found])) for n in names}
        row["slow_runs"] = sum(s.slow_runs for s in found)
        row["frames"] = sum(s.frames for s in found)
        difference = paired_bootstrap([s.streaming_abs_rel for s in found], base)
        shares = (difference.mean, difference.low, difference.high)
        row["change"] = [float(share / base.mean()) for share in shares]
        summary[label] = row
    return summary
