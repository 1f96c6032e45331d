"""How long the depth networks take on this machine, alone and side by side."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from asyncmde_sim.depth.fast_path import FastPath
from asyncmde_sim.depth.memory import MemoryState
from asyncmde_sim.runtime.concurrent_source import ConcurrentSource, Listener, TimedRun
from asyncmde_sim.runtime.engines import Engines, load_engines
from asyncmde_sim.runtime.latency import LatencyDistribution, LatencyProfile
from asyncmde_sim.runtime.schedule import PathName
from asyncmde_sim.runtime.types import Frame

Size = tuple[int, int]
Vit = Literal["small", "base"]
VITS: dict[Vit, dict[str, Any]] = {
    "small": {"hidden": 384, "heads": 6, "neck": [48, 96, 192, 384], "fusion": 64},
    "base": {"hidden": 768, "heads": 12, "neck": [96, 192, 384, 768], "fusion": 128},
}
"""Depth Anything V2, small and base."""
WARM_RUNS = 3
MIN_RUNS = 5
MAX_SAMPLES = 200
"""Samples of each latency that a profile holds."""


@dataclass(frozen=True)
class Durations:
    """Durations of one thing.

    Args:
        seconds: One or more.
    """

    seconds: NDArray[np.float64]

    def percentile_ms(self, percent: float) -> float:
        """A percentile in milliseconds."""
        return float(np.percentile(self.seconds, percent) * 1e3)

    @property
    def per_second(self) -> float:
        """How often it goes into a second."""
        return float(1 / self.seconds.mean())

    @property
    def distribution(self) -> LatencyDistribution:
        """For a latency profile: at most ``MAX_SAMPLES`` of them, evenly from the shortest to the longest."""
        ordered = np.sort(self.seconds)
        chosen = np.linspace(0, len(ordered) - 1, min(len(ordered), MAX_SAMPLES)).round().astype(int)
        return LatencyDistribution(tuple(int(s * 1e9) for s in ordered[chosen]))


def timed(run: Callable[[], object], budget_s: float) -> Durations:
    """Run again and again for a time, after ``WARM_RUNS`` that do not count; at least ``MIN_RUNS``."""
    for _ in range(WARM_RUNS):
        run()
    seconds: list[float] = []
    while len(seconds) < MIN_RUNS or sum(seconds) < budget_s:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return Durations(np.array(seconds))


@dataclass(frozen=True)
class Ceilings:
    """What this machine can do at best under torch in float32.

    Args:
        flops: Floating-point operations a second, by a large matrix product.
        bytes_per_s: Memory traffic a second, by a large copy.
    """

    flops: float
    bytes_per_s: float

    @classmethod
    def measured(cls) -> Ceilings:
        """Of this machine, by the best of several runs."""
        a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
        product = timed(lambda: a @ b, 1.0).seconds.min()
        source = torch.rand(32_000_000)
        target = torch.empty_like(source)
        copied = timed(lambda: target.copy_(source), 1.0).seconds.min()
        return cls(2 * 2048**3 / product, 2 * source.nbytes / copied)

    def floor_s(self, flops: float, traffic_bytes: float) -> float:
        """The least time for that many operations and that much memory traffic."""
        return max(flops / self.flops, traffic_bytes / self.bytes_per_s)


@dataclass(frozen=True)
class NetworkTimes:
    """One network at one size under torch in float32.

    Args:
        durations: Of a run.
        flops: Floating-point operations of a run, as torch counts them.
        traffic_bytes: The least memory traffic of a run: weights once, inputs and outputs once.
    """

    durations: Durations
    flops: float
    traffic_bytes: float


@dataclass(frozen=True)
class FastPathTimes:
    """The fast path at one size: all of it, and its spatial memory unit alone."""

    whole: NetworkTimes
    memory_unit: Durations


@torch.inference_mode()
def fast_path_times(size: Size, budget_s: float) -> FastPathTimes:
    """Time the fast path, weights and frames at random: they take the same time."""
    torch.manual_seed(0)
    model = FastPath().eval()
    image = torch.rand(1, 3, *size)
    levels = model.encoder(image)
    memory = tuple(torch.rand(1, 128, *level.shape[-2:]) for level in levels)
    state, _ = model.smu(levels, MemoryState(memory))
    whole = _network_times(model, lambda: model(image, state), [image, *memory, *memory], budget_s)
    return FastPathTimes(whole, timed(lambda: model.smu(levels, state), budget_s / 2))


@torch.inference_mode()
def vit_times(vit: Vit, size: Size, budget_s: float) -> NetworkTimes:
    """Time Depth Anything V2 with random weights.

    Raises:
        ModuleNotFoundError: transformers is not installed.
    """
    model = random_vit(vit)
    image = torch.rand(1, 3, *size)
    carried = [image, image[:, 0]]
    return _network_times(model, lambda: model(pixel_values=image).predicted_depth, carried, budget_s)


def random_vit(vit: Vit) -> Any:
    """A transformers ``DepthAnythingForDepthEstimation`` of a size, untrained.

    Raises:
        ModuleNotFoundError: transformers is not installed.
    """
    try:
        from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config
    except ImportError as error:
        raise ModuleNotFoundError(
            "Depth Anything models need transformers: pip install 'asyncmde-sim[transformers]'"
        ) from error
    kind = VITS[vit]
    backbone: dict[str, Any] = {
        "hidden_size": kind["hidden"],
        "num_attention_heads": kind["heads"],
        "num_hidden_layers": 12,
        "image_size": 518,
        "patch_size": 14,
        "out_features": ["stage3", "stage6", "stage9", "stage12"],
        "reshape_hidden_states": False,
        "apply_layernorm": True,
    }
    config = DepthAnythingConfig(
        backbone_config=Dinov2Config(**backbone),
        reassemble_hidden_size=kind["hidden"],
        neck_hidden_sizes=kind["neck"],
        fusion_hidden_size=kind["fusion"],
        patch_size=14,
    )
    torch.manual_seed(0)
    return DepthAnythingForDepthEstimation(config).eval()


def _network_times(
    model: nn.Module, run: Callable[[], object], carried: Sequence[Tensor], budget_s: float
) -> NetworkTimes:
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    traffic = sum(p.nbytes for p in model.parameters()) + sum(t.nbytes for t in carried)
    return NetworkTimes(timed(run, budget_s), counter.get_total_flops(), traffic)


@dataclass(frozen=True)
class PathTimes:
    """Both paths under one engine.

    Args:
        fast: The fast path alone.
        slow: The slow path alone.
        fast_beside: The fast path's runs that started while the slow path ran, without a pause between them.
        slow_beside: The slow path's runs meanwhile.
    """

    fast: Durations
    slow: Durations
    fast_beside: Durations
    slow_beside: Durations

    def profile(self, name: str, source: str) -> LatencyProfile:
        """What ``--device`` charges."""
        return LatencyProfile(
            name,
            source,
            self.fast.distribution,
            self.fast_beside.distribution,
            self.slow.distribution,
            self.slow_beside.distribution,
        )


def path_times(engines: Engines, images: Sequence[NDArray[np.uint8]], budget_s: float) -> PathTimes:
    """Time both paths of an engine, alone and side by side.

    Args:
        engines: The networks.
        images: At least one image (H, W, 3).
        budget_s: Time for each of the three measurements.
    """
    state = engines.fast.refreshed(None, engines.slow.memory(images[0]))
    _, state, _ = engines.fast.run(images[0], state)
    fast = timed(lambda: engines.fast.run(images[0], state), budget_s)
    slow = timed(lambda: engines.slow.memory(images[0]), budget_s)
    runs = beside(engines, images, budget_s)
    return PathTimes(fast, slow, _contended(runs, "fast"), _contended(runs, "slow"))


def _contended(runs: Sequence[TimedRun], path: PathName) -> Durations:
    seconds = [(r.end_ns - r.start_ns) / 1e9 for r in runs if r.path == path and r.contended]
    if not seconds:
        raise ValueError(f"the {path} path never started beside the other one: give it more seconds")
    return Durations(np.array(seconds))


def beside(engines: Engines, images: Sequence[NDArray[np.uint8]], budget_s: float) -> list[TimedRun]:
    """Every run while both paths run, each starting again at once; the first second is left out."""
    runs: list[TimedRun] = []
    done = threading.Event()

    class Notes(Listener):
        def ran(self, run: TimedRun) -> None:
            runs.append(run)
            done.set()

    with ConcurrentSource(engines, listener=Notes()) as source:
        source.reset()
        start = time.monotonic_ns()
        index = 0
        while time.monotonic_ns() - start < (budget_s + 1) * 1e9:
            source.offer(Frame(images[index % len(images)], time.monotonic_ns()))
            index += 1
            done.wait(0.005)
            done.clear()
        source.newest(time.monotonic_ns())
    return [run for run in runs if run.start_ns > start + 1e9]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """With that many threads for a network, under any engine that is loaded meanwhile."""
    before, told = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(count)
    os.environ["OMP_NUM_THREADS"] = str(count)
    load_engines.cache_clear()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        load_engines.cache_clear()
        if told is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = told
