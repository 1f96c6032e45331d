"""The networks as the runtime calls them: uint8 image in, depth in metres at the image's size out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.images import network_input
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.slow_path import DepthAnythingSlowPath, SlowPath
from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.depth.weights import (
    DEFAULT_WEIGHTS,
    RELATIVE_STAND_IN,
    WeightsConfig,
    find_weights,
    is_ours,
    load_depth_anything,
    load_network,
    read_config,
)
from asyncmde_sim.intrinsics import Intrinsics

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
Memory = tuple[Tensor, ...]

NO_METRES = (
    "relative depth, which has no metres: use the depth source 'foundation' with align 'floor', 'ranges' or "
    "'odometry', or metric weights (for Depth Anything V2: a Metric-Indoor model)"
)


def fast_precision() -> torch.autocast:
    """bfloat16 for convolutions on processors that compute in it, where it halves their time; else float32.

    It changes depth by about 0.3 % (median; the last layer stays in float32, see ``DPTDecoder``).
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=_computes_in_bfloat16())


@lru_cache
def _computes_in_bfloat16() -> bool:
    """Whether the processor does; an older torch, which cannot tell, stays in float32."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def cast_once(*modules: nn.Module) -> None:
    """Keep the weights that ``fast_precision`` would cast at every call in bfloat16; no result changes."""
    if not _computes_in_bfloat16():
        return
    for module in modules:
        for layer in module.modules():
            if type(layer) is nn.Conv2d:  # a subclass has a precision of its own
                layer.to(torch.bfloat16)


def _at_image_size(depth: Tensor, image: Image, scale: float) -> Depth:
    """One map (1, h, w) as (H, W) at the image's size, in metres for the image's camera."""
    return (scale * resize(depth[:, None], image.shape[:2])[0, 0]).numpy()


def _as_memory(features: Sequence[Tensor]) -> Memory:
    """A slow path's features as the memory keeps them, in full precision."""
    return tuple(f.float() for f in features)


def _estimate(model: Callable[[Tensor], Tensor], image: Image, size: tuple[int, int], scale: float) -> Depth:
    """Depth (H, W) that a network without state gives for one image (H, W, 3)."""
    with fast_precision():
        depth = model(network_input(image, size))
    return _at_image_size(depth, image, scale)


@dataclass(frozen=True)
class TorchSlowEngine:
    """The slow path under torch on the CPU.

    Args:
        model: A slow path that gives metric depth.
        size: Height and width of its input, pixels.
        scale: Factor on its depth, for a camera of another focal length than it was trained on.
    """

    model: SlowPath
    size: tuple[int, int]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.model.decoder.depth_type != "metric":
            raise ValueError(f"this slow path gives {NO_METRES}")

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return _estimate(self.model, image, self.size, self.scale)

    @torch.inference_mode()
    def memory(self, image: Image) -> Memory:
        """The four feature maps of one image (H, W, 3); nothing is decoded."""
        return _as_memory(self._features(image))

    @torch.inference_mode()
    def depth_and_memory(self, image: Image) -> tuple[Depth, Memory]:
        """What ``run`` and ``memory`` give, for the features computed once."""
        features = self._features(image)
        with fast_precision():
            depth = self.model.decoder(features, self.size)
        return _at_image_size(depth, image, self.scale), _as_memory(features)

    def _features(self, image: Image) -> list[Tensor]:
        with fast_precision():
            return self.model.features(network_input(image, self.size))


