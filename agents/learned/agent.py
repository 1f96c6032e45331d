"""A learned policy as an agent."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from asyncmde_sim.agents.learned.files import load_policy
from asyncmde_sim.agents.learned.folders import find_policy
from asyncmde_sim.agents.learned.network import PolicyNetwork
from asyncmde_sim.agents.learned.view import view_for
from asyncmde_sim.envs.learning import Encoded, Encoder


class LearnedAgent:
    """Acts as its network's mean says. Without a first estimate it is told so, and acts all the same.

    Args:
        network: The policy.
        view: What it sees; it belongs to this agent alone.
    """

    def __init__(self, network: PolicyNetwork, view: Encoder) -> None:
        self._network = network
        self._view = view

    @classmethod
    def load(cls, name_or_folder: str, env: gym.Env[Any, Any]) -> LearnedAgent:
        """That of a policy's folder, or of a policy that comes with the project.

        Raises:
            ValueError: There is no such policy, it is corrupt, or not for this environment.
        """
        network, config = load_policy(find_policy(name_or_folder), env)
        return cls(network, view_for(config.view, env))

    def reset(self, seed: int | None = None) -> None:
        """Forget the last episode; the agent draws nothing."""
        self._view.reset()

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """The action (N,) in [-1, 1] for one observation."""
        return act_on(self._network, self._view.see(observation))


@torch.inference_mode()
def act_on(network: PolicyNetwork, seen: Encoded) -> NDArray[np.float32]:
    """The mean action (N,) in [-1, 1] for what is seen at one step.

    Raises:
        FloatingPointError: The network's answer is not finite.
    """
    action = network({name: torch.from_numpy(value)[None] for name, value in seen.items()})[0].numpy()
    if not np.isfinite(action).all():
        raise FloatingPointError(f"the policy's action is {action.tolist()}: its numbers are not finite")
    return np.clip(action, -1.0, 1.0)
