"""The networks under ONNX Runtime, without torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.engines.exported_engines import ExportedEngines
from asyncmde_sim.runtime.engines.onnx_file import (
    INPUTS,
    OUTPUTS,
    ExportedNetwork,
    find_onnx_file,
    parse_metadata,
)
from asyncmde_sim.runtime.engines.spec import EngineSpec

FloatArray = NDArray[np.float32]

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}


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
        path = find_onnx_file(folder, network, spec.precision)
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

    def load(self, array: FloatArray) -> FloatArray:
        """The array itself: ONNX Runtime takes and gives the host's."""
        return array

    def fetch(self, array: FloatArray) -> FloatArray:
        """The array itself."""
        return array


class OnnxEngines(ExportedEngines):
    """Under ONNX Runtime."""

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
