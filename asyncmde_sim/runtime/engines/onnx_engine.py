"""The networks under ONNX Runtime, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines.onnx_file import (
    INPUTS,
    LEVELS,
    OUTPUTS,
    ExportedNetwork,
    onnx_file,
    parse_metadata,
)
from asyncmde_sim.runtime.engines.resampling import at_image_size, network_input
from asyncmde_sim.runtime.engines.spec import EngineSpec
from asyncmde_sim.runtime.engines.turning import TurnedGrid
from asyncmde_sim.runtime.engines.weights_engines import WeightsEngines

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
FloatArray = NDArray[np.float32]
Memory = tuple[FloatArray, ...]

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


@dataclass(frozen=True)
class OnnxState:
    """All that the fast path carries from frame to frame; see ``depth.memory.MemoryState``.

    Args:
        memory: Four maps (1, 128, h, w) float32, finest first.
        trust: The smoothed trust map (1, 1, h, w) of level 1, None before the first frame.
        previous: Projected features of the last frame at levels 1 and 4, None before the first.
    """

    memory: Memory
    trust: FloatArray | None = None
    previous: tuple[FloatArray, FloatArray] | None = None


class OnnxNetwork:
    """One exported network, ready to run.

    Args:
        folder: Where the files lie.
        network: Which of them.
        spec: Precision and processor.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The file is not one of ours or cannot be loaded, or the processor is not to be had.
    """

    def __init__(self, folder: Path, network: ExportedNetwork, spec: EngineSpec) -> None:
        assert spec.precision is not None
        path = onnx_file(folder, network, spec.precision)
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no {path.name}: write it with "
                f"'python scripts/export.py --weights {folder} --precision {spec.precision}'"
            )
        self._session = open_session(path, spec)
        self.metadata = parse_metadata(
            self._session.get_modelmeta().custom_metadata_map, path, network, spec.precision
        )
        self._outputs = list(OUTPUTS[network])
        found = [i.name for i in self._session.get_inputs()], [o.name for o in self._session.get_outputs()]
        if found != (list(INPUTS[network]), self._outputs):
            raise ValueError(
                f"{path} has the inputs and outputs {found}, not those of {network!r}: export it again"
            )
        self._shapes = {i.name: tuple(i.shape) for i in self._session.get_inputs()}

    def __call__(self, **inputs: FloatArray) -> list[FloatArray]:
        """The outputs, in the order of ``OUTPUTS``.

        Raises:
            ValueError: An input has another shape than the file was exported for.
        """
        for name, value in inputs.items():
            if value.shape != self._shapes[name]:
                raise ValueError(
                    f"{name} has the shape {value.shape}, but {self.metadata.network!r} was exported for "
                    f"{self._shapes[name]}: export it for this size"
                )
        outputs: list[FloatArray] = self._session.run(self._outputs, inputs)
        return outputs


@dataclass(frozen=True)
class OnnxSlowEngine:
    """The slow path.

    Args:
        features: Image to memory.
        decoder: Memory to depth.
        size: Height and width of the input, pixels.
        scale: Factor on the depth, for a camera of another focal length than the weights were trained on.
    """

    features: OnnxNetwork
    decoder: OnnxNetwork
    size: tuple[int, int]
    scale: float

    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        return self.depth_and_memory(image)[0]

    def memory(self, image: Image) -> Memory:
        """The four feature maps of one image (H, W, 3); nothing is decoded."""
        return tuple(self.features(image=network_input(image, self.size)))

    def depth_and_memory(self, image: Image) -> tuple[Depth, Memory]:
        """What ``run`` and ``memory`` give, for the features computed once."""
        memory = self.memory(image)
        (depth,) = self.decoder(**named_memory(memory))
        return at_image_size(depth, image, self.scale), memory


@dataclass(frozen=True)
class OnnxFastEngine:
    """The fast path; see :class:`OnnxSlowEngine`."""

    step: OnnxNetwork
    size: tuple[int, int]
    scale: float

    def run(self, image: Image, state: OnnxState) -> tuple[Depth, OnnxState, FloatArray]:
        """Depth (H, W), the next state and the trust map (h, w) of one image (H, W, 3)."""
        present = network_input(image, self.size)
        if state.trust is None or state.previous is None:
            state = self._before_first(present, state.memory)
        depth, state, trust = self._step(present, state)
        return at_image_size(depth, image, self.scale), state, trust[0, 0]

    def remember(self, image: Image, state: OnnxState) -> OnnxState:
        """The next state alone. The file holds the decoder, too, so this takes as long as ``run``."""
        return self.run(image, state)[1]

    def _before_first(self, present: FloatArray, memory: Memory) -> OnnxState:
        """The state that leaves the first frame to itself.

        The paper compares the first frame with itself and takes its trust as it is. The exported network has
        no such case: it is first given the frame's own features as the last one's, then its own trust as the
        past one.
        """
        fine, coarse = memory[0], memory[-1]
        blank = OnnxState(memory, np.zeros_like(fine[:, :1]), (np.zeros_like(fine), np.zeros_like(coarse)))
        previous = self._step(present, blank)[1].previous
        trust = self._step(present, replace(blank, previous=previous))[2]
        return OnnxState(memory, trust, previous)

    @staticmethod
    def inputs(present: FloatArray, state: OnnxState) -> dict[str, FloatArray]:
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

    def _step(self, present: FloatArray, state: OnnxState) -> tuple[FloatArray, OnnxState, FloatArray]:
        depth, *maps, trust = self.step(**self.inputs(present, state))
        memory, (smoothed, fine, coarse) = tuple(maps[:LEVELS]), maps[LEVELS:]
        return depth, OnnxState(memory, smoothed, (fine, coarse)), trust

    @staticmethod
    def refreshed(state: OnnxState | None, memory: Memory) -> OnnxState:
        """The state with its memory overwritten; ``state`` is None before the first refresh."""
        return OnnxState(memory) if state is None else replace(state, memory=memory)

    @staticmethod
    def turned(state: OnnxState, rotation: NDArray[np.float64], camera: Intrinsics) -> OnnxState:
        """The state after the camera has turned by a rotation (3, 3); see ``depth.memory.MemoryState``."""
        grids = [TurnedGrid(rotation, camera, m.shape[-2:]) for m in state.memory]
        if state.trust is None or state.previous is None:
            return OnnxState(tuple(grid(m)[0] for grid, m in zip(grids, state.memory, strict=True)))
        finest, *middle, coarsest = state.memory
        fine, previous_fine, trust = grids[0](finest, state.previous[0], state.trust)
        coarse, previous_coarse = grids[-1](coarsest, state.previous[1])
        between = [grid(m)[0] for grid, m in zip(grids[1:-1], middle, strict=True)]
        previous = previous_fine, previous_coarse
        return OnnxState((fine, *between, coarse), trust * grids[0].seen, previous)

    @staticmethod
    def turned_memory(memory: Memory, rotation: NDArray[np.float64], camera: Intrinsics) -> Memory:
        """The same for a memory that is not yet in the state."""
        return OnnxFastEngine.turned(OnnxState(memory), rotation, camera).memory


@dataclass(frozen=True)
class OnnxSingleEngine:
    """The fast path without memory; see :class:`OnnxSlowEngine`."""

    network: OnnxNetwork
    size: tuple[int, int]
    scale: float

    def run(self, image: Image) -> Depth:
        """Depth (H, W) of one image (H, W, 3)."""
        (depth,) = self.network(image=network_input(image, self.size))
        return at_image_size(depth, image, self.scale)


@dataclass(frozen=True)
class OnnxEngines(WeightsEngines):
    """The engines of one folder of exported weights, each loaded when first asked for.

    Args:
        weights: See :class:`WeightsEngines`; the files lie in its folder.
        focal: See :class:`WeightsEngines`.
        spec: Precision and processor.
    """

    spec: EngineSpec = field(kw_only=True)

    @cached_property
    def slow(self) -> OnnxSlowEngine:
        """The slow path's engine."""
        return OnnxSlowEngine(self._network("slow"), self._network("slow-decoder"), self.size, self.scale)

    @cached_property
    def fast(self) -> OnnxFastEngine:
        """The fast path's engine."""
        return OnnxFastEngine(self._network("fast"), self.size, self.scale)

    @cached_property
    def single(self) -> OnnxSingleEngine:
        """The engine of the fast path without memory."""
        return OnnxSingleEngine(self._network("fast-only"), self.size, self.scale)

    def _network(self, network: ExportedNetwork) -> OnnxNetwork:
        return OnnxNetwork(self.folder, network, self.spec)


