"""Many environments as Stable-Baselines3 wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from asyncmde_sim.envs.learning import Encoded, Encoder
from asyncmde_sim.envs.vector_depth import VectorDepthWrapper, info_of, rendering_workers
from asyncmde_sim.training.agents.finite import require_finite
from asyncmde_sim.training.agents.task import AgentTask

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError("training agents needs the extra 'rl': pip install 'asyncmde-sim[rl]'") from error


class LearningVecEnv(VecEnv):
    """A Gymnasium vector environment with depth as a ``VecEnv``, each environment seen by an encoder.

    Infos hold what an episode ended with alone: ``episode_metrics``, ``terminal_observation`` and
    ``TimeLimit.truncated``, so that nothing large is kept for each step.

    Args:
        env: It resets in the step in which an episode ends.
        encoders: One for each environment.
        name: What errors call it.

    Raises:
        ValueError: It resets otherwise.
    """

    def __init__(self, env: VectorEnv, encoders: Sequence[Encoder], name: str) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ValueError("Stable-Baselines3 needs environments made with AutoresetMode.SAME_STEP")
        self.env = env
        self.render_mode = None
        self._encoders = encoders
        self._name = name
        self._steps = 0
        super().__init__(env.num_envs, encoders[0].space, env.single_action_space)

    def reset(self) -> dict[str, NDArray[Any]]:
        """Start an episode in each; seeds given with ``seed`` are used once."""
        observations, _ = self.env.reset(seed=list(self._seeds))  # type: ignore[arg-type]
        self._reset_seeds()
        seen = []
        for index, encoder in enumerate(self._encoders):
            encoder.reset()
            seen.append(encoder.see(_one(observations, index)))
        return _stacked(seen)

    def step_async(self, actions: NDArray[np.float32]) -> None:
        """Note the actions."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all.

        Raises:
            FloatingPointError: A reward or an observation is not finite.
        """
        observations, rewards, terminated, truncated, infos = self.env.step(self._actions)
        self._steps += 1
        over = np.logical_or(terminated, truncated)
        seen, told = [], []
        for index, encoder in enumerate(self._encoders):
            info: dict[str, Any] = {}
            if over[index]:
                info = info_of(infos["final_info"], index)
                info = {"episode_metrics": info.get("episode_metrics", {})}
                info["terminal_observation"] = encoder.see(infos["final_obs"][index])
                info["TimeLimit.truncated"] = bool(truncated[index] and not terminated[index])
                encoder.reset()
            seen.append(encoder.see(_one(observations, index)))
            last = info.get("terminal_observation", seen[-1])
            require_finite(last, rewards[index], self._name, f"environment {index}", self._steps)
            told.append(info)
        return _stacked(seen), np.asarray(rewards, np.float32), over, told

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environments."""
        if attr_name == "render_mode":
            return [None] * self.num_envs
        values = self.env.get_attr(attr_name)  # type: ignore[attr-defined]
        return [values[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """There is nothing to set from here.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("make the environments with the attribute instead of setting it")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the environments."""
        values = self.env.call(method_name, *args, **kwargs)  # type: ignore[attr-defined]
        return [values[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No wrapper of Stable-Baselines3 is around a single environment."""
        return [False for _ in self._get_indices(indices)]


def make_vec_env(task: AgentTask, make_encoder: Callable[[Any, bool], Encoder], count: int) -> LearningVecEnv:
    """Environments of a task in processes of their own, with depth.

    Args:
        task: The task.
        make_encoder: Makes the encoder for a robot, and whether the task has a goal.
        count: How many environments.
    """
    env = rendering_workers(task.make_plain, count)
    try:
        robot = env.get_attr("robot")[0]
        has_goal = "goal" in env.single_observation_space.spaces  # type: ignore[attr-defined]
        focal = robot.camera.focal_share
        deep = VectorDepthWrapper(env, lambda: task.make_source(focal), robot)
        return LearningVecEnv(deep, [make_encoder(robot, has_goal) for _ in range(count)], task.env)
    except BaseException:
        env.close()
        raise


def _one(observations: Any, index: int) -> dict[str, Any]:
    return {name: values[index] for name, values in observations.items()}


def _stacked(seen: Iterable[Encoded]) -> dict[str, NDArray[Any]]:
    each = list(seen)
    return {name: np.stack([e[name] for e in each]) for name in each[0]}
