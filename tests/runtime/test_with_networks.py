"""The laws of time with real networks, untrained: bit for bit, and in depth that is not constant."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.runtime import Frame
from asyncmde_sim.runtime.async_sources import AsyncSource
from asyncmde_sim.runtime.engines.torch_engine import TorchFastEngine, TorchSingleEngine, TorchSlowEngine
from asyncmde_sim.runtime.refresh import FreeRunning
from asyncmde_sim.runtime.sources import SinglePathSource

SIZE = (32, 64)
TIMES = range(0, 30, 10)


@pytest.fixture(scope="module")
def engines():
    torch.manual_seed(0)
    slow, fast, single = (
        m().eval().requires_grad_(False) for m in (ConvSlowPath, FastPath, FastPathWithoutMemory)
    )
    return SimpleNamespace(
        slow=TorchSlowEngine(slow, SIZE),
        fast=TorchFastEngine(fast, SIZE),
        single=TorchSingleEngine(single, SIZE),
    )


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    return [Frame(rng.integers(0, 256, (40, 70, 3), dtype=np.uint8), at) for at in TIMES]


def test_async_without_latency_is_slow_then_fast_in_sequence(engines, frames, make_profile, replay):
    answers = replay(AsyncSource(engines, make_profile(), FreeRunning()), frames, TIMES)
    state = None
    for frame in frames:
        state = engines.fast.refreshed(state, engines.slow.memory(frame.image))
        depth, state, trust = engines.fast.run(frame.image, state)
        answer = answers[frame.time_ns]
        assert answer.depth.shape == frame.image.shape[:2]
        assert answer.depth.dtype == np.float32
        assert answer.depth.std() > 0
        assert np.array_equal(answer.depth, depth)
        assert np.array_equal(answer.trust, trust)


def test_single_paths_are_their_networks(engines, frames, make_profile, replay):
    for path, run in (("slow", engines.slow.run), ("fast", engines.single.run)):
        answers = replay(SinglePathSource(path, engines, make_profile()), frames, TIMES)
        assert all(np.array_equal(answers[f.time_ns].depth, run(f.image)) for f in frames)


def test_estimates_that_were_given_are_not_written_to_later(engines, frames, make_profile, replay):
    source = AsyncSource(engines, make_profile(fast=3, slow=12), FreeRunning())
    seen = {
        now: a and (a, a.depth.copy(), a.trust.copy()) for now, a in replay(source, frames, range(45)).items()
    }
    again = replay(source, frames, range(45))
    assert any(seen.values())
    for now, entry in seen.items():
        if entry:
            estimate, depth, trust = entry
            assert np.array_equal(estimate.depth, depth) and np.array_equal(estimate.trust, trust)
            assert np.array_equal(again[now].depth, depth)
