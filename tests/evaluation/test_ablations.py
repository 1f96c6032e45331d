"""The ablations switch off what they say, and leave the network that they are made of as it is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asyncmde_sim.depth.fast_path import FastPath
from asyncmde_sim.depth.memory import combine_gates
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.evaluation.ablations import ablations, asynchronous_sources, encoder_memory
from asyncmde_sim.runtime import Frame
from asyncmde_sim.runtime.engines.torch_engine import TorchFastEngine, TorchSlowEngine
from asyncmde_sim.runtime.refresh import EveryN
from asyncmde_sim.runtime.types import View
from asyncmde_sim.scenes.camera import Camera

SIZE = (64, 96)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
CAMERA = Camera(width=96, height=64).pinhole


@pytest.fixture(scope="module")
def engines():
    torch.manual_seed(0)
    model = FastPath().eval().requires_grad_(False)
    for gate, bias in ((model.smu.gate1, 2.0), (model.smu.gate4, -2.0)):
        gate[-1].bias.fill_(bias)
    slow = ConvSlowPath().eval().requires_grad_(False)
    fast = TorchFastEngine(model, SIZE)
    return SimpleNamespace(slow=TorchSlowEngine(slow, SIZE), fast=fast, single=None)


def estimates(variant, yaws=(0.0, 0.0, 0.0)):
    """Estimates of the three images, taken from one place at these angles, refreshed at the first."""
    source = variant(EveryN(9))
    source.reset(0)
    found = []
    for time, (image, yaw) in enumerate(zip(IMAGES, yaws, strict=True)):
        pose = np.eye(4)
        pose[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(yaw), np.sin(yaw), -np.sin(yaw), np.cos(yaw)
        source.offer(Frame(image, time, view=View(pose, CAMERA)))
        found.append(source.newest(time))
    return found


def test_each_gate_alone_bounds_what_both_say(engines):
    rows = ablations(engines)
    fine, coarse = (estimates(rows[name])[1].trust for name in ("gate 1", "gate 4"))
    both = estimates(asynchronous_sources(engines)["async"])[1].trust
    assert fine.min() > 0.8 and coarse.max() < 0.2
    assert ((coarse < both) & (both < fine)).all()
    assert engines.fast.model.smu.combine is combine_gates


def test_a_memory_of_its_own_adds_nothing_to_the_same_image(engines):
    own = encoder_memory(engines.fast, IMAGES[0])
    seeded = engines.fast.refreshed(None, own)
    for image, adds in zip(IMAGES, (False, True, True), strict=True):
        state = engines.fast.run(image, seeded)[1]
        same = [
            torch.allclose(a, b, atol=0.02 * float(b.abs().max()))
            for a, b in zip(state.memory, own, strict=True)
        ]
        assert not all(same) if adds else all(same)
    row = estimates(ablations(engines)["own memory"])
    expected = engines.fast.run(IMAGES[0], seeded)[0]
    np.testing.assert_allclose(row[0].depth, expected, rtol=1e-3)


def test_without_motion_a_turned_memory_is_the_papers_and_with_it_is_not(engines):
    rows, paper = ablations(engines), asynchronous_sources(engines)["async"]
    still, moved = (
        np.abs(estimates(rows["turned memory"], yaws)[-1].depth - estimates(paper, yaws)[-1].depth).mean()
        for yaws in ((0.0, 0.0, 0.0), (0.0, 0.2, 0.4))
    )
    assert still < 0.3 * moved


def test_carried_depth_and_turned_memory_are_the_two_parts_of_ours(engines):
    rows = ablations(engines)
    ours = estimates(asynchronous_sources(engines)["async-odometry"])[-1].depth
    carried = estimates(rows["carried depth"])[-1].depth
    np.testing.assert_allclose(ours, carried, rtol=1e-3)
    assert not np.allclose(ours, estimates(rows["turned memory"])[-1].depth, rtol=1e-2)
