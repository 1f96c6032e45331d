"""Delayed depth for many environments at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from asyncmde_sim.envs.depth_stream import DepthStream
from asyncmde_sim.runtime.sources import close_source
from asyncmde_sim.runtime.types import DepthSource

TRUTH = "true_depth"
ENDED = ("final_obs", "final_info")
"""Where a vector environment puts the last observation and info of an episode."""

Infos = dict[str, Any]
Told = tuple[Any, dict[str, Any]]
Stepped = tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], Infos]


class SharedTruth(gym.Wrapper):
    """Puts ``info["true_depth"]`` into the observation, which workers hand over in shared memory.

    Args:
        env: An environment without depth; its observation is a Dict with an image.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        inner = env.observation_space
        assert isinstance(inner, spaces.Dict)
        shape = inner["image"].shape[:2]  # type: ignore[index]
        self.observation_space = spaces.Dict(
            {**inner.spaces, TRUTH: spaces.Box(0.0, np.inf, shape, np.float32)}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        return self._shared(*self.env.reset(seed=seed, options=options))

    def step(self, action: Any) -> Any:
        """Step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        observation, info = self._shared(observation, info)
        return observation, reward, terminated, truncated, info

    @staticmethod
    def _shared(observation: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rest = {name: value for name, value in info.items() if name != TRUTH}
        return {**observation, TRUTH: info[TRUTH]}, rest


def rendering_workers(make_env: Callable[[], gym.Env], count: int) -> AsyncVectorEnv:
    """Environments without depth, each in a process of its own, images and true depth in shared memory.

    Args:
        make_env: Makes one; it is sent to the processes.
        count: How many.
    """
    if count < 1:
        raise ValueError(f"the number of environments is {count}, but at least 1 is needed")

    def make() -> gym.Env:
        return SharedTruth(make_env())

    return AsyncVectorEnv([make] * count, context="spawn", autoreset_mode=AutoresetMode.SAME_STEP)


class VectorDepthWrapper(VectorWrapper):
    """``DepthWrapper`` for many environments: what it adds, for each of them.

    Each environment has a source of its own, with its memory, clock, frames in flight and resets, so it gets
    what it would get from the single wrapper, bit for bit. The sources share the networks: the runs of all
    environments go to the threads of the sources' lanes at the same time and use every core, while the
    environments render in their processes. With environments of ``rendering_workers`` the true depth comes
    with the observation; it is moved back to ``info["true_depth"]``.

    Args:
        env: Environments that reset themselves, in the step in which they end or in the next.
        make_source: Makes one source; called for each environment.
        robot: Their robot, see ``DepthStream``.
        **options: Of ``DepthStream``.

    Raises:
        ValueError: The environments do not reset themselves, or have no image.
    """

    def __init__(
        self,
        env: VectorEnv,
        make_source: Callable[[], DepthSource],
        robot: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(env)
        self._mode = env.metadata.get("autoreset_mode")
        if self._mode not in (AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP):
            raise ValueError(
                f"autoreset_mode is {self._mode}, but the depth source must know when an episode starts: "
                "make the environments with AutoresetMode.SAME_STEP or NEXT_STEP"
            )
        single = env.single_observation_space
        if isinstance(single, spaces.Dict):
            single = spaces.Dict({name: space for name, space in single.spaces.items() if name != TRUTH})
        count = env.num_envs
        self._streams = [DepthStream(make_source(), single, robot, **options) for _ in range(count)]
        self.single_observation_space = self._streams[0].space
        self.observation_space = batch_space(self.single_observation_space, count)
        self._threads = ThreadPoolExecutor(count, "depth-stream")
        self._over = np.zeros(count, bool)

    @property
    def sources(self) -> tuple[DepthSource, ...]:
        """The depth sources."""
        return tuple(stream.source for stream in self._streams)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, Infos]:
        """Start an episode in each environment, with ``seed``, ``seed + 1`` ... or the seeds given."""
        observations, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        count = self.num_envs
        seeds = [seed + i for i in range(count)] if isinstance(seed, int) else list(seed or [None] * count)
        self._over = np.zeros(count, bool)

        def begin(i: int) -> Told:
            return self._streams[i].begin(*_told(observations, infos, i), seeds[i])

        return self._joined(list(self._threads.map(begin, range(count))))

    def step(self, actions: Any) -> Stepped:
        """Step all, offer each new frame to its source, and ask each for its newest estimate."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        over = np.logical_or(terminated, truncated)
        same_step = self._mode == AutoresetMode.SAME_STEP
        fresh, self._over = over if same_step else self._over, over

        def follow(i: int) -> Told:
            stream, told = self._streams[i], _told(observations, infos, i)
            if not fresh[i]:
                return stream.follow(*told)
            if not same_step:
                return stream.begin(*told, None)
            final, final_info = stream.follow(
                *_told(infos["final_obs"][i], infos["final_info"], i, alone=True)
            )
            observation, info = stream.begin(*told, None)
            return observation, {"final_obs": final, "final_info": final_info, **info}

        observation, infos = self._joined(list(self._threads.map(follow, range(self.num_envs))))
        return observation, rewards, terminated, truncated, infos

    def close(self, **kwargs: Any) -> None:
        """Close the environments, and the sources that have a device to leave."""
        self._threads.shutdown()
        for source in self.sources:
            close_source(source)
        super().close(**kwargs)

    def _joined(self, told: Sequence[Told]) -> tuple[dict[str, Any], Infos]:
        observation = {name: np.stack([each[name] for each, _ in told]) for name in told[0][0]}
        infos: Infos = {}
        for index, (_, info) in enumerate(told):
            infos = self._add_info(infos, info, index)
        return observation, infos


def _told(observations: Any, infos: Infos, index: int, alone: bool = False) -> Told:
    """Observation and info of one environment; ``alone``: the observation is that environment's already."""
    observation = observations
    if not alone:
        several = isinstance(observations, dict)
        observation = {k: v[index] for k, v in observations.items()} if several else observations[index]
    info = info_of(infos, index)
    if isinstance(observation, dict) and TRUTH in observation:
        observation = dict(observation)
        info[TRUTH] = observation.pop(TRUTH)
    return observation, info


def info_of(infos: Infos, index: int) -> dict[str, Any]:
    """The info of one environment among those that a vector environment gives."""
    there = (n for n in infos if not n.startswith("_") and n not in ENDED and infos[f"_{n}"][index])
    return {name: _value(infos[name], index) for name in there}


def _value(values: Any, index: int) -> Any:
    if isinstance(values, dict):
        return info_of(values, index)
    value = values[index]
    return value.item() if isinstance(value, np.generic) else value
