"""Observations that suit learning: small encoded depth, stacked over time, and what else is known."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from asyncmde_sim.envs.robots import RobotSpec

Observation = dict[str, Any]
Encoded = dict[str, NDArray[Any]]

NEAREST_M = 0.3
"""Depth up to this reads as 255; at d metres it is 255 * 0.3 / d."""

FAR_GOAL_M, NEAR_GOAL_M = 15.0, 1.0
"""Scales of the two readings of the goal's distance: linear, and one that tells near distances apart."""

OLD_S = 1.0
"""Ages read as a share of this, and older ones as 1."""

SMALLEST_PX = 36
"""Convolutional policies of Stable-Baselines3 want images of at least this side."""


@dataclass(frozen=True)
class ViewConfig:
    """What a learned agent sees of the depth wrapper's observation.

    Args:
        height: Of the depth image, pixels.
        width: Of the depth image, pixels.
        frames: Depth images that are stacked, the newest last.
        every: Steps between them.
        directions: Directions around a ground robot in which it is told what it remembers of the floor; 0 for
            none, as for a robot that flies. See ``agents.learned.FloorView``.
    """

    height: int = 48
    width: int = 64
    frames: int = 2
    every: int = 6
    directions: int = 48

    def __post_init__(self) -> None:
        for name, low, high in (
            ("height", SMALLEST_PX, 512),
            ("width", SMALLEST_PX, 512),
            ("frames", 1, 16),
            ("every", 1, 60),
            ("directions", 0, 360),
        ):
            value = getattr(self, name)
            if not (isinstance(value, int) and low <= value <= high):
                raise ValueError(f"{name} is {value!r}, but it must be a whole number from {low} to {high}")
        if 0 < self.directions < 8:
            raise ValueError(f"directions is {self.directions}, but it must be 0, or 8 or more")


class Encoder(Protocol):
    """Turns the depth wrapper's observations of one episode after the other into what is learned from."""

    @property
    def space(self) -> spaces.Dict:
        """Of what ``see`` returns."""
        ...

    def reset(self) -> None:
        """Forget the last episode."""
        ...

    def see(self, observation: Observation) -> Encoded:
        """What is learned from at one step."""
        ...


class DepthView:
    """The encoder for any robot.

    ``depth`` (frames, height, width) uint8: 255 times 0.3 m over the depth, each pixel the mean over its part
    of the image, 0 where there is none; the newest image last, each ``every`` steps older than the next, and
    the first of the episode where there was none yet. ``state`` float32 in [-1, 1]: of the goal, where the
    task has one, its distance over 15 m, 1 m / (1 m + distance), and its direction in the body frame (3); the
    velocity over the top speed (3); the turning rate over the top yaw rate (3); whether there is depth; the
    ages of depth, content and refresh over 1 s; the trust.

    Args:
        config: Sizes.
        robot: The robot whose observations they are.
        has_goal: Whether the task has a goal.
    """

    def __init__(self, config: ViewConfig, robot: RobotSpec, has_goal: bool) -> None:
        self.config = config
        self._robot = robot
        self._has_goal = has_goal
        self.reset()

    @property
    def space(self) -> spaces.Dict:
        """Of what ``see`` returns."""
        config = self.config
        shape = (config.frames, config.height, config.width)
        size = 11 + 5 * self._has_goal
        return spaces.Dict(
            {
                "depth": spaces.Box(0, 255, shape, np.uint8),
                "state": spaces.Box(-1.0, 1.0, (size,), np.float32),
            }
        )

    def reset(self) -> None:
        """Forget the last episode."""
        length = (self.config.frames - 1) * self.config.every + 1
        self._images: deque[NDArray[np.uint8]] = deque(maxlen=length)

    def see(self, observation: Observation) -> Encoded:
        """What is learned from at one step."""
        self._images.append(depth_image(observation["depth"], (self.config.height, self.config.width)))
        back = [self.config.every * k for k in range(self.config.frames - 1, -1, -1)]
        stacked = [self._images[max(len(self._images) - 1 - b, 0)] for b in back]
        return {"depth": np.stack(stacked), "state": self._state(observation)}

    def _state(self, observation: Observation) -> NDArray[np.float32]:
        robot = self._robot
        parts: list[Any] = []
        if self._has_goal:
            goal = np.asarray(observation["goal"], np.float64)
            distance = float(np.linalg.norm(goal))
            parts += [distance / FAR_GOAL_M, NEAR_GOAL_M / (NEAR_GOAL_M + distance)]
            parts += list(goal / max(distance, 1e-6))
        parts += list(observation["velocity"] / robot.max_speed_mps)
        parts += list(observation["gyro"] / robot.max_yaw_rate_radps)
        parts.append(float(observation["has_depth"]))
        parts += [observation[age][0] / OLD_S for age in ("depth_age", "content_age", "refresh_age")]
        parts.append(observation["trust"][0])
        return np.clip(np.array(parts, np.float32), -1.0, 1.0)


def depth_image(depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Inverse depth (height, width) uint8 of depth (H, W) in metres; see ``DepthView``."""
    near = np.zeros(depth.shape, np.float32)
    np.divide(np.float32(255 * NEAREST_M), depth, out=near, where=depth > 0)
    np.minimum(near, 255, out=near)
    for axis, target in enumerate(size):
        near = _part_means(near, axis, target)
    return np.rint(near).astype(np.uint8)


def _part_means(values: NDArray[np.float32], axis: int, parts: int) -> NDArray[np.float32]:
    """Means over ``parts`` equal parts of an axis; where there are fewer values than parts, they repeat."""
    length = values.shape[axis]
    starts = np.arange(parts) * length // parts
    ends = np.maximum((np.arange(parts) + 1) * length // parts, starts + 1)
    if length < parts:
        return values.take(starts, axis)
    sums = np.add.reduceat(values, starts, axis)
    counts = (ends - starts).astype(np.float32)
    return sums / (counts if axis == values.ndim - 1 else counts[:, None])


class LearningWrapper(gym.Wrapper):
    """The depth wrapper's environment as an encoder sees it.

    The depth wrapper's own observation is in ``raw``, for an expert that watches.

    Args:
        env: Environment with the depth wrapper.
        encoder: The encoder; it belongs to this wrapper alone.
    """

    def __init__(self, env: gym.Env, encoder: Encoder) -> None:
        super().__init__(env)
        self._encoder = encoder
        self.observation_space = encoder.space
        self.raw: Observation = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Encoded, dict[str, Any]]:
        """Start an episode; the encoder forgets the last one."""
        self.raw, info = self.env.reset(seed=seed, options=options)
        self._encoder.reset()
        return self._encoder.see(self.raw), info

    def step(self, action: Any) -> tuple[Encoded, Any, bool, bool, dict[str, Any]]:
        """Step and encode."""
        self.raw, reward, terminated, truncated, info = self.env.step(action)
        return self._encoder.see(self.raw), reward, terminated, truncated, info