@dataclass(frozen=True)
class TorchRelativeEngine:
    """A slow path that gives relative depth, under torch on the CPU; see :class:`TorchSlowEngine`."""

    model: SlowPath
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.model.decoder.depth_type != "relative":
            raise ValueError("this slow path gives metric depth, which needs no alignment: leave align out")

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Relative depth (H, W) of one image (H, W, 3), 0 or more, larger is nearer."""
        return _estimate(self.model, image, self.size, scale=1.0)


@dataclass(frozen=True)
class RelativeStandIn:
    """A metric slow path whose scale and shift are thrown away in each frame.

    It stands in for a relative model where there is none: the same ambiguity, but our own networks' errors.
    """

    metric: TorchSlowEngine

    def run(self, image: Image) -> Depth:
        """Inverse depth (H, W), 0 at the farthest pixel of the image and 1 at the nearest."""
        inverse = 1 / self.metric.run(image)
        return (inverse - inverse.min()) / max(float(np.ptp(inverse)), 1e-6)


@dataclass(frozen=True)
class TorchFastEngine:
    """The fast path under torch on the CPU; see :class:`TorchSlowEngine`."""

    model: FastPath
    size: tuple[int, int]
    scale: float = 1.0

    @torch.inference_mode()
    def run(self, image: Image, state: MemoryState) -> tuple[Depth, MemoryState, NDArray[np.float32]]:
        """Depth (H, W), the next state and the trust map (h, w) of one image (H, W, 3)."""
        state, trust = self._fuse(image, state)
        with fast_precision():
            depth = self.model.decoder(state.memory, self.size)
        return _at_image_size(depth, image, self.scale), state, trust[0, 0].float().numpy()

    @torch.inference_mode()
    def remember(self, image: Image, state: MemoryState) -> MemoryState:
        """The next state alone, for a fraction of the work."""
        return self._fuse(image, state)[0]

    def _fuse(self, image: Image, state: MemoryState) -> tuple[MemoryState, Tensor]:
        levels = self.model.encoder(network_input(image, self.size))  # faster in float32: it is all overhead
        with fast_precision():
            return self.model.smu(levels, state)

    @staticmethod
    def refreshed(state: MemoryState | None, memory: Memory) -> MemoryState:
        """The state with its memory overwritten; ``state`` is None before the first refresh."""
        return MemoryState(memory) if state is None else state.refreshed(memory)

    @staticmethod
    @torch.inference_mode()
    def turned(state: MemoryState, rotation: NDArray[np.float64], camera: Intrinsics) -> MemoryState:
        """The state after the camera has turned by a rotation (3, 3); see :class:`Turn`."""
        return state.turned(Turn(torch.from_numpy(rotation)[None], camera))

    @staticmethod
    @torch.inference_mode()
    def turned_memory(memory: Memory, rotation: NDArray[np.float64], camera: Intrinsics) -> Memory:
        """The same for a memory that is not yet in the state."""
        turn = Turn(torch.from_numpy(rotation)[None], camera)
        return tuple(turn(m) for m in memory)


@dataclass(frozen=True)
class TorchSingleEngine:
    """The fast path without memory under torch on the CPU; see :class:`TorchSlowEngine`."""

    model: FastPathWithoutMemory
    size: tuple[int, int]
    scale: float = 1.0

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return _estimate(self.model, image, self.size, self.scale)


@dataclass(frozen=True)
class Engines:
    """The engines of one set of weights, each loaded when first asked for.

    Args:
        weights: Name of shipped weights, a folder of ours, or (slow path only) the Hugging Face name or
            folder of a transformers Depth Anything model; None is the default weights. The name
            ``relative-stand-in`` is a slow path alone, see :class:`RelativeStandIn`.
        focal: Focal length of the camera whose images they see, as a share of the image's width; None is
            that of our weights. A thing looks as large at twice the distance through twice the focal length,
            so the depth of our networks is scaled by the ratio (Metric3D, arXiv 2307.10984, its canonical
            camera). A Depth Anything model is left as it is.

    Raises:
        ValueError: ``focal`` is not positive.
    """

    weights: str | None
    focal: float | None = None

    def __post_init__(self) -> None:
        if self.focal is not None and not (math.isfinite(self.focal) and self.focal > 0):
            raise ValueError(f"focal is {self.focal} of the image's width, but it must be positive")

    @cached_property
    def folder(self) -> Path:
        """The folder of our weights.

        Raises:
            FileNotFoundError: There is none.
            ValueError: The weights are not ours, so they have no fast path.
        """
        foreign = self.weights is not None and not is_ours(self.weights) and Path(self.weights).is_dir()
        if foreign or self.weights == RELATIVE_STAND_IN:
            raise ValueError(
                f"{self.weights} is a slow path alone: a fast path must be trained for it before "
                "'async' or 'fast' can use it"
            )
        return find_weights(self.weights)

    @cached_property
    def config(self) -> WeightsConfig:
        """What our weights were made for."""
        return read_config(self.folder)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input of our networks, pixels."""
        return self.config.height, self.config.width

    @property
    def scale(self) -> float:
        """Factor on the depth of our networks."""
        return 1.0 if self.focal is None else self.focal / self.config.focal

    @cached_property
    def slow(self) -> TorchSlowEngine:
        """The slow path's engine: ours, or a Depth Anything model.

        Raises:
            ValueError: It gives relative depth.
        """
        if self.weights is None or is_ours(self.weights):
            model = load_network("slow", self.folder)
            cast_once(model)
            return TorchSlowEngine(model, self.size, self.scale)
        if self.weights == RELATIVE_STAND_IN:
            raise ValueError(f"{RELATIVE_STAND_IN} gives {NO_METRES}")
        model = load_depth_anything(self.weights)
        return TorchSlowEngine(model, _depth_anything_size(model))

    @cached_property
    def relative(self) -> TorchRelativeEngine | RelativeStandIn:
        """The engine of a slow path that gives relative depth: a Depth Anything model, or the stand-in.

        Raises:
            ValueError: It gives metric depth.
        """
        if self.weights == RELATIVE_STAND_IN:
            return RelativeStandIn(load_engines(None, self.focal).slow)
        if self.weights is None or is_ours(self.weights):
            raise ValueError(
                f"the weights {self.weights or DEFAULT_WEIGHTS!r} give metric depth, which needs no "
                "alignment: leave align out, or use the weights of a relative Depth Anything model"
            )
        model = load_depth_anything(self.weights)
        return TorchRelativeEngine(model, _depth_anything_size(model))

    @cached_property
    def fast(self) -> TorchFastEngine:
        """The fast path's engine."""
        model = load_network("fast", self.folder)
        cast_once(model.smu, model.decoder)
        return TorchFastEngine(model, self.size, self.scale)

    @cached_property
    def single(self) -> TorchSingleEngine:
        """The engine of the fast path without memory."""
        model = load_network("fast-only", self.folder)
        cast_once(model)
        return TorchSingleEngine(model, self.size, self.scale)


def _depth_anything_size(model: DepthAnythingSlowPath) -> tuple[int, int]:
    return 12 * model.patch_size, 16 * model.patch_size


load_engines = lru_cache(maxsize=4)(Engines)
"""The engines of a set of weights for a camera, kept for the process."""
