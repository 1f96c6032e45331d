"""The paper's ablation of the memory: the trained fast path with a part of it switched off.

Nothing is trained again for it, so a row says what the trained network owes to the part, and no more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from asyncmde_sim.depth.engines import TorchFastEngine, fast_precision
from asyncmde_sim.depth.images import network_input
from asyncmde_sim.runtime.engines import FastEngine, Image


@dataclass(frozen=True)
class Ablation:
    """A fast path and where its memory comes from.

    Args:
        fast: The fast path.
        own_memory: Gives the memory of an image in place of the slow path.
    """

    fast: FastEngine
    own_memory: Callable[[Image], Any] | None = None

    def refreshed(self, state: Any, memory: Any, image: Image) -> Any:
        """``state`` (None: nothing yet) after a refresh, whose ``memory`` the slow path made of ``image``."""
        return self.fast.refreshed(state, self.own_memory(image) if self.own_memory else memory)


def level1_gate(trust1: Tensor, trust4: Tensor) -> Tensor:
    """Trust of the fine gate alone."""
    return trust1


def level4_gate(trust1: Tensor, trust4: Tensor) -> Tensor:
    """Trust of the coarse gate alone."""
    return trust4


def memory_ablations(fast: TorchFastEngine) -> dict[str, Ablation]:
    """The rows of the paper's table between the fast path alone and all of it."""
    return {
        "own memory": Ablation(fast, lambda image: encoder_memory(fast, image)),
        "gate 1": Ablation(_with_gates(fast, level1_gate)),
        "gate 4": Ablation(_with_gates(fast, level4_gate)),
    }


@torch.inference_mode()
def encoder_memory(fast: TorchFastEngine, image: Image) -> tuple[Tensor, ...]:
    """A memory seeded by the fast path's own encoder."""
    features = fast.model.encoder(network_input(image, fast.size))
    with fast_precision():
        memory = fast.model.smu.project(features, [f.shape[-2:] for f in features])
    return tuple(m.float() for m in memory)


def _with_gates(fast: TorchFastEngine, combine: Callable[[Tensor, Tensor], Tensor]) -> TorchFastEngine:
    model = copy.deepcopy(fast.model)
    model.smu.combine = combine
    return replace(fast, model=model)
