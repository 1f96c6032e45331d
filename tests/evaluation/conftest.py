"""A toy environment with the observation and info of a real one behind the depth wrapper."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from asyncmde_sim.evaluation.rollout import Rollout
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(48, 32)
DT_NS = 20_000_000


class ToyEnv(gym.Env):
    """Drives straight at a wall for a number of steps drawn from the seed; arrives on even ones."""

    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    robot = SimpleNamespace(name="toy", control_dt_ns=DT_NS, max_speed_mps=1.0, camera=CAMERA)
    backend = SimpleNamespace(name="toy-scene")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(5, 12))
        self.steps = 0
        return self._observation(), self._info()

    def step(self, action: Any) -> Any:
        self.steps += 1
        done = self.steps == self.length
        return self._observation(), 0.5, done, False, self._info()

    def _observation(self) -> dict[str, Any]:
        age = np.array([0.1 * self.steps], np.float32)
        return {
            "image": np.full((32, 48, 3), 10 * self.steps, np.uint8),
            "depth": np.full((32, 48), 2.0, np.float32),
            "has_depth": int(self.steps > 2),
            "depth_age": age / 2,
            "content_age": age,
            "refresh_age": 2 * age,
            "trust": np.zeros(1, np.float32),
        }

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "time_ns": self.steps * DT_NS,
            "true_depth": np.full((32, 48), 4.0, np.float32),
            "T_world_camera": np.eye(4),
            "distance_to_goal": float(self.length - self.steps),
            "clearance": 1.0,
            "speed": 1.0,
            "time_to_collision": 60.0,
            "collided": self.steps == self.length and self.length % 2 == 1,
            "success": self.steps == self.length and self.length % 2 == 0,
            "frames_dropped": 2 * self.steps,
            "slow_runs": self.steps // 3,
            "fast_runs": self.steps,
        }
        if self.steps > 2:
            names = ("abs_rel", "delta1", "streaming_abs_rel", "streaming_delta1")
            info["depth_scores"] = {name: float(self.np_random.random()) for name in names}
            info["trust_map"] = np.full((4, 6), 0.5, np.float32)
        if self.steps == self.length:
            info["episode_metrics"] = {
                "success": float(info["success"]),
                "collided": float(info["collided"]),
                "spl": 0.5 * info["success"],
                "soft_spl": 0.7,
                "path_length": 3.0,
                "shortest_path": 2.0,
                "min_clearance": 1.0,
                "min_time_to_collision": 60.0,
                "time_under_1s_ttc": 0.0,
                "duration_s": self.steps * DT_NS / 1e9,
            }
        return info


class StillAgent:
    """Does nothing."""

    def reset(self, seed: int | None = None) -> None:
        pass

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        return np.zeros(2, np.float32)


@pytest.fixture
def toy() -> Rollout:
    """A fresh toy rollout, reset with seed 0."""
    env = ToyEnv()
    return Rollout(env, "still", StillAgent(), env.reset(seed=0))
