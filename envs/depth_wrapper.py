"""Gives any environment that yields an RGB frame the depth that a source would have delivered by now."""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.metrics.depth import score_frame
from asyncmde_sim.runtime.sources import EpisodeSeeds, close_source
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, RangeReadings, View
from asyncmde_sim.scenes.camera import MIN_SIDE_PX, Camera

MAX_AGE_S = 3600.0
"""Bound of the ages in the observation; an older estimate reads as this old."""

TRUTH_HISTORY = 256
"""True depth maps kept for the model's score; it is left out for an estimate of an older frame."""


class DepthWrapper(gym.Wrapper):
    """Adds depth and its ages to the observation, in simulated time.

    The wrapped environment's observation is a Dict with an image, or the image itself; an image is a uint8
    Box (H, W, 3). Time is ``info["time_ns"]`` where the environment gives it, else the number of steps times
    ``frame_interval_ns``. If the environment gives ``info["true_depth"]``, (H, W) float32 metres with 0 for
    none, the estimates are scored; without it there are no scores, and no ``oracle``. If it gives
    ``info["T_odometry_camera"]``, a 4x4 pose by odometry, and the camera is known, there is also
    ``async-odometry``. Relative depth can be aligned by that pose, by ``info["camera_height_m"]``, the height
    of the camera over the floor, and by ``info["ranges"]``, (N, 3) column, row and metres of range readings
    (see ``RangeReadings``).

    Added to the observation: ``depth`` (H, W) float32 metres, 0 for none; ``has_depth`` 0 or 1;
    ``depth_age`` (1,) s since the frame that the depth describes was captured; ``content_age`` (1,) s since
    the frame behind the memory's last refresh was captured (without a memory: ``depth_age``);
    ``refresh_age`` (1,) s since that refresh landed (without a memory: since the estimate arrived);
    ``trust`` (1,) mean of the memory trust T, 0 without a memory. Before the first estimate depth is 0 and
    the ages are the time since the start.

    Added to info: ``frames_dropped``, ``slow_runs``, ``fast_runs`` since the start; with a memory
    ``trust_map`` (h, w); with true depth ``depth_scores``: ``abs_rel`` and ``delta1`` against the true depth
    of the frame that the estimate describes, ``streaming_abs_rel`` and ``streaming_delta1`` against the true
    depth now, all metric (no alignment). Nothing measured on the host enters either.

    Example:
        >>> import gymnasium as gym, numpy as np
        >>> from asyncmde_sim.runtime import make_source
        >>> class Grey(gym.Env):
        ...     observation_space = gym.spaces.Box(0, 255, (48, 64, 3), np.uint8)
        ...     action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        ...     def reset(self, seed=None, options=None):
        ...         info = {"true_depth": np.full((48, 64), 2, np.float32)}
        ...         return np.full((48, 64, 3), 128, np.uint8), info
        >>> env = DepthWrapper(Grey(), make_source("oracle"), frame_interval_ns=33_333_333)
        >>> observation, info = env.reset(seed=0)
        >>> float(observation["depth"].mean()), info["depth_scores"]["abs_rel"]
        (2.0, 0.0)

    Args:
        env: The environment.
        source: The depth source; it belongs to this wrapper alone.
        image_key: Key of the image in a Dict observation; the new key of an observation that is the image.
        frame_interval_ns: Time between steps, for an environment without ``info["time_ns"]``.
        max_range_m: Largest depth in metres; None takes that of ``env.unwrapped.robot.camera``, and without
            one that of the default camera.
        camera: The camera; None takes that of ``env.unwrapped.robot.camera`` if it does not distort.

    Raises:
        ValueError: The observation has no such image, or the image is smaller than the networks' stride.
    """

    def __init__(
        self,
        env: gym.Env,
        source: DepthSource,
        image_key: str = "image",
        frame_interval_ns: int | None = None,
        max_range_m: float | None = None,
        camera: Intrinsics | None = None,
    ) -> None:
        super().__init__(env)
        if frame_interval_ns is not None and frame_interval_ns <= 0:
            raise ValueError(
                f"frame_interval_ns is {frame_interval_ns}, but a step takes time: give at least 1"
            )
        own = getattr(getattr(env.unwrapped, "robot", None), "camera", None)
        if max_range_m is None:
            max_range_m = getattr(own, "max_range_m", Camera.max_range_m)
        if camera is None and isinstance(own, Camera) and not any(own.distortion):
            camera = own.pinhole
        self._camera = camera
        if not (np.isfinite(max_range_m) and max_range_m > 0):
            raise ValueError(f"max_range_m is {max_range_m}, but it must be finite and positive")
        self._source = source
        self._image_key = image_key
        self._interval_ns = frame_interval_ns
        self._max_range_m = float(max_range_m)
        self._seeds = EpisodeSeeds()
        height, width = _image_shape(env.observation_space, image_key)
        self._shape = (height, width)
        self.observation_space = self._extended_space(env.observation_space)
        self._estimate: Estimate | None = None

    @property
    def estimate(self) -> Estimate | None:
        """The newest estimate as the source gave it, None before the first."""
        return self._estimate

    @property
    def source(self) -> DepthSource:
        """The depth source."""
        return self._source

    def close(self) -> None:
        """Close the environment, and the source where it has a device to leave."""
        close_source(self._source)
        super().close()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode: nothing of the last one is left. The source's seed derives from ``seed``."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._source.reset(self._seeds.next(seed))
        self._estimate = None
        self._truths: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=TRUTH_HISTORY)
        self._steps = 0
        self._start_ns = self._time_ns(info)
        return self._extend(observation, info)

    def step(self, action: Any) -> Any:
        """Step, offer the new frame to the source, and ask for the newest estimate."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        observation, info = self._extend(observation, info)
        return observation, reward, terminated, truncated, info

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
            self._truths.append((now_ns, truth))
        image, ranges = np.array(inner[self._image_key]), info.get("ranges")
        self._source.offer(
            Frame(
                image,
                now_ns,
                truth,
                self._view(info),
                info.get("camera_height_m"),
                None if ranges is None else RangeReadings.from_rows(ranges),
            )
        )
        self._estimate = self._source.newest(now_ns)
        return {**inner, **self._depth_observation(now_ns)}, {**info, **self._depth_info(now_ns, truth)}

    def _view(self, info: dict[str, Any]) -> View | None:
        pose = info.get("T_odometry_camera")
        return None if pose is None or self._camera is None else View(np.array(pose), self._camera)

    def _depth_observation(self, now_ns: int) -> dict[str, Any]:
        estimate = self._estimate
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
        counts = self._source.counts
        added: dict[str, Any] = {
            "frames_dropped": counts.frames_dropped,
            "slow_runs": counts.slow_runs,
            "fast_runs": counts.fast_runs,
        }
        if self._estimate is None:
            return added
        if self._estimate.trust is not None:
            added["trust_map"] = np.array(self._estimate.trust, dtype=np.float32)
        scores = self._scores(self._estimate, truth)
        if scores:
            added["depth_scores"] = scores
        return added

    def _scores(self, estimate: Estimate, truth: NDArray[np.float32] | None) -> dict[str, float]:
        """All four scores, or none if either true depth is not there or has no valid pixel."""
        while self._truths and self._truths[0][0] < estimate.capture_ns:
            self._truths.popleft()
        if truth is None or not self._truths or self._truths[0][0] != estimate.capture_ns:
            return {}
        depth = self._bounded(estimate.depth)
        model = score_frame(depth, self._truths[0][1], self._max_range_m)
        streaming = score_frame(depth, truth, self._max_range_m)
        if model is None or streaming is None:
            return {}
        return {
            "abs_rel": model.abs_rel,
            "delta1": model.delta1,
            "streaming_abs_rel": streaming.abs_rel,
            "streaming_delta1": streaming.delta1,
        }


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
