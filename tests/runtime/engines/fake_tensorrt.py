"""A stand-in for the library ``tensorrt``: its "plan" is the ONNX file, which ONNX Runtime runs on the host.

It has the calls that the engine makes, with TensorRT's names, and reads and writes tensors by their address.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime

__version__ = "11.0.fake"
built: list[int] = []
MAGIC = b"fake plan"
MemoryPoolType = SimpleNamespace(WORKSPACE=0)
NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)


class Logger:
    WARNING = 1

    def __init__(self, severity):
        pass


class Builder:
    def __init__(self, logger):
        pass

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return SimpleNamespace(model=None)

    def create_builder_config(self):
        return SimpleNamespace(set_memory_pool_limit=lambda pool, size: None)

    def build_serialized_network(self, network, config):
        built.append(len(network.model))
        return bytearray(MAGIC + network.model)


class OnnxParser:
    def __init__(self, network, logger):
        self._network = network
        self.num_errors = 0

    def parse(self, model):
        operators = {n.op_type for n in onnx.load_from_string(model).graph.node}
        self.num_errors = int("Softmax" in operators)
        self._network.model = model
        return not self.num_errors

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: "no Softmax here")


class Runtime:
    def __init__(self, logger):
        pass

    def deserialize_cuda_engine(self, plan):
        return Engine(plan[len(MAGIC) :]) if plan.startswith(MAGIC) else None


class Engine:
    def __init__(self, model):
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        both = (*self._session.get_inputs(), *self._session.get_outputs())
        self.shapes = {tensor.name: tuple(tensor.shape) for tensor in both}

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def create_execution_context(self):
        return Context(self._session, self.shapes)


class Context:
    def __init__(self, session, shapes):
        self._session, self._shapes, self._addresses = session, shapes, {}

    def set_tensor_address(self, name, address):
        self._addresses[name] = address

    def _array(self, name):
        shape = self._shapes[name]
        pointer = ctypes.cast(self._addresses[name], ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, shape)

    def execute_async_v3(self, stream):
        inputs = {i.name: self._array(i.name) for i in self._session.get_inputs()}
        names = [o.name for o in self._session.get_outputs()]
        for name, value in zip(names, self._session.run(names, inputs), strict=True):
            self._array(name)[...] = value
        return True