def open_session(path: Path, spec: EngineSpec) -> Any:
    """An ``onnxruntime.InferenceSession`` on the processor asked for, never silently on another.

    Raises:
        ModuleNotFoundError: ONNX Runtime is not installed.
        ValueError: The file cannot be loaded, or the processor is not to be had.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModuleNotFoundError(
            "the engine 'onnx' needs ONNX Runtime: pip install onnxruntime (on a GPU onnxruntime-gpu)"
        ) from error
    there = onnxruntime.get_available_providers()
    if spec.processor == "any":
        providers = [p for p in (*PROVIDERS["tensorrt"], *PROVIDERS["cpu"]) if p in there]
    else:
        providers = list(PROVIDERS[spec.processor])
        if providers[0] not in there:
            raise ValueError(
                f"the engine runs on {spec.processor!r}, but this ONNX Runtime has no {providers[0]} (it has "
                f"{', '.join(there)}): install one that has it, or use @any to take what there is"
            )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpu_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if spec.processor in ("cuda", "tensorrt"):
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common class
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} on {spec.processor}: {reason}"
        ) from error
    if session.get_providers()[0] != providers[0]:
        raise ValueError(
            f"ONNX Runtime could not start {providers[0]} and would run {path.name} on "
            f"{session.get_providers()[0]}: mend its installation, or use @any to take what there is"
        )
    return session


def cpu_threads() -> int:
    """Threads for one network: ``OMP_NUM_THREADS`` where it is set, else half of this process's cores.

    The other half is for what goes on meanwhile: the other network, rendering.
    """
    told = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0))
    return int(told) if told.isdigit() and int(told) > 0 else max(1, cores // 2)


def named_memory(memory: Memory) -> dict[str, FloatArray]:
    """A memory as inputs of an exported network."""
    return {f"memory_{level}": m for level, m in enumerate(memory, 1)}
