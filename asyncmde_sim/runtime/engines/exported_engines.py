"""The engines over exported networks: what any library that runs them has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines.onnx_file import LEVELS, ExportedNetwork
from asyncmde_sim.runtime.engines.resampling import at_image_size, network_input
from asyncmde_sim.runtime.engines.spec import EngineSpec
from asyncmde_sim.runtime.engines.turning import TurnedGrid
from asyncmde_sim.runtime.engines.weights_engines import WeightsEngines

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
FloatArray = NDArray[np.float32]
Memory = tuple[Any, ...]


class Network(Protocol):
    """An exported network. Its arrays lie where it computes."""

    def __call__(self, **inputs: Any) -> list[Any]:
        """The outputs, in the order of ``onnx_file.OUTPUTS``."""
        ...

    def load(self, array: FloatArray) -> Any:
        """An array of the host as an input."""
        ...

    def fetch(self, array: Any) -> FloatArray:
        """An output as an array of the host."""
        ...


@dataclass(frozen=True)
class ExportedState:
    """All that the fast path carries from frame to frame; see ``depth.memory.MemoryState``.

    Args:
        memory: Four maps (1, 128, h, w) float32, finest first, where the network keeps them.
        trust: The smoothed trust map (1, 1, h, w) of level 1, None before the first frame.
        previous: Projected features of the last frame at levels 1 and 4, None before the first.
    """

    memory: Memory
    trust: Any = None
    previous: tuple[Any, Any] | None = None


@dataclass(frozen=True)
class ExportedSlowEngine:
    """The slow path.

    Args:
        features: Image to memory.
        decoder: Memory to depth.
        size: Height and width of the input, pixels.
        scale: Factor on the depth, for a camera of another focal length than the weights were trained on.
    """

    features: Network
    decoder: Network
    size: tuple[int, int]
    scale: float

    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return self.depth_and_memory(image)[0]

    def memory(self, image: Image) -> Memory:
        """The four feature maps of one image (H, W, 3); nothing is decoded."""
        return tuple(self.features(image=self.features.load(network_input(image, self.size))))

    def depth_and_memory(self, image: Image) -> tuple[Depth, Memory]:
        """What ``run`` and ``memory`` give, for the features computed once."""
        memory = self.memory(image)
        (depth,) = self.decoder(**named_memory(memory))
        return at_image_size(self.decoder.fetch(depth), image, self.scale), memory


@dataclass(frozen=True)
class ExportedFastEngine:
    """The fast path; see :class:`ExportedSlowEngine`."""

    step: Network
    size: tuple[int, int]
    scale: float

    def run(self, image: Image, state: ExportedState) -> tuple[Depth, ExportedState, FloatArray]:
        """Depth (H, W), the next state and the trust map (h, w) of one image (H, W, 3)."""
        present = self.step.load(network_input(image, self.size))
        if state.trust is None or state.previous is None:
            state = self._before_first(present, state.memory)
        depth, state, trust = self._step(present, state)
        depth, trust = self.step.fetch(depth), self.step.fetch(trust)
        return at_image_size(depth, image, self.scale), state, trust[0, 0]

    def remember(self, image: Image, state: ExportedState) -> ExportedState:
        """The next state alone. The file holds the decoder, too, so this takes as long as ``run``."""
        return self.run(image, state)[1]

    def _before_first(self, present: Any, memory: Memory) -> ExportedState:
        """The state that leaves the first frame to itself.

        The paper compares the first frame with itself and takes its trust as it is. The exported network has
        no such case: it is first given the frame's own features as the last one's, then its own trust as the
        past one.
        """
        fine, coarse = (np.zeros(m.shape, np.float32) for m in (memory[0], memory[-1]))
        load = self.step.load
        blank = ExportedState(memory, load(fine[:, :1].copy()), (load(fine), load(coarse)))
        previous = self._step(present, blank)[1].previous
        trust = self._step(present, replace(blank, previous=previous))[2]
        return ExportedState(memory, trust, previous)

    @staticmethod
    def inputs(present: Any, state: ExportedState) -> dict[str, Any]:
        """The exported network's inputs, for a network input (1, 3, h, w) and a state after the first."""
        assert state.trust is not None and state.previous is not None
        fine, coarse = state.previous
        return {
            "image": present,
            **named_memory(state.memory),
            "trust": state.trust,
            "previous_1": fine,
            "previous_4": coarse,
        }

    def _step(self, present: Any, state: ExportedState) -> tuple[Any, ExportedState, Any]:
        depth, *maps, trust = self.step(**self.inputs(present, state))
        memory, (smoothed, fine, coarse) = tuple(maps[:LEVELS]), maps[LEVELS:]
        return depth, ExportedState(memory, smoothed, (fine, coarse)), trust

    @staticmethod
    def refreshed(state: ExportedState | None, memory: Memory) -> ExportedState:
        """The state with its memory overwritten; ``state`` is None before the first refresh."""
        return ExportedState(memory) if state is None else replace(state, memory=memory)

    @staticmethod
    def turned(state: ExportedState, rotation: NDArray[np.float64], camera: Intrinsics) -> ExportedState:
        """The state after the camera has turned by a rotation (3, 3); see ``depth.memory.MemoryState``."""
        grids = [TurnedGrid(rotation, camera, m.shape[-2:]) for m in state.memory]
        if state.trust is None or state.previous is None:
            return ExportedState(tuple(grid(m)[0] for grid, m in zip(grids, state.memory, strict=True)))
        finest, *middle, coarsest = state.memory
        fine, previous_fine, trust = grids[0](finest, state.previous[0], state.trust)
        coarse, previous_coarse = grids[-1](coarsest, state.previous[1])
        between = [grid(m)[0] for grid, m in zip(grids[1:-1], middle, strict=True)]
        previous = previous_fine, previous_coarse
        return ExportedState((fine, *between, coarse), trust * grids[0].seen, previous)

    @staticmethod
    def turned_memory(memory: Memory, rotation: NDArray[np.float64], camera: Intrinsics) -> Memory:
        """The same for a memory that is not yet in the state."""
        return ExportedFastEngine.turned(ExportedState(memory), rotation, camera).memory


