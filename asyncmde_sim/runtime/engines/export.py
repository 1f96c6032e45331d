"""Writes the networks as ONNX files, checks them against torch, and quantises them to 8 bits."""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncmde_sim.depth.decoder import DPTDecoder
from asyncmde_sim.depth.fast_path import FastPath
from asyncmde_sim.depth.images import network_input as torch_input
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.slow_path import SlowPath
from asyncmde_sim.depth.weights import load_network
from asyncmde_sim.depth.weights_folder import read_config
from asyncmde_sim.files import write_whole
from asyncmde_sim.runtime.engines.exported_engines import (
    Depth,
    ExportedState,
    FloatArray,
    Image,
    Memory,
    named_memory,
)
from asyncmde_sim.runtime.engines.onnx_engine import OnnxEngines
from asyncmde_sim.runtime.engines.onnx_file import (
    INPUTS,
    METADATA_KEY,
    OUTPUTS,
    ExportedNetwork,
    ExportMetadata,
    onnx_file,
)
from asyncmde_sim.runtime.engines.resampling import network_input
from asyncmde_sim.runtime.engines.spec import EngineSpec, Precision

OPSET = 18
CLIP_FRAMES = 30
CLIP_REFRESH = 15
"""An export is checked on a clip of 30 frames with a refresh at frames 0 and 15."""
OBSERVED_EVERY = 5
"""Quantisation takes the ranges of values from every fifth frame of its clips."""
OBSERVED_PERCENTILE = 99.99
"""What of a layer's values is within its range; the rest saturates."""
EXACT_LAYERS = ("encoder.", "head.conv3")
"""Parts of names of layers that are never quantised. MobileNet's depthwise convolutions lose far too much in
8 bits (on one clip a fifth of the depth), and take little time; the last layer gives the depth itself."""
TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 8e-2}
"""Largest mean relative difference of a clip's depth from torch in float32, at any frame."""


class _SlowFeatures(nn.Module):
    def __init__(self, model: SlowPath) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.features(image))


class _Decode(nn.Module):
    def __init__(self, decoder: DPTDecoder, size: tuple[int, int]) -> None:
        super().__init__()
        self.decoder, self.size = decoder, size

    def forward(self, *memory: Tensor) -> Tensor:
        return self.decoder(memory, self.size)


class _FastStep(nn.Module):
    def __init__(self, model: FastPath) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        *memory, trust, fine, coarse = state
        depth, new, current = self.model(image, MemoryState(tuple(memory), trust, (fine, coarse)))
        assert new.trust is not None and new.previous is not None
        return depth, *new.memory, new.trust, *new.previous, current


class _HalfInside(nn.Module):
    """A network in half precision between inputs and outputs in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.half()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and type(layer) is not nn.Conv2d:
                layer.float()  # a subclass has a precision of its own

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(*(x.half() for x in inputs))
        return tuple(x.float() for x in (outputs if isinstance(outputs, tuple) else (outputs,)))


@dataclass(frozen=True)
class ExportCheck:
    """How far an exported network is from torch in float32 on a clip.

    Args:
        network: Which; ``fast`` runs on the exported slow path's memory.
        differences: For each frame the mean relative difference of its depth.
    """

    network: ExportedNetwork
    differences: NDArray[np.float64]


def export_networks(
    folder: Path, out: Path, precision: Precision, clips: Sequence[Sequence[Image]]
) -> list[ExportCheck]:
    """Write every network of a folder of weights, and check what was written on the first clip.

    Args:
        folder: Of the weights.
        out: Folder to write to, once everything has passed.
        precision: ``int8`` is quantised from float32, by the ranges that values have on the clips.
        clips: Each images (H, W, 3) in time order; the first has at least ``CLIP_FRAMES``.

    Raises:
        ModuleNotFoundError: A library is missing.
        ValueError: A clip is too short, or an export differs from torch by more than ``TOLERANCES``.
    """
    check_libraries()
    if not clips or len(clips[0]) < CLIP_FRAMES:
        frames = len(clips[0]) if clips else 0
        raise ValueError(
            f"the clip that an export is checked on has {frames} frames, but {CLIP_FRAMES} are needed: "
            "give a longer recording"
        )
    networks = _Networks(folder)
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        (fresh / "config.json").write_bytes((folder / "config.json").read_bytes())
        networks.write(fresh, "fp16" if precision == "fp16" else "fp32")
        if precision == "int8":
            _quantise(fresh, networks, clips)
        checks = networks.check(fresh, precision, clips[0][:CLIP_FRAMES])
        for check in checks:
            worst = float(check.differences.max())
            if not worst <= TOLERANCES[precision]:
                raise ValueError(
                    f"{check.network!r} in {precision} is {worst:.2g} from torch (mean relative depth, "
                    f"frame {int(check.differences.argmax())}), but at most {TOLERANCES[precision]:g} is "
                    "allowed: nothing was written"
                )
        out.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", *(onnx_file(fresh, n, precision).name for n in OUTPUTS)):
            write_whole(out / name, partial(shutil.copyfile, fresh / name))
    return checks


def check_libraries() -> None:
    """Check that what an export needs is installed.

    Raises:
        ModuleNotFoundError: It is not.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(f"an export needs {module}: pip install 'asyncmde-sim[onnx]'")


