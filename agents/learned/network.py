"""The network of a learned policy."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor, nn

from asyncmde_sim.agents.learned.view import CHANNELS

FEATURES = 128


class Torso(nn.Module):
    """What is learned from, as one vector: depth and memory through convolutions, joined by the state.

    Args:
        space: Of an encoder: ``depth``, ``state``, with a memory of the floor ``around``, and ``route``.
    """

    def __init__(self, space: spaces.Dict) -> None:
        super().__init__()
        frames, height, width = space["depth"].shape  # type: ignore[misc]
        (size,) = space["state"].shape  # type: ignore[misc]
        self.depth = nn.Sequential(
            nn.Conv2d(frames, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * -(-height // 16) * -(-width // 16), FEATURES // 2),
            nn.ReLU(),
        )
        self.around: nn.Module | None = None
        joined = FEATURES // 2 + size
        if "around" in space.spaces:
            directions = space["around"].shape[0] // CHANNELS  # type: ignore[index]
            self.around = nn.Sequential(
                nn.Conv1d(CHANNELS, 32, 5, padding=2, padding_mode="circular"),
                nn.ReLU(),
                nn.Conv1d(32, 32, 5, 2, padding=2, padding_mode="circular"),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * -(-directions // 2), FEATURES),
                nn.ReLU(),
            )
            joined += FEATURES
        if "route" in space.spaces:
            joined += space["route"].shape[0]  # type: ignore[index]
        self.join = nn.Sequential(
            nn.Linear(joined, 2 * FEATURES), nn.ReLU(), nn.Linear(2 * FEATURES, FEATURES), nn.ReLU()
        )

    def forward(self, seen: dict[str, Tensor]) -> Tensor:
        """Features (N, 128) of a batch; ``depth`` is in [0, 255]."""
        parts = [self.depth(seen["depth"].float() / 255), seen["state"]]
        if self.around is not None:
            parts.append(self.around(seen["around"].unflatten(1, (CHANNELS, -1))))
        if "route" in seen:
            parts.append(seen["route"])
        return self.join(torch.cat(parts, dim=1))


class PolicyNetwork(nn.Module):
    """Mean action, value and the deviation of the actions around the mean.

    Args:
        space: See ``Torso``.
        actions: How many numbers an action has.
    """

    def __init__(self, space: spaces.Dict, actions: int) -> None:
        super().__init__()
        self.torso = Torso(space)
        self.action = nn.Linear(FEATURES, actions)
        self.value = nn.Linear(FEATURES, 1)
        self.log_std = nn.Parameter(torch.full((actions,), -1.0))

    def forward(self, seen: dict[str, Tensor]) -> Tensor:
        """Mean actions (N, actions) of a batch; they are clipped to [-1, 1] where they are used."""
        mean: Tensor = self.action(self.torso(seen))
        return mean
