"""The networks under torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.images import network_input
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.precision import cast_once, inference_precision
from asyncmde_sim.depth.slow_path import DepthAnythingSlowPath, SlowPath
from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.depth.weights import load_depth_anything, load_network
from asyncmde_sim.depth.weights_folder import RELATIVE_STAND_IN, is_ours
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines import RelativeEngine
from asyncmde_sim.runtime.engines.weights_engines import WeightsEngines

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
Memory = tuple[Tensor, ...]
CPU = torch.device("cpu")

NO_METRES = (
    "relative depth, which has no metres: use the depth source 'foundation' with align 'floor', 'ranges' or "
    "'odometry', or metric weights (for Depth Anything V2: a Metric-Indoor model)"
)


def _at_image_size(depth: Tensor, image: Image, scale: float) -> Depth:
    """One map (1, h, w) as (H, W) at the image's size, in metres for the image's camera."""
    return (scale * resize(depth[:, None], image.shape[:2])[0, 0]).cpu().numpy()


def _as_memory(features: Sequence[Tensor]) -> Memory:
    """A slow path's features as the memory keeps them, in full precision."""
    return tuple(f.float() for f in features)


def _estimate(
    model: Callable[[Tensor], Tensor],
    image: Image,
    size: tuple[int, int],
    scale: float,
    device: torch.device,
) -> Depth:
    """Depth (H, W) that a network without state gives for one image (H, W, 3)."""
    with inference_precision(device):
        depth = model(network_input(image, size).to(device))
    return _at_image_size(depth.float(), image, scale)


@dataclass(frozen=True)
class TorchSlowEngine:
    """The slow path under torch.

    Args:
        model: A slow path that gives metric depth.
        size: Height and width of its input, pixels.
        scale: Factor on its depth, for a camera of another focal length than it was trained on.
        device: Where the model lies; the memory stays there.
    """

    model: SlowPath
    size: tuple[int, int]
    scale: float = 1.0
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if self.model.decoder.depth_type != "metric":
            raise ValueError(f"this slow path gives {NO_METRES}")

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return _estimate(self.model, image, self.size, self.scale, self.device)

    @torch.inference_mode()
    def memory(self, image: Image) -> Memory:
        """The four feature maps of one image (H, W, 3); nothing is decoded."""
        return _as_memory(self._features(image))

    @torch.inference_mode()
    def depth_and_memory(self, image: Image) -> tuple[Depth, Memory]:
        """What ``run`` and ``memory`` give, for the features computed once."""
        features = self._features(image)
        with inference_precision(self.device):
            depth = self.model.decoder(features, self.size)
        return _at_image_size(depth, image, self.scale), _as_memory(features)

    def _features(self, image: Image) -> list[Tensor]:
        with inference_precision(self.device):
            return self.model.features(network_input(image, self.size).to(self.device))


@dataclass(frozen=True)
class TorchRelativeEngine:
    """A slow path that gives relative depth, under torch; see :class:`TorchSlowEngine`."""

    model: SlowPath
    size: tuple[int, int]
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if self.model.decoder.depth_type != "relative":
            raise ValueError("this slow path gives metric depth, which needs no alignment: leave align out")

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Relative depth (H, W) of one image (H, W, 3), 0 or more, larger is nearer."""
        return _estimate(self.model, image, self.size, 1.0, self.device)


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
    """The fast path under torch; see :class:`TorchSlowEngine`."""

    model: FastPath
    size: tuple[int, int]
    scale: float = 1.0
    device: torch.device = CPU

    @torch.inference_mode()
    def run(self, image: Image, state: MemoryState) -> tuple[Depth, MemoryState, NDArray[np.float32]]:
        """Depth (H, W), the next state and the trust map (h, w) of one image (H, W, 3)."""
        state, trust = self._fuse(image, state)
        with inference_precision(self.device):
            depth = self.model.decoder(state.memory, self.size)
        return _at_image_size(depth, image, self.scale), state, trust[0, 0].float().cpu().numpy()

    @torch.inference_mode()
    def remember(self, image: Image, state: MemoryState) -> MemoryState:
        """The next state alone, for a fraction of the work."""
        return self._fuse(image, state)[0]

    def _fuse(self, image: Image, state: MemoryState) -> tuple[MemoryState, Tensor]:
        present = network_input(image, self.size).to(self.device)
        levels = self.model.encoder(present)  # faster in float32: it is all overhead
        with inference_precision(self.device):
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
    """The fast path without memory under torch; see :class:`TorchSlowEngine`."""

    model: FastPathWithoutMemory
    size: tuple[int, int]
    scale: float = 1.0
    device: torch.device = CPU

    @torch.inference_mode()
    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return _estimate(self.model, image, self.size, self.scale, self.device)


@dataclass(frozen=True)
class TorchEngines(WeightsEngines):
    """The engines of one set of weights under torch, each loaded when first asked for.

    Args:
        weights: See :class:`WeightsEngines`; also (slow path only) the Hugging Face name or folder of a
            transformers Depth Anything model, whose depth is left as it is, or ``relative-stand-in``, see
            :class:`RelativeStandIn`.
        focal: See :class:`WeightsEngines`.
        device: Where they run.
    """

    device: torch.device = CPU

    @cached_property
    def slow(self) -> TorchSlowEngine:
        """The slow path's engine: ours, or a Depth Anything model.

        Raises:
            ValueError: It gives relative depth.
        """
        if self.weights is None or is_ours(self.weights):
            model = load_network("slow", self.folder)
            return TorchSlowEngine(self._placed(model, model), self.size, self.scale, self.device)
        if self.weights == RELATIVE_STAND_IN:
            raise ValueError(f"{RELATIVE_STAND_IN} gives {NO_METRES}")
        model = load_depth_anything(self.weights).to(self.device)
        return TorchSlowEngine(model, _depth_anything_size(model), device=self.device)

    @cached_property
    def relative(self) -> RelativeEngine:
        """The engine of a slow path that gives relative depth: a Depth Anything model, or the stand-in.

        Raises:
            ValueError: It gives metric depth.
        """
        if self.weights == RELATIVE_STAND_IN:
            return RelativeStandIn(TorchEngines(None, self.focal, self.device).slow)
        if self.weights is None or is_ours(self.weights):
            return super().relative
        model = load_depth_anything(self.weights).to(self.device)
        return TorchRelativeEngine(model, _depth_anything_size(model), self.device)

    @cached_property
    def fast(self) -> TorchFastEngine:
        """The fast path's engine."""
        model = load_network("fast", self.folder)
        model = self._placed(model, model.smu, model.decoder)
        return TorchFastEngine(model, self.size, self.scale, self.device)

    @cached_property
    def single(self) -> TorchSingleEngine:
        """The engine of the fast path without memory."""
        model = load_network("fast-only", self.folder)
        return TorchSingleEngine(self._placed(model, model), self.size, self.scale, self.device)

    def _placed(self, model: Any, *halved: nn.Module) -> Any:
        """The model on the device; ``halved`` are the parts that compute in half precision on a CPU."""
        if self.device.type == "cpu":
            cast_once(*halved)
            return model
        return model.to(self.device, memory_format=torch.channels_last)


def _depth_anything_size(model: DepthAnythingSlowPath) -> tuple[int, int]:
    return 12 * model.patch_size, 16 * model.patch_size
