"""Gives any environment that yields an RGB frame the depth that a source would have delivered by now."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from asyncmde_sim.envs.depth_stream import DepthStream
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.sources import close_source
from asyncmde_sim.runtime.types import DepthSource, Estimate


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
    depth now, all metric (no alignment), and, where obstacles are in view, AbsRel on these alone,
    ``obstacle_abs_rel`` and ``streaming_obstacle_abs_rel``. Nothing measured on the host enters any of it.

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
        robot = getattr(env.unwrapped, "robot", None)
        self._stream = DepthStream(
            source, env.observation_space, robot, image_key, frame_interval_ns, max_range_m, camera
        )
        self.observation_space = self._stream.space

    @property
    def estimate(self) -> Estimate | None:
        """The newest estimate as the source gave it, None before the first."""
        return self._stream.estimate

    @property
    def source(self) -> DepthSource:
        """The depth source."""
        return self._stream.source

    def close(self) -> None:
        """Close the environment, and the source where it has a device to leave."""
        close_source(self.source)
        super().close()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode: nothing of the last one is left. The source's seed derives from ``seed``."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._stream.begin(observation, info, seed)

    def step(self, action: Any) -> Any:
        """Step, offer the new frame to the source, and ask for the newest estimate."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        observation, info = self._stream.follow(observation, info)
        return observation, reward, terminated, truncated, info