class _Networks:
    """The networks of a folder of weights under torch in float32: what an export must agree with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_config(folder)
        self.size = (self.config.height, self.config.width)
        self.slow, self.fast, self.single = (load_network(n, folder) for n in ("slow", "fast", "fast-only"))

    def write(self, out: Path, precision: Precision) -> None:
        """Write all of them."""
        image = torch.zeros(1, 3, *self.size)
        with torch.inference_mode():
            memory = tuple(torch.zeros_like(f) for f in self.slow.features(image))
        state = (*memory, torch.zeros_like(memory[0][:, :1]), memory[0].clone(), memory[-1].clone())
        modules: dict[ExportedNetwork, tuple[nn.Module, tuple[Tensor, ...]]] = {
            "slow": (_SlowFeatures(self.slow), (image,)),
            "slow-decoder": (_Decode(self.slow.decoder, self.size), memory),
            "fast": (_FastStep(self.fast), (image, *state)),
            "fast-only": (self.single, (image,)),
        }
        for network, (module, inputs) in modules.items():
            module = _HalfInside(copy.deepcopy(module)) if precision == "fp16" else module
            path = onnx_file(out, network, precision)
            _trace(module, inputs, network, path)
            self.describe(path, network, precision)

    def describe(self, path: Path, network: ExportedNetwork, precision: Precision) -> None:
        """Let a file say what it is."""
        import onnx

        source = self.folder / f"{network.removesuffix('-decoder')}.safetensors"
        metadata = ExportMetadata(
            network=network,
            precision=precision,
            weights=self.config.name,
            weights_sha256=sha256(source),
            height=self.config.height,
            width=self.config.width,
            focal=self.config.focal,
            opset=OPSET,
        )
        model = onnx.load(path)
        for part in (model.graph, *model.graph.node, *model.graph.value_info):
            del part.metadata_props[:]  # where the exporter ran, line by line
        onnx.helper.set_model_props(model, {METADATA_KEY: metadata.as_text()})
        onnx.save(model, path)

    def check(self, exported: Path, precision: Precision, clip: Sequence[Image]) -> list[ExportCheck]:
        """Run a clip through the exported networks and through torch."""
        engines = OnnxEngines(str(exported), spec=EngineSpec("onnx", precision))
        ours: dict[ExportedNetwork, list[Depth]] = {"slow-decoder": [], "fast": [], "fast-only": []}
        for step in _along(engines, clip):
            depths = step.slow_depth, step.fast_depth, engines.single.run(step.image)
            for name, depth in zip(ours, depths, strict=True):
                ours[name].append(depth)
        exact = self._depths(clip)
        return [
            ExportCheck(name, np.abs(np.array(depths) / np.array(exact[name]) - 1).mean(axis=(1, 2)))
            for name, depths in ours.items()
        ]

    @torch.inference_mode()
    def _depths(self, clip: Sequence[Image]) -> dict[ExportedNetwork, list[Depth]]:
        """Depth (H, W) of each frame by the three networks that give depth."""
        depths: dict[ExportedNetwork, list[Depth]] = {"slow-decoder": [], "fast": [], "fast-only": []}
        state = None
        for index, image in enumerate(clip):
            x = torch_input(image, self.size)
            features = tuple(self.slow.features(x))
            if index % CLIP_REFRESH == 0:
                state = MemoryState(features) if state is None else state.refreshed(features)
            fast_depth, state, _ = self.fast(x, state)
            slow_depth = self.slow.decoder(features, self.size)
            for name, depth in zip(depths, (slow_depth, fast_depth, self.single(x)), strict=True):
                depths[name].append(resize(depth[:, None], image.shape[:2])[0, 0].numpy())
        return depths


def _trace(module: nn.Module, inputs: tuple[Tensor, ...], network: ExportedNetwork, path: Path) -> None:
    with quiet():
        torch.onnx.export(
            module.eval(),
            inputs,
            str(path),
            input_names=list(INPUTS[network]),
            output_names=list(OUTPUTS[network]),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )


def _quantise(folder: Path, networks: _Networks, clips: Sequence[Sequence[Image]]) -> None:
    """Quantise the float32 files of a folder: convolutions compute in 8 bits, the rest as before.

    A ReLU goes into the convolution before it, whose 8 bits then need not hold what is cut off: that halves
    the error.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = _observed_inputs(OnnxEngines(str(folder), spec=EngineSpec("onnx", "fp32")), clips)
    for network, observed in inputs.items():
        exact, quantised = (onnx_file(folder, network, precision) for precision in ("fp32", "int8"))
        prepared = folder / "prepared.onnx"
        with quiet():
            quant_pre_process(str(exact), str(prepared))
            convolutions = [n for n in onnx.load(prepared).graph.node if n.op_type == "Conv"]
            quantize_static(
                str(prepared),
                str(quantised),
                _Observed(observed),
                op_types_to_quantize=["Conv", "Relu"],
                nodes_to_exclude=[
                    n.name for n in convolutions if any(part in n.input[1] for part in EXACT_LAYERS)
                ],
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": OBSERVED_PERCENTILE},
            )
        networks.describe(quantised, network, "int8")


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the libraries tell of their own steps."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Step(NamedTuple):
    """A frame of a clip: the slow path's results, the fast path's state before it and its depth."""

    image: Image
    slow_depth: Depth
    memory: Memory
    state: ExportedState
    fast_depth: Depth


