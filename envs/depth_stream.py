"""What a depth source adds to one environment's observations and info; wrappers of one or many use it."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.metrics.depth import obstacle_error, obstacles, score_frame
from asyncmde_sim.runtime.sources import EpisodeSeeds
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, RangeReadings, View
from asyncmde_sim.scenes.camera import MIN_SIDE_PX, Camera

MAX_AGE_S = 3600.0
"""Bound of the ages in the observation; an older estimate reads as this old."""

TRUTH_HISTORY = 256
"""True depth maps kept for the model's score; it is left out for an estimate of an older frame."""


class Truth(NamedTuple):
    """The true depth (H, W) of a frame, and where it shows obstacles."""

    capture_ns: int
    depth: NDArray[np.float32]
    obstacles: NDArray[np.bool_]


class DepthStream:
    """A depth source that follows one environment; see ``DepthWrapper`` for what it adds.

    Args:
        source: The depth source; it belongs to this stream alone.
        space: The environment's observation space.
        robot: The environment's robot, whose camera is the default for what follows; None for none.
        image_key: See ``DepthWrapper``, as for the rest.
        frame_interval_ns: Time between steps.
        max_range_m: Largest depth in metres.
        camera: The camera.

    Raises:
        ValueError: The observation has no such image, or the image is smaller than the networks' stride.
    """

    def __init__(
        self,
        source: DepthSource,
        space: spaces.Space,
        robot: Any = None,
        image_key: str = "image",
        frame_interval_ns: int | None = None,
        max_range_m: float | None = None,
        camera: Intrinsics | None = None,
    ) -> None:
        if frame_interval_ns is not None and frame_interval_ns <= 0:
            raise ValueError(
                f"frame_interval_ns is {frame_interval_ns}, but a step takes time: give at least 1"
            )
        own = getattr(robot, "camera", None)
        if max_range_m is None:
            max_range_m = getattr(own, "max_range_m", Camera.max_range_m)
        if camera is None and isinstance(own, Camera) and not any(own.distortion):
            camera = own.pinhole
        self._camera = camera
        if not (np.isfinite(max_range_m) and max_range_m > 0):
            raise ValueError(f"max_range_m is {max_range_m}, but it must be finite and positive")
        self.source = source
        self._image_key = image_key
        self._interval_ns = frame_interval_ns
        self._max_range_m = float(max_range_m)
        self._seeds = EpisodeSeeds()
        self._shape = _image_shape(space, image_key)
        self.space = self._extended_space(space)
        """Of the observations that it returns."""
        self.estimate: Estimate | None = None
        """The newest estimate as the source gave it, None before the first."""

    def begin(
        self, observation: Any, info: dict[str, Any], seed: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode: nothing of the last one is left. The source's seed derives from ``seed``."""
        self.source.reset(self._seeds.next(seed))
        self.estimate = None
        self._truths: deque[Truth] = deque(maxlen=TRUTH_HISTORY)
        self._steps = 0
        self._start_ns = self._time_ns(info)
        return self._extend(observation, info)

    def follow(self, observation: Any, info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Take a step's frame and ask for the newest estimate."""
        self._steps += 1
        return self._extend(observation, info)

    def _time_ns(self, info: dict[str, Any]) -> int:
        if "time_ns" in info:
            return int(info["time_ns"])
        if self._interval_ns is None:
            raise ValueError(
                "the environment gives no info['time_ns']: pass frame_interval_ns, its time per step, to "
                "DepthWrapper"
            )
        return self._steps * self._interval_ns

    def _extended_space(self, space: spaces.Space) -> spaces.Dict:
        inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {self._image_key: space}
        added: dict[str, spaces.Space] = {
            "depth": spaces.Box(0.0, self._max_range_m, self._shape, np.float32),
            "has_depth": spaces.Discrete(2),
            "depth_age": spaces.Box(0.0, MAX_AGE_S, (1,), np.float32),
            "content_age": spaces.Box(0.0, MAX_AGE_S, (1,), np.float32),
            "refresh_age": spaces.Box(0.0, MAX_AGE_S, (1,), np.float32),
            "trust": spaces.Box(0.0, 1.0, (1,), np.float32),
        }
        for key in added:
            if key in inner:
                raise ValueError(
                    f"the environment's observation already has the key {key!r}: rename it there"
                )
        return spaces.Dict({**inner, **added})

    def _extend(self, observation: Any, info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        now_ns = self._time_ns(info)
        inner = dict(observation) if isinstance(observation, dict) else {self._image_key: observation}
        truth = info.get("true_depth")
        if truth is not None:
            truth = np.array(truth, dtype=np.float32)
            self._truths.append(Truth(now_ns, truth, obstacles(truth, self._max_range_m)))
        image, ranges = np.array(inner[self._image_key]), info.get("ranges")
        self.source.offer(
            Frame(
                image,
                now_ns,
                truth,
                self._view(info),
                info.get("camera_height_m"),
                None if ranges is None else RangeReadings.from_rows(ranges),
            )
        )
        self.estimate = self.source.newest(now_ns)
        return {**inner, **self._depth_observation(now_ns)}, {**info, **self._depth_info(now_ns, truth)}

    def _view(self, info: dict[str, Any]) -> View | None:
        pose = info.get("T_odometry_camera")
        return None if pose is None or self._camera is None else View(np.array(pose), self._camera)

    def _depth_observation(self, now_ns: int) -> dict[str, Any]:
        estimate = self.estimate
        if estimate is None:
            depth, trust = np.zeros(self._shape, np.float32), 0.0
            depth_ns = content_ns = refresh_ns = self._start_ns
        else:
            depth = self._bounded(estimate.depth)
            trust = 0.0 if estimate.trust is None else float(np.clip(estimate.trust.mean(), 0.0, 1.0))
            depth_ns, content_ns = estimate.capture_ns, estimate.memory_capture_ns
            refresh_ns = estimate.refresh_landed_ns
        return {
            "depth": depth,
            "has_depth": np.int64(estimate is not None),
            "depth_age": _age(now_ns - depth_ns),
            "content_age": _age(now_ns - content_ns),
            "refresh_age": _age(now_ns - refresh_ns),
            "trust": np.array([trust], dtype=np.float32),
        }

    def _bounded(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy within [0, max_range_m]; what is not a number is none."""
        if depth.shape != self._shape:
            raise ValueError(
                f"the depth source gave an estimate of shape {depth.shape} for images of {self._shape}: "
                "resize it to the image"
            )
        finite = np.nan_to_num(depth, nan=0.0, posinf=self._max_range_m, neginf=0.0)
        return np.clip(finite, 0.0, self._max_range_m).astype(np.float32)

    def _depth_info(self, now_ns: int, truth: NDArray[np.float32] | None) -> dict[str, Any]:
        counts = self.source.counts
        added: dict[str, Any] = {
            "frames_dropped": counts.frames_dropped,
            "slow_runs": counts.slow_runs,
            "fast_runs": counts.fast_runs,
        }
        if self.estimate is None:
            return added
        if self.estimate.trust is not None:
            added["trust_map"] = np.array(self.estimate.trust, dtype=np.float32)
        scores = self._scores(self.estimate, truth)
        if scores:
            added["depth_scores"] = scores
        return added

    def _scores(self, estimate: Estimate, truth: NDArray[np.float32] | None) -> dict[str, float]:
        """The scores, or none if either true depth is not there or has no valid pixel.

        Those of obstacles are left out where no obstacle is.
        """
        while self._truths and self._truths[0].capture_ns < estimate.capture_ns:
            self._truths.popleft()
        if truth is None or not self._truths or self._truths[0].capture_ns != estimate.capture_ns:
            return {}
        depth = self._bounded(estimate.depth)
        scores: dict[str, float] = {}
        for prefix, true in (("", self._truths[0]), ("streaming_", self._truths[-1])):
            whole = score_frame(depth, true.depth, self._max_range_m)
            if whole is None:
                return {}
            scores |= {f"{prefix}abs_rel": whole.abs_rel, f"{prefix}delta1": whole.delta1}
            error = obstacle_error(depth, true.depth, self._max_range_m, true.obstacles)
            if error is not None:
                scores[f"{prefix}obstacle_abs_rel"] = error
        return scores


def _age(age_ns: int) -> NDArray[np.float32]:
    return np.array([min(age_ns / 1e9, MAX_AGE_S)], dtype=np.float32)


def _image_shape(space: spaces.Space, image_key: str) -> tuple[int, int]:
    image = space.spaces.get(image_key) if isinstance(space, spaces.Dict) else space
    if not (
        isinstance(image, spaces.Box)
        and image.dtype == np.uint8
        and len(image.shape) == 3
        and image.shape[2] == 3
    ):
        found = f"keys {', '.join(space.spaces)}" if isinstance(space, spaces.Dict) else str(space)
        raise ValueError(
            f"the observation needs an RGB image, uint8 Box (H, W, 3), alone or under the key {image_key!r}; "
            f"the environment has {found}: name the image with image_key"
        )
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE_PX:
        raise ValueError(
            f"the image is {width} x {height} px, but the depth networks need at least {MIN_SIDE_PX} px "
            "(their largest stride): use a larger image"
        )
    return height, width
