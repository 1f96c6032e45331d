"""What an agent is trained in: an environment, its depth source, and what is randomised about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

import asyncmde_sim  # noqa: F401  registers the environments
from asyncmde_sim.agents.learned.view import view_for
from asyncmde_sim.envs.depth_wrapper import DepthWrapper
from asyncmde_sim.envs.learning import LearningWrapper, ViewConfig
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.randomised import Randomisation, RandomisedSource
from asyncmde_sim.runtime.types import DepthSource

Options = tuple[tuple[str, Any], ...]


def frozen(options: dict[str, Any]) -> Options:
    """Keyword arguments that can be hashed, without those that are None."""
    return tuple(sorted((name, value) for name, value in options.items() if value is not None))


@dataclass(frozen=True)
class AgentTask:
    """An environment and a depth source, by name.

    Args:
        env: The environment's id.
        scene: Keyword arguments of the plain environment, see ``frozen``.
        source: Keyword arguments of ``make_source``, but for the focal length.
        randomise: What differs between episodes.
    """

    env: str
    scene: Options
    source: Options
    randomise: Randomisation = field(default_factory=Randomisation)

    def make_plain(self) -> gym.Env[Any, Any]:
        """The environment without depth."""
        return gym.make(self.env, depth=None, disable_env_checker=True, **dict(self.scene))

    def make_source(self, focal: float) -> DepthSource:
        """The depth source for a camera with this focal length, as a share of the image's width."""
        source = make_source(**dict(self.source), focal=focal)
        return RandomisedSource(source, self.randomise) if self.randomise.any else source

    def make(self) -> gym.Env[Any, Any]:
        """The environment with the depth wrapper."""
        env = self.make_plain()
        camera = env.unwrapped.robot.camera  # type: ignore[attr-defined]
        return DepthWrapper(env, self.make_source(camera.focal_share))

    def make_learning(self, view: ViewConfig) -> LearningWrapper:
        """The same as a learned agent sees it."""
        env = self.make()
        return LearningWrapper(env, view_for(view, env))