def _along(engines: OnnxEngines, clip: Sequence[Image]) -> Iterator[_Step]:
    """Run a clip, with a refresh at every ``CLIP_REFRESH``-th frame."""
    state: ExportedState | None = None
    for index, image in enumerate(clip):
        slow_depth, memory = engines.slow.depth_and_memory(image)
        if index % CLIP_REFRESH == 0 or state is None:
            state = engines.fast.refreshed(state, memory)
        fast_depth, after, _ = engines.fast.run(image, state)
        yield _Step(image, slow_depth, memory, state, fast_depth)
        state = after


def _observed_inputs(
    engines: OnnxEngines, clips: Sequence[Sequence[Image]]
) -> dict[ExportedNetwork, list[dict[str, FloatArray]]]:
    """What goes into each network while the clips run through them."""
    inputs: dict[ExportedNetwork, list[dict[str, FloatArray]]] = {network: [] for network in OUTPUTS}
    for clip in clips:
        for index, step in enumerate(_along(engines, clip)):
            if index % OBSERVED_EVERY:
                continue
            present = network_input(step.image, engines.size)
            if step.state.trust is not None:
                inputs["fast"].append(engines.fast.inputs(present, step.state))
            inputs["slow"].append({"image": present})
            inputs["slow-decoder"].append(named_memory(step.memory))
            inputs["fast-only"].append({"image": present})
    return inputs


def sha256(path: Path) -> str:
    """Of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Observed:
    """What ONNX Runtime's quantiser reads the ranges of values from."""

    def __init__(self, inputs: Iterable[dict[str, FloatArray]]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, FloatArray] | None:
        return next(self._inputs, None)
