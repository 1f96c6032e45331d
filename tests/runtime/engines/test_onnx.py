"""Exported networks: equal to torch over a clip, what they are made of, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from asyncmde_sim.depth.precision import inference_precision
from asyncmde_sim.depth.weights_folder import find_weights
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines import default_engine, export, load_engines
from asyncmde_sim.runtime.engines.exported_engines import ExportedState
from asyncmde_sim.runtime.engines.onnx_engine import OnnxNetwork, cpu_threads, open_session
from asyncmde_sim.runtime.engines.onnx_file import METADATA_KEY, OUTPUTS, onnx_file
from asyncmde_sim.runtime.engines.spec import EXPORTED_PRECISIONS, EngineSpec

TENSORRT_OPERATORS = {
    *("Add", "Cast", "Concat", "Conv", "DequantizeLinear", "Gather", "HardSigmoid", "HardSwish", "Mul"),
    *("QuantizeLinear", "ReduceMean", "Relu", "Resize", "Sigmoid", "Sub"),
}
"""All in TensorRT's table of supported ONNX operators."""
CPU_FP32 = EngineSpec("onnx", "fp32")


def altered(folder, tmp_path, change):
    """A copy of the folder's fast path file with its model changed."""
    shutil.copy(folder / "config.json", tmp_path)
    model = onnx.load(onnx_file(folder, "fast-only", "fp32"))
    change(model)
    onnx.save(model, onnx_file(tmp_path, "fast-only", "fp32"))
    return tmp_path


def test_an_export_is_torch_over_a_clip_with_two_refreshes(exported):
    _, checks = exported
    for precision, networks in checks.items():
        assert {c.network for c in networks} == {"slow-decoder", "fast", "fast-only"}
        for check in networks:
            assert len(check.differences) == export.CLIP_FRAMES
            assert check.differences.max() <= export.TOLERANCES[precision]
    exact, rounded = (max(c.differences.max() for c in checks[p]) for p in ("fp32", "int8"))
    assert exact < 1e-5 < rounded


def test_errors_of_the_state_add_up_and_a_refresh_ends_them(exported, clip):
    """A state that starts 1 % wrong stays wrong until a refresh; single frames would not show it."""
    engines = load_engines(str(exported[0]), None, "onnx-fp32")
    memory = engines.slow.memory(clip[0])
    right = wrong = engines.fast.refreshed(None, memory)
    wrong = replace(wrong, memory=tuple(1.01 * m for m in memory))
    errors = []
    for index, image in enumerate(clip[:12]):
        if index == 6:
            fresh = engines.slow.memory(image)
            right, wrong = (engines.fast.refreshed(state, fresh) for state in (right, wrong))
        (a, right, _), (b, wrong, _) = (engines.fast.run(image, state) for state in (right, wrong))
        errors.append(np.abs(a - b).max())
    assert min(errors[:6]) > 0
    assert max(errors[6:]) == 0