@dataclass(frozen=True)
class ExportedSingleEngine:
    """The fast path without memory; see :class:`ExportedSlowEngine`."""

    network: Network
    size: tuple[int, int]
    scale: float

    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        (depth,) = self.network(image=self.network.load(network_input(image, self.size)))
        return at_image_size(self.network.fetch(depth), image, self.scale)


@dataclass(frozen=True)
class ExportedEngines(WeightsEngines, ABC):
    """The engines of one folder of exported weights, each loaded when first asked for.

    Args:
        weights: See :class:`WeightsEngines`; the files lie in its folder.
        focal: See :class:`WeightsEngines`.
        spec: Precision and processor.
    """

    fast_engine: ClassVar[type[ExportedFastEngine]] = ExportedFastEngine

    spec: EngineSpec = field(kw_only=True)

    @abstractmethod
    def _network(self, network: ExportedNetwork) -> Network:
        """One of the networks, ready to run."""

    @cached_property
    def slow(self) -> ExportedSlowEngine:
        """The slow path's engine."""
        return ExportedSlowEngine(self._network("slow"), self._network("slow-decoder"), self.size, self.scale)

    @cached_property
    def fast(self) -> ExportedFastEngine:
        """The fast path's engine."""
        return self.fast_engine(self._network("fast"), self.size, self.scale)

    @cached_property
    def single(self) -> ExportedSingleEngine:
        """The engine of the fast path without memory."""
        return ExportedSingleEngine(self._network("fast-only"), self.size, self.scale)


def named_memory(memory: Memory) -> dict[str, Any]:
    """A memory as inputs of an exported network."""
    return {f"memory_{level}": m for level, m in enumerate(memory, 1)}
