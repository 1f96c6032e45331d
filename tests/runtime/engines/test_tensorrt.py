"""The TensorRT engine around a stand-in for the library: bindings, state and cache."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime.engines import load_engines
from asyncmde_sim.runtime.engines.onnx_file import onnx_file
from asyncmde_sim.runtime.engines.spec import EngineSpec
from asyncmde_sim.runtime.engines.tensorrt_engine import TensorRtEngines, TensorRtNetwork, engine_cache

HOST = torch.device("cpu")
FP32 = EngineSpec("tensorrt", "fp32", "cuda")


@pytest.fixture
def library(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("tensorrt", Path(__file__).with_name("fake_tensorrt.py"))
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setenv("ASYNCMDE_CACHE", str(tmp_path / "cache"))
    return fake


def test_a_clip_is_what_it_is_under_onnx_runtime(library, exported, clip):
    ours = TensorRtEngines(str(exported[0]), 0.5, spec=FP32, device=HOST)
    theirs = load_engines(str(exported[0]), 0.5, "onnx-fp32")
    states = [None, None]
    for index, image in enumerate(clip[:6]):
        estimates = []
        for which, engines in enumerate((ours, theirs)):
            if index in (0, 3):
                memory = engines.slow.memory(image)
                states[which] = engines.fast.refreshed(states[which], memory)
            depth, states[which], trust = engines.fast.run(image, states[which])
            estimates.append((depth, trust, engines.single.run(image), engines.slow.run(image)))
        for a, b in zip(*estimates, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_a_refresh_is_taken_where_it_lies_and_earlier_states_stay(library, exported, clip):
    engines = TensorRtEngines(str(exported[0]), None, spec=FP32, device=HOST)
    memory = engines.slow.memory(clip[0])
    state = engines.fast.refreshed(None, memory)
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(state.memory, memory, strict=True))
    _, first, _ = engines.fast.run(clip[0], state)
    kept = [m.clone() for m in first.memory]
    engines.fast.run(clip[1], first)
    assert all(torch.equal(a, b) for a, b in zip(first.memory, kept, strict=True))


def test_its_state_turns_like_that_of_onnx_runtime(library, exported, clip):
    camera = Intrinsics(120, 80, 60.0, 60.0, 59.5, 39.5)
    rotation = np.array([[0.995, 0, 0.1], [0, 1, 0], [-0.1, 0, 0.995]])
    turned = []
    for engines in (
        TensorRtEngines(str(exported[0]), None, spec=FP32, device=HOST),
        load_engines(str(exported[0]), None, "onnx-fp32"),
    ):
        _, state, _ = engines.fast.run(clip[0], engines.fast.refreshed(None, engines.slow.memory(clip[0])))
        turned.append(engines.fast.turned(state, rotation, camera))
    for a, b in zip(turned[0].memory, turned[1].memory, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=2e-2, rtol=1e-3)


def test_an_engine_is_built_once_and_again_when_anything_changed(library, exported, monkeypatch):
    def load():
        TensorRtNetwork(exported[0], "fast-only", FP32, HOST)
        return len(library.built)

    assert [load(), load()] == [1, 1]
    monkeypatch.setattr(library, "__version__", "12.0.fake")
    assert [load(), load()] == [2, 2]


@pytest.mark.parametrize("harm", [lambda c: c[: len(c) // 2], lambda c: c[:-1] + b"x", lambda c: b""])
def test_a_corrupt_cache_is_built_again_and_said(library, exported, caplog, harm):
    TensorRtNetwork(exported[0], "fast-only", FP32, HOST)
    (cached,) = engine_cache().iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(harm(whole))
    TensorRtNetwork(exported[0], "fast-only", FP32, HOST)
    assert "is not whole or not for this TensorRT: it is built again" in caplog.text
    assert cached.read_bytes() == whole and len(library.built) == 2


def test_what_tensorrt_refuses_is_one_sentence(library, exported, tmp_path, monkeypatch):
    shutil.copy(exported[0] / "config.json", tmp_path)
    model = onnx.load(onnx_file(exported[0], "fast-only", "fp32"))
    model.graph.node[0].op_type = "Softmax"
    onnx.save(model, onnx_file(tmp_path, "fast-only", "fp32"))
    with pytest.raises(ValueError, match=r"cannot parse .*fast-only\.fp32\.onnx \(no Softmax here\)"):
        TensorRtNetwork(tmp_path, "fast-only", FP32, HOST)
    monkeypatch.setattr(library.Builder, "build_serialized_network", lambda *_: None)
    with pytest.raises(ValueError, match=r"cannot build slow\.fp32\.onnx"):
        TensorRtNetwork(exported[0], "slow", FP32, HOST)
    monkeypatch.undo()


def test_a_gpu_without_memory_is_said(library, exported, monkeypatch):
    monkeypatch.setattr(library.Engine, "create_execution_context", lambda self: None)
    with pytest.raises(ValueError, match=r"no memory left for fast-only\.fp32\.onnx"):
        TensorRtNetwork(exported[0], "fast-only", FP32, HOST)


def test_another_size_and_a_foreign_file_are_refused(library, exported, tmp_path):
    network = TensorRtNetwork(exported[0], "fast-only", FP32, HOST)
    with pytest.raises(ValueError, match=r"image has the shape \(1, 3, 8, 8\)"):
        network(image=torch.zeros(1, 3, 8, 8))
    onnx_file(tmp_path, "fast-only", "fp32").write_bytes(b"\xff\xff no model")
    with pytest.raises(ValueError, match="cannot be read as an ONNX file"):
        TensorRtNetwork(tmp_path, "fast-only", FP32, HOST)
    with pytest.raises(FileNotFoundError, match=r"no slow\.fp32\.onnx: write it with"):
        TensorRtNetwork(tmp_path, "slow", FP32, HOST)


def test_without_tensorrt_the_extra_is_named(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ModuleNotFoundError, match="needs TensorRT and onnx: pip install"):
        _ = load_engines(str(exported[0]), None, "tensorrt-fp16").fast
