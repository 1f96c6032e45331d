"""Runs episodes of one agent in one environment and keeps what happened."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import pyarrow as pa

from asyncmde_sim.agents import Agent, agent_for, usual_agent
from asyncmde_sim.evaluation.config import EpisodeConfig
from asyncmde_sim.evaluation.records import (
    EPISODE_SCHEMA,
    STEP_SCHEMA,
    Row,
    episode_row,
    step_row,
    summarise,
)
from asyncmde_sim.runtime.types import DepthSource
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.habitat.client import WorkerLostError

Observation = dict[str, Any]
Info = dict[str, Any]


class Watcher(Protocol):
    """Follows a rollout: progress, video, recording."""

    def begin(self, episode: int, observation: Observation, info: Info) -> None:
        """An episode was reset."""
        ...

    def step(self, observation: Observation, info: Info, row: Row) -> None:
        """A step was taken."""
        ...

    def end(self, row: Row) -> None:
        """The episode ended; ``row`` is its row of the episode table."""
        ...

    def close(self) -> None:
        """The rollout is over, maybe in the middle of an episode."""
        ...


@dataclass
class Rollout:
    """An environment and an agent, ready for the first step.

    Args:
        env: Environment with the depth wrapper.
        agent_name: Who steers ...
        agent: ... and the agent itself.
        first: Observation and info of the first episode's reset.
        restart: Whether the environment goes on with the next episode when its renderer's process dies.
    """

    env: gym.Env[Any, Any]
    agent_name: str
    agent: Agent
    first: tuple[Observation, Info]
    restart: bool = False

    @property
    def source(self) -> DepthSource:
        """The depth source."""
        source: DepthSource = self.env.get_wrapper_attr("source")
        return source


@dataclass
class Results:
    """The finished episodes of a rollout so far, and the host time that its steps took."""

    episode_rows: list[Row] = field(default_factory=list)
    step_tables: list[pa.Table] = field(default_factory=list)
    steps_taken: int = 0
    stepping_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    """What ended the episodes that the renderer's process did not survive; the tables leave them out."""

    @property
    def episodes(self) -> pa.Table:
        """Table of the finished episodes."""
        return pa.Table.from_pylist(self.episode_rows, EPISODE_SCHEMA)

    @property
    def steps(self) -> pa.Table:
        """Table of the finished episodes' steps."""
        return pa.concat_tables([STEP_SCHEMA.empty_table(), *self.step_tables]).combine_chunks()

    @property
    def steps_per_s(self) -> float | None:
        """Environment steps per second of host time inside ``env.step``, unfinished episodes included."""
        return self.steps_taken / self.stepping_s if self.stepping_s > 0 else None

    def summary(self) -> dict[str, Any]:
        """See ``records.summarise``."""
        return summarise(self.episodes, self.steps, self.steps_per_s)


def resized_camera(env: str, image_size: tuple[int, int], backend: str = "raycast") -> Camera:
    """The camera that an environment's robot has, with images of another width and height."""
    plain = gym.make(env, depth=None, backend=backend, disable_env_checker=True)
    camera = plain.unwrapped.robot.camera  # type: ignore[attr-defined]
    plain.close()
    width, height = image_size
    return dataclasses.replace(camera, width=width, height=height)


def make_environment(config: EpisodeConfig) -> gym.Env[Any, Any]:
    """The environment of a config, with the depth wrapper; networks and scenes are loaded by its ``reset``.

    Raises:
        ValueError: An option is wrong; the message says what would be right.
        OSError: A file is missing or cannot be read.
    """
    options = config.environment_options()
    if config.image_size is not None:
        options["camera"] = resized_camera(config.env, config.image_size, config.backend)
    return gym.make(config.env, disable_env_checker=True, **options)


def prepare(config: EpisodeConfig, seed: int) -> Rollout:
    """Make everything and reset the first episode, so that whatever is wrong shows before the first step.

    Raises:
        ValueError: An option or a file's content is wrong; the message says what would be right.
        OSError: A file is missing or cannot be read.
    """
    env = make_environment(config)
    name = config.agent or usual_agent(env)
    return Rollout(env, name, agent_for(env, name), env.reset(seed=seed), config.restart)


def run(
    rollout: Rollout,
    episodes: int,
    seed: int,
    results: Results,
    watchers: Sequence[Watcher] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run the episodes into ``results``, which holds the finished ones however this ends.

    Args:
        rollout: What ``prepare`` made; its first reset used ``seed``.
        episodes: How many.
        seed: Episode i is reset with ``seed + i``.
        results: Filled with each episode as it ends.
        watchers: Are told of everything; ``close`` is called even after an error.
        should_stop: Asked after each step; when true, the episode is given up and nothing follows.

    Raises:
        WorkerLostError: The renderer's process died, and the environment may not start another one.
    """
    try:
        for episode in range(episodes):
            try:
                fresh = rollout.env.reset(seed=seed + episode) if episode else rollout.first
                if should_stop() or not run_episode(
                    rollout, fresh, episode, seed + episode, results, watchers, should_stop
                ):
                    return
            except WorkerLostError as error:
                if not rollout.restart:
                    raise
                results.lost.append(f"episode {episode + 1}: {error}")
    finally:
        for watcher in watchers:
            watcher.close()


def run_episode(
    rollout: Rollout,
    fresh: tuple[Observation, Info],
    episode: int,
    seed: int,
    results: Results,
    watchers: Sequence[Watcher] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run one episode into ``results``; true unless it was given up.

    Args:
        rollout: Environment and agent.
        fresh: Observation and info of the environment's reset with ``seed``.
        episode: The episode's number in the tables.
        seed: See above.
        results: Gets the episode when it ends.
        watchers: Are told of it.
        should_stop: See ``run``.
    """
    env, agent = rollout.env, rollout.agent
    observation, info = fresh
    agent.reset(seed=seed)
    for watcher in watchers:
        watcher.begin(episode, observation, info)
    rows: list[Row] = []
    done = False
    while not done:
        action = agent.act(observation)
        started = time.perf_counter()
        observation, reward, terminated, truncated, info = env.step(action)
        results.stepping_s += time.perf_counter() - started
        results.steps_taken += 1
        row = step_row(episode, len(rows) + 1, observation, action.tolist(), float(reward), info)
        rows.append(row)
        for watcher in watchers:
            watcher.step(observation, info, row)
        done = terminated or truncated
        if should_stop() and not done:
            return False
    scene = env.unwrapped.backend.name  # type: ignore[attr-defined]
    finished = episode_row(episode, seed, scene, rows, info["episode_metrics"])
    results.episode_rows.append(finished)
    results.step_tables.append(pa.Table.from_pylist(rows, STEP_SCHEMA))
    for watcher in watchers:
        watcher.end(finished)
    return True