def test_the_first_frame_is_compared_with_itself(exported, clip):
    engines = load_engines(str(exported[0]), None, "onnx-fp32")
    torch_engines = load_engines(str(exported[0]), None, "torch")
    memory = engines.slow.memory(clip[0])
    _, state, trust = engines.fast.run(clip[0], engines.fast.refreshed(None, memory))
    np.testing.assert_allclose(state.trust[0, 0], trust, atol=1e-6)
    model = torch_engines.fast.model
    with torch.inference_mode(), inference_precision(torch_engines.device):
        projected = model.smu.project(model.encoder(export.torch_input(clip[0], torch_engines.size)))
    np.testing.assert_allclose(state.previous[1], projected[-1].float().numpy(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("precision", EXPORTED_PRECISIONS)
def test_exports_consist_of_what_tensorrt_supports(exported, precision):
    for network in OUTPUTS:
        model = onnx.load(onnx_file(exported[0], network, precision))
        operators = Counter(node.op_type for node in model.graph.node)
        assert set(operators) <= TENSORRT_OPERATORS, operators
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert not [n.name for n in (*model.graph.node, *model.graph.value_info) if n.metadata_props]
        shapes = [i.type.tensor_type.shape.dim for i in model.graph.input]
        assert all(d.dim_value > 0 for shape in shapes for d in shape)
        assert all(i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for i in model.graph.input)


def test_eight_bits_are_in_the_convolutions_but_not_in_the_encoder(exported):
    model = onnx.load(onnx_file(exported[0], "fast", "int8"))
    dequantised = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    eight_bits = [n for n in convolutions if n.input[1] in dequantised]
    assert 20 < len(eight_bits) < len(convolutions)
    assert not [n for n in eight_bits if "encoder." in n.input[1]]


def test_sources_get_the_same_interface(exported, clip):
    engines = load_engines(str(exported[0]), 0.25, "onnx-int8")
    image = clip[0]
    depth, memory = engines.slow.depth_and_memory(image)
    np.testing.assert_array_equal(engines.slow.run(image), depth)
    state = engines.fast.refreshed(None, memory)
    estimate, after, trust = engines.fast.run(image, state)
    for d in (depth, estimate, engines.single.run(image)):
        assert d.shape == image.shape[:2] and d.dtype == np.float32
    assert trust.shape == (16, 24) and 0 <= trust.min() <= trust.max() <= 1
    for a, b in zip(engines.fast.remember(image, state).memory, after.memory, strict=True):
        np.testing.assert_array_equal(a, b)
    other = load_engines(str(exported[0]), 0.5, "onnx-int8")
    np.testing.assert_allclose(other.single.run(image), 2 * engines.single.run(image), rtol=1e-6)


def test_turning_by_nothing_changes_nothing(exported, clip):
    engines = load_engines(str(exported[0]), None, "onnx-fp32")
    camera = Intrinsics(120, 80, 60.0, 60.0, 59.5, 39.5)
    start = engines.fast.refreshed(None, engines.slow.memory(clip[0]))
    for state in (start, engines.fast.run(clip[0], start)[1]):
        turned = engines.fast.turned(state, np.eye(3), camera)
        assert isinstance(turned, ExportedState)
        for a, b in zip(turned.memory, state.memory, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_threads_change_no_result(exported, clip, monkeypatch):
    outputs = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert cpu_threads() == int(threads)
        network = OnnxNetwork(exported[0], "fast-only", EngineSpec("onnx", "int8"))
        outputs.append(network(image=export.network_input(clip[0], (64, 96)))[0])
    np.testing.assert_array_equal(*outputs)


def test_weights_without_eight_bit_files_run_under_torch(exported, tmp_path):
    assert default_engine(str(exported[0])) == "onnx-int8"
    shutil.copytree(exported[0], tmp_path / "copy")
    onnx_file(tmp_path / "copy", "fast", "int8").unlink()
    assert default_engine(str(tmp_path / "copy")) == "torch"
    assert default_engine("some/depth-anything") == "torch"
    assert default_engine(None) == "onnx-int8"
    for network in OUTPUTS:
        name = network.removesuffix("-decoder")
        path = onnx_file(find_weights(None), network, "int8")
        model = onnx.load(path)
        assert not [n.name for n in (*model.graph.node, *model.graph.value_info) if n.metadata_props]
        found = json.loads({p.key: p.value for p in model.metadata_props}[METADATA_KEY])
        assert found["weights_sha256"] == export.sha256(find_weights(None) / f"{name}.safetensors")


def test_a_missing_file_names_the_command(exported, tmp_path):
    shutil.copy(exported[0] / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no fast\.fp16\.onnx: write it with 'python scripts/export"):
        _ = load_engines(str(tmp_path), None, "onnx-fp16").fast


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.ClearField("metadata_props"), "was not written by scripts/export.py"),
        (lambda m: edit(m, format=99), "has the format 99, but this version reads 1"),
        (lambda m: edit(m, network="fast"), "holds the network 'fast' in fp32"),
        (lambda m: edit(m, precision="fp16"), "holds the network 'fast-only' in fp16"),
        (lambda m: setattr(m.opset_import[0], "version", 999), "cannot be loaded by ONNX Runtime"),
        (lambda m: setattr(m.graph.input[0], "name", "picture"), "cannot be loaded|has the inputs"),
    ],
)
def test_files_that_are_not_ours_are_refused(exported, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        OnnxNetwork(altered(exported[0], tmp_path, change), "fast-only", CPU_FP32)


def edit(model, **changes):
    (entry,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
    entry.value = json.dumps({**json.loads(entry.value), **changes})


def test_a_truncated_file_is_refused(exported, tmp_path):
    path = onnx_file(tmp_path, "fast-only", "fp32")
    path.write_bytes(onnx_file(exported[0], "fast-only", "fp32").read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"fast-only\.fp32\.onnx cannot be loaded by ONNX Runtime"):
        OnnxNetwork(tmp_path, "fast-only", CPU_FP32)


def test_another_size_is_refused(exported):
    network = OnnxNetwork(exported[0], "fast-only", CPU_FP32)
    with pytest.raises(ValueError, match=r"image has the shape \(1, 3, 32, 32\), but 'fast-only' was"):
        network(image=np.zeros((1, 3, 32, 32), np.float32))


def test_another_processor_is_never_taken_silently(exported, monkeypatch):
    path = onnx_file(exported[0], "fast-only", "fp32")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ValueError, match="has no CUDAExecutionProvider"):
            open_session(path, EngineSpec("onnx", "fp32", "cuda"))
        session = open_session(path, EngineSpec("onnx", "fp32", "any"))
        assert session.get_providers() == ["CPUExecutionProvider"]
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)

    class FellBack:
        def __init__(self, *_, **__):
            pass

        def get_providers(self):
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", FellBack)
    with pytest.raises(ValueError, match="could not start CUDAExecutionProvider and would run"):
        open_session(path, EngineSpec("onnx", "fp32", "cuda"))


def test_an_export_beyond_tolerance_writes_nothing(exported, clip, tmp_path, monkeypatch):
    monkeypatch.setitem(export.TOLERANCES, "fp32", 1e-12)
    with pytest.raises(ValueError, match=r"in fp32 is \S+ from torch .* nothing was written"):
        export.export_networks(exported[0], tmp_path / "out", "fp32", [clip])
    assert not (tmp_path / "out").exists()


def test_a_short_clip_is_refused(exported, clip, tmp_path):
    for clips, frames in (([], 0), ([clip[:5]], 5)):
        with pytest.raises(ValueError, match=f"has {frames} frames, but 30 are needed"):
            export.export_networks(exported[0], tmp_path, "fp32", clips)
