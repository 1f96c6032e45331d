"""Where the time of a closed loop goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from asyncmde_sim.envs.depth_stream import DepthStream
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.rollout import prepare
from asyncmde_sim.runtime.engines import load_engines


@dataclass
class Clocked:
    """Calls of one function and the time that they took, in whatever threads."""

    seconds: list[float] = field(default_factory=list)

    @property
    def total_s(self) -> float:
        """Of all calls."""
        return sum(self.seconds)


@dataclass(frozen=True)
class LoopTimes:
    """What ``time_loop`` measured.

    Args:
        steps: Control steps.
        wall_s: Their time, agent included.
        parts: By name; the depth networks run in threads of their own while the rest goes on.
    """

    steps: int
    wall_s: float
    parts: Mapping[str, Clocked]


@contextmanager
def clocked(functions: Mapping[str, tuple[type, str]]) -> Iterator[dict[str, Clocked]]:
    """While the context lasts, note how long each call of some methods takes.

    Args:
        functions: For each name a class and the name of its method.
    """
    parts = {name: Clocked() for name in functions}

    def wrapped(method: Any, part: Clocked) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                part.seconds.append(time.perf_counter() - start)

        return call

    with ExitStack() as stack:
        for name, (owner, attribute) in functions.items():
            method = getattr(owner, attribute)
            stack.enter_context(patch.object(owner, attribute, wrapped(method, parts[name])))
        yield parts


def time_loop(config: RolloutConfig, steps: int) -> LoopTimes:
    """Run control steps as a rollout does, and time their parts. The first episode's reset does not count.

    Args:
        config: The rollout; its agent steers, and an episode that ends is followed by the next.
        steps: How many.
    """
    rollout = prepare(config, config.seed)
    env, agent = rollout.env, rollout.agent
    functions: dict[str, tuple[type, str]] = {
        "render": (type(env.unwrapped.backend), "render"),  # type: ignore[attr-defined]
        "agent": (type(agent), "act"),
        "scores": (DepthStream, "_depth_info"),
    }
    if config.depth not in ("oracle", "blind"):
        engines = load_engines(config.weights, None, config.engine)
        functions["fast path"] = type(engines.fast), "run"
        functions["slow path"] = type(engines.slow), "memory"
    observation, _ = rollout.first
    agent.reset(seed=config.seed)
    wall_s, episode = 0.0, config.seed
    with clocked(functions) as parts:
        for _ in range(steps):
            start = time.perf_counter()
            observation, _, terminated, truncated, _ = env.step(agent.act(observation))
            wall_s += time.perf_counter() - start
            if terminated or truncated:
                episode += 1
                observation, _ = env.reset(seed=episode)
                agent.reset(seed=episode)
    env.close()
    return LoopTimes(steps, wall_s, parts)
