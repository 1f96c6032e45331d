"""The asynchronous source with a part of it switched off, or taken from elsewhere.

Nothing is trained again for it, so a row says what the trained network owes to the part, and no more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from asyncmde_sim.depth.images import network_input
from asyncmde_sim.depth.precision import inference_precision
from asyncmde_sim.runtime.async_sources import AsyncOdometrySource, AsyncSource
from asyncmde_sim.runtime.engines import Engines, FastEngine, Image, SingleEngine, SlowEngine
from asyncmde_sim.runtime.engines.torch_engine import Memory, TorchEngines, TorchFastEngine, TorchSlowEngine
from asyncmde_sim.runtime.latency import load_profile
from asyncmde_sim.runtime.refresh import RefreshPolicy

Variant = Callable[[RefreshPolicy], AsyncSource]
"""Makes a source that takes no time."""


@dataclass(frozen=True)
class ChosenEngines:
    """Engines put together by hand."""

    slow: SlowEngine
    fast: FastEngine
    single: SingleEngine


@dataclass(frozen=True, kw_only=True)
class EncoderSeededEngine(TorchSlowEngine):
    """A slow path whose memory the encoder of the fast path makes."""

    fast: TorchFastEngine

    def memory(self, image: Image) -> Memory:
        """The encoder's features of one image."""
        return encoder_memory(self.fast, image)


def level1_gate(trust1: Tensor, trust4: Tensor) -> Tensor:
    """Trust of the fine gate alone."""
    return trust1


def level4_gate(trust1: Tensor, trust4: Tensor) -> Tensor:
    """Trust of the coarse gate alone."""
    return trust4


def asynchronous_sources(engines: Engines) -> dict[str, Variant]:
    """The paper's system, and ours that knows how the camera moves."""
    ideal = load_profile("ideal")
    return {
        "async": partial(AsyncSource, engines, ideal),
        "async-odometry": partial(AsyncOdometrySource, engines, ideal),
    }


def ablations(engines: TorchEngines) -> dict[str, Variant]:
    """The rows of the paper's table between the fast path alone and all of it, and the two parts of ours."""
    slow, fast, single, ideal = engines.slow, engines.fast, engines.single, load_profile("ideal")
    seeded = EncoderSeededEngine(slow.model, slow.size, slow.scale, slow.device, fast=fast)
    gates = {"gate 1": level1_gate, "gate 4": level4_gate}
    return {
        "own memory": partial(AsyncSource, ChosenEngines(seeded, fast, single), ideal),
        **{
            name: partial(AsyncSource, ChosenEngines(slow, with_gates(fast, combine), single), ideal)
            for name, combine in gates.items()
        },
        "turned memory": partial(AsyncOdometrySource, engines, ideal, carry=False),
        "carried depth": partial(AsyncOdometrySource, engines, ideal, turn=False),
    }


@torch.inference_mode()
def encoder_memory(fast: TorchFastEngine, image: Image) -> Memory:
    """A memory seeded by the fast path's own encoder."""
    features = fast.model.encoder(network_input(image, fast.size).to(fast.device))
    with inference_precision(fast.device):
        memory = fast.model.smu.project(features)
    return tuple(m.float() for m in memory)


def with_gates(fast: TorchFastEngine, combine: Callable[[Tensor, Tensor], Tensor]) -> TorchFastEngine:
    """A copy of the engine whose two gates are combined in another way."""
    model = copy.deepcopy(fast.model)
    model.smu.combine = combine
    return replace(fast, model=model)
