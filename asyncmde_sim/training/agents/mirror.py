"""The mirror image of what a ground robot sees and does: left for right."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from asyncmde_sim.agents.learned.view import CHANNELS

ACTION = (1.0, -1.0)
"""Speed stays, yaw rate turns round."""

GOAL, MOTION = (1.0, 1.0, 1.0, -1.0, 1.0), (1.0, -1.0, 1.0, -1.0, 1.0, -1.0)
"""Of the state: distances and direction of the goal; velocity and turning rate in the body frame."""

REST = 5
"""What is left of the state: whether there is depth, three ages, trust."""

ROUTE = (1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0)
"""Cosine and sine of three directions, and a length."""


@lru_cache(maxsize=4)
def _signs(size: int) -> Tensor:
    signs = (*(GOAL if size == len(GOAL) + len(MOTION) + REST else ()), *MOTION, *(1.0,) * REST)
    return torch.tensor(signs)


def mirrored(seen: dict[str, Tensor], actions: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """A batch of what an encoder of a ground robot gave, and of actions (N, 2), seen in a mirror."""
    turned = {"depth": seen["depth"].flip(-1), "state": seen["state"] * _signs(seen["state"].shape[1])}
    if "around" in seen:
        around = seen["around"].unflatten(1, (CHANNELS, -1))
        turned["around"] = around.flip(-1).roll(1, -1).flatten(1)
    if "route" in seen:
        turned["route"] = seen["route"] * torch.tensor(ROUTE)
    return turned, actions * torch.tensor(ACTION)
