"""Environment steps a second: environments stepped one by one, and side by side with their depth."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from asyncmde_sim.depth.weights_folder import find_weights
from asyncmde_sim.envs.vector_depth import VectorDepthWrapper, rendering_workers
from asyncmde_sim.runtime.engines.onnx_file import onnx_file
from asyncmde_sim.runtime.types import DepthSource


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Args:
        steps_per_s: Environment steps a second, of all environments together.
        cpu_ms: Processor time of this process and its workers for one environment step, milliseconds.
    """

    steps_per_s: float
    cpu_ms: float


MakeEnv = Callable[[], gym.Env[Any, Any]]


def one_by_one(make_env: MakeEnv, count: int, steps: int) -> Throughput:
    """Environments with depth wrappers of their own, stepped in turn in this process.

    Args:
        make_env: Makes an environment with the depth wrapper.
        count: How many.
        steps: Steps of each that are timed; an environment whose episode ends starts another.
    """
    envs = [make_env() for _ in range(count)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    actions = _actions(envs[0].action_space, count)

    def step() -> None:
        for env, action in zip(envs, actions, strict=True):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    measured = _timed(step, steps, count)
    for env in envs:
        env.close()
    return measured


def side_by_side(
    make_plain: MakeEnv, make_source: Callable[[], DepthSource], count: int, steps: int
) -> Throughput:
    """The same environments in worker processes, with their sources in this one.

    Args:
        make_plain: Makes an environment without depth.
        make_source: Makes a depth source.
        count: How many environments.
        steps: Steps of each that are timed.
    """
    env = VectorDepthWrapper(rendering_workers(make_plain, count), make_source)
    env.reset(seed=0)
    actions = _actions(env.single_action_space, count)
    measured = _timed(lambda: env.step(actions), steps, count)
    env.close()
    return measured


def _actions(space: gym.Space[Any], count: int) -> np.ndarray[Any, Any]:
    """Slow turns on the spot, which hit nothing: a tenth of the last number of an action."""
    actions = np.zeros((count, *space.shape), np.float32)  # type: ignore[misc]
    actions[:, -1] = np.linspace(0.1, 0.3, count)
    return actions


def _timed(step: Callable[[], object], steps: int, count: int) -> Throughput:
    for _ in range(WARM_UP):
        step()
    cpu, start = _cpu_s(), time.perf_counter()
    for _ in range(steps):
        step()
    wall, spent = time.perf_counter() - start, _cpu_s() - cpu
    return Throughput(steps * count / wall, 1e3 * spent / (steps * count))


WARM_UP = 10
"""Steps before the clock starts: the first estimates need the networks loaded."""


def _cpu_s() -> float:
    """Processor time of this process and of its workers, seconds."""
    total = 0
    for pid in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        total += int(user) + int(system)
    return total / os.sysconf("SC_CLK_TCK")


def batch_ms(weights: str | None, sizes: Sequence[int], seconds: float) -> dict[int, float]:
    """Processor time a frame of the fast path in 8 bits on one thread, milliseconds, by frames in a batch.

    The exported file takes one frame; its batch size is changed in memory.

    Args:
        weights: Name or folder of weights; None is the shipped ones.
        sizes: Frames in a batch.
        seconds: Time for each.

    Raises:
        ModuleNotFoundError: The extra ``onnx`` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ModuleNotFoundError(
            "to time batches needs the extra 'onnx': pip install 'asyncmde-sim[onnx]'"
        ) from error
    import onnxruntime

    path = onnx_file(find_weights(weights), "fast", "int8")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found = {}
    for size in sizes:
        model = _for_batches(onnx.load(path), size)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        rng = np.random.default_rng(0)
        inputs = {i.name: rng.random((size, *i.shape[1:]), np.float32) for i in session.get_inputs()}
        session.run(None, inputs)
        runs, start, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            session.run(None, inputs)
            runs += 1
        found[size] = 1e3 * (time.process_time() - cpu) / (runs * size)
    return found


def _for_batches(model: Any, size: int) -> Any:
    from onnx import numpy_helper

    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    del graph.value_info[:]
    targets = {node.input[3] for node in graph.node if node.op_type == "Resize" and len(node.input) > 3}
    constants = [n.attribute[0].t for n in graph.node if n.op_type == "Constant" and n.output[0] in targets]
    for tensor in (*constants, *(t for t in graph.initializer if t.name in targets)):
        shape = numpy_helper.to_array(tensor).copy()
        shape[0] = size
        tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    return model
