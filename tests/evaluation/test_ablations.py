"""The ablations switch off what they say, and leave the network that they are made of as it is."""

import numpy as np
import pytest
import torch

from asyncmde_sim.depth.engines import TorchFastEngine
from asyncmde_sim.depth.fast_path import FastPath
from asyncmde_sim.depth.memory import combine_gates
from asyncmde_sim.evaluation.ablations import encoder_memory, memory_ablations

SIZE = (64, 96)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)


@pytest.fixture
def fast():
    torch.manual_seed(0)
    model = FastPath().eval().requires_grad_(False)
    for gate, bias in ((model.smu.gate1, 2.0), (model.smu.gate4, -2.0)):
        gate[-1].bias.fill_(bias)
    return TorchFastEngine(model, SIZE)


def trust_of(ablation, memory):
    state = ablation.refreshed(None, memory, IMAGES[0])
    return ablation.fast.run(IMAGES[1], state)[2]


def test_each_gate_alone_bounds_what_both_say(fast):
    rows, memory = memory_ablations(fast), encoder_memory(fast, IMAGES[0])
    fine, coarse = (trust_of(rows[name], memory) for name in ("gate 1", "gate 4"))
    both = fast.run(IMAGES[1], fast.refreshed(None, memory))[2]
    assert fine.min() > 0.8 and coarse.max() < 0.2
    assert ((coarse < both) & (both < fine)).all()
    assert fast.model.smu.combine is combine_gates


def test_a_memory_of_its_own_adds_nothing_to_the_same_image(fast):
    row = memory_ablations(fast)["own memory"]
    seeded = row.refreshed(None, None, IMAGES[0])
    own = encoder_memory(fast, IMAGES[0])
    for image, adds in zip(IMAGES, (False, True), strict=True):
        state = row.fast.run(image, seeded)[1]
        same = [
            torch.allclose(a, b, atol=0.02 * float(b.abs().max()))
            for a, b in zip(state.memory, own, strict=True)
        ]
        assert not all(same) if adds else all(same)
