"""The networks under TensorRT: built from the exported ONNX files, every array kept on the GPU.

Written against TensorRT 10 and 11. The tests run it with a stand-in for the library; it has not run on a GPU.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asyncmde_sim.depth.memory import MemoryState
from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.files import cache_root, write_whole
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines.exported_engines import (
    ExportedEngines,
    ExportedFastEngine,
    ExportedState,
    FloatArray,
    Memory,
)
from asyncmde_sim.runtime.engines.onnx_file import (
    INPUTS,
    OUTPUTS,
    ExportedNetwork,
    find_onnx_file,
    parse_metadata,
)
from asyncmde_sim.runtime.engines.spec import EngineSpec

WORKSPACE_BYTES = 1 << 30
HEADER_BYTES = 64
"""A cached engine starts with the SHA-256 of the rest, as text."""
log = logging.getLogger(__name__)


def engine_cache() -> Path:
    """Folder of built engines in the cache."""
    return cache_root() / "engines"


class TensorRtNetwork:
    """One exported network as a TensorRT engine, built once for this file, TensorRT and GPU.

    Inputs are tensors on the GPU, and so are outputs. Each run writes into tensors of its own: a memory that
    the slow path has written is the fast path's input without a copy, and earlier states stay as they were.

    Args:
        folder: Where the exported files lie.
        network: Which of them.
        spec: Precision.
        device: Where it runs.

    Raises:
        ModuleNotFoundError: TensorRT or onnx is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The file is not one of ours, or TensorRT cannot build it or has no memory for it.
    """

    def __init__(
        self, folder: Path, network: ExportedNetwork, spec: EngineSpec, device: torch.device
    ) -> None:
        assert spec.precision is not None
        trt = _tensorrt()
        path = find_onnx_file(folder, network, spec.precision)
        model = path.read_bytes()
        self.metadata = parse_metadata(_properties(model, path), path, network, spec.precision)
        self._device = device
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = _cached_engine(trt, self._runtime, model, path, device)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise ValueError(f"the GPU has no memory left for {path.name}: close what else uses it")
        self._shapes = {
            name: tuple(self._engine.get_tensor_shape(name)) for name in (*INPUTS[network], *OUTPUTS[network])
        }
        self._names = INPUTS[network], OUTPUTS[network]

    def __call__(self, **inputs: torch.Tensor) -> list[torch.Tensor]:
        """The outputs, in the order of ``OUTPUTS``.

        Raises:
            ValueError: An input has another shape than the file was exported for.
            RuntimeError: The run failed.
        """
        needed, given = self._names
        outputs = [torch.empty(self._shapes[n], dtype=torch.float32, device=self._device) for n in given]
        tensors = {
            **{name: inputs[name].contiguous() for name in needed},
            **dict(zip(given, outputs, strict=True)),
        }
        for name, tensor in tensors.items():
            if tuple(tensor.shape) != self._shapes[name]:
                raise ValueError(
                    f"{name} has the shape {tuple(tensor.shape)}, but {self.metadata.network!r} was exported "
                    f"for {self._shapes[name]}: export it for this size"
                )
            self._context.set_tensor_address(name, tensor.data_ptr())
        stream = torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else 0
        if not self._context.execute_async_v3(stream):
            raise RuntimeError(f"TensorRT could not run {self.metadata.network!r}")
        return outputs

    def load(self, array: FloatArray) -> torch.Tensor:
        """An array of the host on the GPU."""
        return torch.from_numpy(array).to(self._device)

    def fetch(self, array: torch.Tensor) -> FloatArray:
        """An output on the host; waits for the run."""
        return np.asarray(array.cpu().numpy(), np.float32)


@dataclass(frozen=True)
class TensorRtFastEngine(ExportedFastEngine):
    """The fast path; its state is turned on the GPU."""

    @staticmethod
    @torch.inference_mode()
    def turned(state: ExportedState, rotation: NDArray[np.float64], camera: Intrinsics) -> ExportedState:
        """See ``TorchFastEngine.turned``."""
        device = state.memory[0].device
        turn = Turn(torch.from_numpy(rotation)[None].to(device), camera)
        turned = MemoryState(state.memory, state.trust, state.previous).turned(turn)
        return ExportedState(turned.memory, turned.trust, turned.previous)

    @staticmethod
    def turned_memory(memory: Memory, rotation: NDArray[np.float64], camera: Intrinsics) -> Memory:
        """The same for a memory that is not yet in the state."""
        return TensorRtFastEngine.turned(ExportedState(memory), rotation, camera).memory


@dataclass(frozen=True)
class TensorRtEngines(ExportedEngines):
    """Under TensorRT; an engine is built when it is first needed.

    Args:
        weights: See :class:`ExportedEngines`.
        focal: See :class:`ExportedEngines`.
        spec: Precision.
        device: Where they run.
    """

    fast_engine = TensorRtFastEngine

    device: torch.device = field(default_factory=lambda: torch.device("cuda"), kw_only=True)

    def _network(self, network: ExportedNetwork) -> TensorRtNetwork:
        return TensorRtNetwork(self.folder, network, self.spec, self.device)


def _tensorrt() -> Any:
    try:
        import onnx  # noqa: F401
        import tensorrt
    except ImportError as error:
        raise ModuleNotFoundError(
            "the engine 'tensorrt' needs TensorRT and onnx: pip install 'asyncmde-sim[tensorrt]', or on a "
            "Jetson the system's TensorRT"
        ) from error
    return tensorrt


def _properties(model: bytes, path: Path) -> dict[str, str]:
    """The metadata of an ONNX file.

    Raises:
        ValueError: It cannot be read.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return {p.key: p.value for p in onnx.load_from_string(model).metadata_props}
    except DecodeError as error:
        raise ValueError(f"{path} cannot be read as an ONNX file ({error}): export it again") from error


def _cached_engine(trt: Any, runtime: Any, model: bytes, path: Path, device: torch.device) -> Any:
    """The engine of a file, from the cache if it is there and whole, else built and kept there."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    key = json.dumps([hashlib.sha256(model).hexdigest(), trt.__version__, gpu])
    cached = engine_cache() / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.plan"
    if cached.is_file():
        engine = _loaded(runtime, cached.read_bytes())
        if engine is not None:
            return engine
        log.warning("%s is not whole or not for this TensorRT: it is built again", cached)
    log.warning("building %s for %s; this takes minutes, once", path.name, gpu)
    plan = _built(trt, model, path)
    cached.parent.mkdir(parents=True, exist_ok=True)
    content = hashlib.sha256(plan).hexdigest().encode() + plan
    write_whole(cached, lambda temporary: temporary.write_bytes(content))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise ValueError(
            f"TensorRT cannot load the engine that it has built from {path}: see its messages above"
        )
    return engine


def _loaded(runtime: Any, content: bytes) -> Any:
    checksum, plan = content[:HEADER_BYTES], content[HEADER_BYTES:]
    if hashlib.sha256(plan).hexdigest().encode() != checksum:
        return None
    return runtime.deserialize_cuda_engine(plan)


def _built(trt: Any, model: bytes, path: Path) -> bytes:
    """The serialized engine of an ONNX file, in the precision that the file is in.

    Raises:
        ValueError: TensorRT cannot parse or build it.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ValueError(f"TensorRT {trt.__version__} cannot parse {path} ({reasons}): export it again")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ValueError(
            f"TensorRT {trt.__version__} cannot build {path.name}: see its messages above; it may want more "
            "memory of the GPU"
        )
    return bytes(plan)
