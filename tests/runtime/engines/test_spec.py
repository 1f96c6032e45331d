"""Names of engines."""

import pytest

from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.engines.spec import EngineSpec, parse_engine


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("torch", EngineSpec()),
        ("torch@cuda", EngineSpec("torch", None, "cuda")),
        ("onnx-int8", EngineSpec("onnx", "int8", "cpu")),
        ("onnx-fp16@tensorrt", EngineSpec("onnx", "fp16", "tensorrt")),
        ("tensorrt-fp16", EngineSpec("tensorrt", "fp16", "cuda")),
        ("onnx-fp32@any", EngineSpec("onnx", "fp32", "any")),
    ],
)
def test_names(text, spec):
    assert parse_engine(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jax", "unknown engine 'jax': give torch, onnx-fp32"),
        ("onnx", "the engine 'onnx' has the precision None, but"),
        ("torch-int8", "the engine 'torch' has the precision 'int8'"),
        ("tensorrt-fp16@cpu", "'tensorrt' does not run on 'cpu': choose one of cuda"),
        ("torch@any", "'torch' does not run on 'any': choose one of cpu, cuda"),
    ],
)
def test_what_there_is_not_is_refused_for_every_source(text, message):
    with pytest.raises(ValueError, match=message):
        parse_engine(text)
    with pytest.raises(ValueError, match=message):
        make_source("oracle", engine=text)
