"""Trains the fast path, with and without its memory, from the slow path.

First the encoder and projector learn to give the slow path's features (distillation: cheap, as nothing is
decoded), then they learn depth frame by frame: that is the control. With it the fast path starts; the slow
path is aligned to its features (see ``align``), and the gates learn what to keep of the memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory, initialise_decoder
from asyncmde_sim.depth.losses import asyncmde_loss
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.slow_path import SlowPath
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.loop import Schedule, mixed_precision, optimise, to_device

DECODED_FRAMES = 3
"""Frames a clip that are decoded and scored; the others only update the memory, which is cheap."""


def distillation_loss(model: FastPathWithoutMemory, teacher: SlowPath, batch: Batch) -> Tensor:
    """Squared distance of the projected features to the slow path's, each level over its power."""
    images = batch.images.flatten(0, 1)
    with mixed_precision(images.device):
        with torch.no_grad():
            targets = teacher.features(images)
        features = model.features(images)
    losses = [
        mse_loss(resize(f.float(), t.shape[-2:]), t.float()) / t.float().square().mean()
        for f, t in zip(features, targets, strict=True)
    ]
    return torch.stack(losses).mean()


def without_memory_loss(model: FastPathWithoutMemory, batch: Batch) -> Tensor:
    """The paper's loss and the metric term, frame by frame."""
    images, depth, valid = (x.flatten(0, 1) for x in (batch.images, batch.depth, batch.valid))
    with mixed_precision(images.device):
        estimate = model(images)
    return asyncmde_loss(estimate, depth, valid)


def clip_loss(model: FastPath, teacher: SlowPath, batch: Batch, rng: torch.Generator) -> Tensor:
    """The paper's loss and the metric term on clips whose memory the slow path fills at the first frame.

    The fast path starts at a random one of the first frames, as under latency a refresh is old when it
    lands, and ``DECODED_FRAMES`` random frames are scored.
    """
    frames = batch.images.shape[1]
    precision = mixed_precision(batch.images.device)
    with torch.no_grad(), precision:
        state = MemoryState(tuple(teacher.features(batch.images[:, 0])))
    first = int(torch.randint(0, frames // 2, (1,), generator=rng))
    order = first + torch.randperm(frames - first, generator=rng)
    scored = set(order[:DECODED_FRAMES].tolist())
    losses = []
    for index in range(first, frames):
        images = batch.images[:, index]
        with precision:
            state, trust = model.fuse(images, state)
            if index not in scored:
                continue
            depth = model.decoder(state.memory, tuple(images.shape[-2:]))
        losses.append(asyncmde_loss(depth, batch.depth[:, index], batch.valid[:, index], trust.float()))
    return torch.stack(losses).mean()


def distil(
    model: FastPathWithoutMemory, teacher: SlowPath, views: ClipPool, schedule: Schedule, seed: int
) -> None:
    """Distil the slow path's features into ``model`` and give it the slow path's decoder."""
    initialise_decoder(model.decoder, teacher.decoder)
    to_device(teacher, views.device)
    to_device(model, views.device).train()
    optimise(
        [*model.encoder.parameters(), *model.projector.parameters()],
        views.batches(schedule.batch, schedule.steps, seed),
        lambda b: distillation_loss(model, teacher, b),
        schedule,
    )


def train_without_memory(
    model: FastPathWithoutMemory, views: ClipPool, schedule: Schedule, seed: int, save: Callable[[], None]
) -> None:
    """Train the control on single frames."""
    to_device(model, views.device).train()
    optimise(
        model.parameters(),
        views.batches(schedule.batch, schedule.steps, seed),
        lambda b: without_memory_loss(model, b),
        schedule,
        on_report=lambda _: save(),
    )
    model.eval()


def train_fast(
    model: FastPath,
    teacher: SlowPath,
    clips: ClipPool,
    gates: Schedule,
    everything: Schedule | None,
    seed: int,
    save: Callable[[], None],
) -> None:
    """Train the fast path on clips: its gates alone first, then all of it, if that has a schedule.

    Batch statistics stay fixed. Trained for a short time on few clips, all of it forgets what the control had
    learned, and estimates worse than the control wherever the memory is of no use.
    """
    to_device(teacher, clips.device)
    to_device(model, clips.device).eval()
    rng = torch.Generator().manual_seed(seed)
    smu = model.smu
    for schedule, trained in ((gates, nn.ModuleList([smu.gate1, smu.gate4])), (everything, model)):
        if schedule is None:
            continue
        model.requires_grad_(False)
        trained.requires_grad_(True)
        optimise(
            model.parameters(),
            clips.batches(schedule.batch, schedule.steps, seed),
            lambda b: clip_loss(model, teacher, b, rng),
            schedule,
            on_report=lambda _: save(),
        )


def start_from(model: FastPath, control: FastPathWithoutMemory) -> None:
    """Give the fast path the control's encoder, projector and decoder: without memory it is the control."""
    model.encoder.load_state_dict(control.encoder.state_dict())
    model.smu.projector.load_state_dict(control.projector.state_dict())
    model.decoder.load_state_dict(control.decoder.state_dict())
