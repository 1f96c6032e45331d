"""The mirror image of what a ground robot sees and does: left for right."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

ACTION = (1.0, -1.0)
"""Speed stays, yaw rate turns round."""

GOAL, MOTION = (1.0, 1.0, 1.0, -1.0, 1.0), (1.0, -1.0, 1.0, -1.0, 1.0, -1.0)
"""Of the state: distances and direction of the goal; velocity and turning rate in the body frame."""

REST = 5
"""What is left of the state: whether there is depth, three ages, trust."""


@lru_cache(maxsize=4)
def _signs(size: int) -> Tensor:
    signs = (*(GOAL if size == len(GOAL) + len(MOTION) + REST else ()), *MOTION, *(1.0,) * REST)
    return torch.tensor(signs)


def mirrored(seen: dict[str, Tensor], actions: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """A batch of what an encoder of a ground robot gave, and of actions (N, 2), seen in a mirror."""
    turned = {"depth": seen["depth"].flip(-1), "state": seen["state"] * _signs(seen["state"].shape[1])}
    if "around" in seen:
        turned["around"] = seen["around"].flip(-1).roll(1, -1)
    return turned, actions * torch.tensor(ACTION)
