"""Trains the fast path, with and without its memory, from the slow path.

First the encoder and projector learn to give the slow path's features (distillation: cheap, as nothing is
decoded), then the whole path learns depth on clips whose memory the slow path has filled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory, initialise_decoder
from asyncmde_sim.depth.losses import asyncmde_loss
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.slow_path import SlowPath
from asyncmde_sim.training.data import Batch, batches
from asyncmde_sim.training.loop import Schedule, optimise

DECODED_FRAMES = 3
"""Frames a clip that are decoded and scored; the others only update the memory, which is cheap."""


def distillation_loss(model: FastPathWithoutMemory, teacher: SlowPath, batch: Batch) -> Tensor:
    """Squared distance of the projected features to the slow path's, each level over its power."""
    images = batch.images.flatten(0, 1)
    with torch.no_grad():
        targets = teacher.features(images)
    features = model.features(images)
    losses = [
        mse_loss(resize(f, t.shape[-2:]), t) / t.square().mean()
        for f, t in zip(features, targets, strict=True)
    ]
    return torch.stack(losses).mean()


def without_memory_loss(model: FastPathWithoutMemory, batch: Batch) -> Tensor:
    """The paper's loss and the metric term, frame by frame."""
    images, depth, valid = (x.flatten(0, 1) for x in (batch.images, batch.depth, batch.valid))
    return asyncmde_loss(model(images), depth, valid)


def clip_loss(model: FastPath, teacher: SlowPath, batch: Batch, rng: torch.Generator) -> Tensor:
    """The paper's loss and the metric term on clips whose memory the slow path fills at the first frame.

    The fast path starts at a random one of the first frames, as under latency a refresh is old when it
    lands, and ``DECODED_FRAMES`` random frames are scored.
    """
    frames = batch.images.shape[1]
    with torch.no_grad():
        state = MemoryState(tuple(teacher.features(batch.images[:, 0])))
    first = int(torch.randint(0, frames // 2, (1,), generator=rng))
    order = first + torch.randperm(frames - first, generator=rng)
    scored = set(order[:DECODED_FRAMES].tolist())
    losses = []
    for index in range(first, frames):
        images = batch.images[:, index]
        state, trust = model.fuse(images, state)
        if index in scored:
            depth = model.decoder(state.memory, tuple(images.shape[-2:]))
            losses.append(asyncmde_loss(depth, batch.depth[:, index], batch.valid[:, index], trust))
    return torch.stack(losses).mean()


def distil(
    model: FastPathWithoutMemory, teacher: SlowPath, views: Path, schedule: Schedule, seed: int
) -> None:
    """Distil the slow path's features into ``model`` and give it the slow path's decoder."""
    initialise_decoder(model.decoder, teacher.decoder)
    model.train()
    optimise(
        [*model.encoder.parameters(), *model.projector.parameters()],
        batches(views, schedule.batch, schedule.steps, seed),
        lambda b: distillation_loss(model, teacher, b),
        schedule,
    )


def train_without_memory(
    model: FastPathWithoutMemory, views: Path, schedule: Schedule, seed: int, save: Callable[[], None]
) -> None:
    """Train the control on single frames."""
    model.train()
    optimise(
        model.parameters(),
        batches(views, schedule.batch, schedule.steps, seed),
        lambda b: without_memory_loss(model, b),
        schedule,
        on_report=lambda _: save(),
    )
    model.eval()


def train_fast(
    model: FastPath, teacher: SlowPath, clips: Path, schedule: Schedule, seed: int, save: Callable[[], None]
) -> None:
    """Train the fast path on clips."""
    model.train()
    rng = torch.Generator().manual_seed(seed)
    optimise(
        model.parameters(),
        batches(clips, schedule.batch, schedule.steps, seed),
        lambda b: clip_loss(model, teacher, b, rng),
        schedule,
        on_report=lambda _: save(),
    )
    model.eval()


def start_from(model: FastPath, distilled: FastPathWithoutMemory) -> None:
    """Give the fast path a distilled encoder, projector and decoder."""
    model.encoder.load_state_dict(distilled.encoder.state_dict())
    model.smu.projector.load_state_dict(distilled.projector.state_dict())
    model.decoder.load_state_dict(distilled.decoder.state_dict())
