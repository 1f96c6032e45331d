"""A policy as a folder: its network as safetensors, and what it is for as JSON. Nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from asyncmde_sim.agents.learned.folders import CONFIG_FILE, NETWORK_FILE
from asyncmde_sim.agents.learned.network import PolicyNetwork
from asyncmde_sim.agents.learned.view import view_for
from asyncmde_sim.envs.learning import ViewConfig
from asyncmde_sim.files import write_whole

FORMAT = "asyncmde-sim policy"


@dataclass(frozen=True)
class PolicyConfig:
    """What a policy is for.

    Args:
        robot: Name of the robot that it steers.
        actions: How many numbers an action has.
        has_goal: Whether its task has a goal.
        view: What it sees.
        training: How it came about: environment, depth, device, steps; for the reader alone.
    """

    robot: str
    actions: int
    has_goal: bool
    view: ViewConfig
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def for_env(
        cls, env: gym.Env[Any, Any], view: ViewConfig, training: Mapping[str, Any] | None = None
    ) -> PolicyConfig:
        """That of a policy for an environment with the depth wrapper."""
        plain: Any = env.unwrapped
        has_goal = "goal" in env.observation_space.spaces  # type: ignore[attr-defined]
        return cls(plain.robot.name, int(env.action_space.shape[0]), has_goal, view, training or {})  # type: ignore[index]

    def check(self, env: gym.Env[Any, Any], name: str) -> None:
        """Check that the policy can steer in an environment with the depth wrapper.

        Raises:
            ValueError: It cannot; the message says what differs.
        """
        there = self.for_env(env, self.view)
        for what, mine, its in (
            ("the robot", self.robot, there.robot),
            ("actions of size", self.actions, there.actions),
            ("a task with a goal:", self.has_goal, there.has_goal),
        ):
            if mine != its:
                raise ValueError(
                    f"the policy {name} is for {what} {mine}, but the environment has {its}: choose an "
                    f"environment like {self.training.get('env', 'the one it was trained in')}, or another "
                    "policy"
                )


def new_network(env: gym.Env[Any, Any], view: ViewConfig, seed: int) -> PolicyNetwork:
    """An untrained policy for an environment with the depth wrapper."""
    torch.manual_seed(seed)
    return PolicyNetwork(view_for(view, env).space, int(env.action_space.shape[0]))  # type: ignore[index]


def save_policy(network: PolicyNetwork, config: PolicyConfig, folder: Path) -> None:
    """Write a policy, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    write_whole(folder / NETWORK_FILE, partial(save_file, tensors))
    text = json.dumps({"format": FORMAT, **asdict(config)}, indent=2) + "\n"
    write_whole(folder / CONFIG_FILE, lambda path: path.write_text(text, encoding="utf-8"))


def read_config(folder: Path) -> PolicyConfig:
    """What a policy is for.

    Raises:
        ValueError: The file is none of ours.
    """
    path = folder / CONFIG_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        return PolicyConfig(**{**found, "view": ViewConfig(**found["view"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no policy ({error}): train it again") from error


def load_policy(folder: Path, env: gym.Env[Any, Any]) -> tuple[PolicyNetwork, PolicyConfig]:
    """A policy for an environment with the depth wrapper.

    Raises:
        ValueError: The files are corrupt, or the policy is for another robot, task or view.
    """
    config = read_config(folder)
    config.check(env, str(folder))
    space = view_for(config.view, env).space
    return load_network(folder, space, config.actions), config


def load_network(folder: Path, space: spaces.Dict, actions: int) -> PolicyNetwork:
    """The network of a policy.

    Raises:
        ValueError: The file cannot be read, is of another network or holds numbers that are not finite.
    """
    path = folder / NETWORK_FILE
    network = PolicyNetwork(space, actions)
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors' errors have no common class
        raise ValueError(f"{path} cannot be read ({error}): train the policy again") from error
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{path} has {name} of shape {found.get(name)}, but what the policy sees needs "
                f"{expected.get(name)}: it is of another policy"
            )
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{path} has numbers in {name} that are not finite: train the policy again")
    network.load_state_dict(tensors)
    return network.eval()
