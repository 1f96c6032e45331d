"""Trains the fast path, with and without its memory, from the slow path.

First the encoder and projector learn to give the slow path's features (distillation: cheap, as nothing is
decoded), then they learn depth frame by frame: that is the control. With it the fast path starts; the slow
path is aligned to its features (see ``align``), and the gates learn what to keep of the memory. Then, where
there is a GPU for it, all of the fast path is trained on clips beside the control, and averaged with it. At
last it is tuned to see with the memory and without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory, initialise_decoder
from asyncmde_sim.depth.losses import asyncmde_loss, log_depth_loss, memory_loss
from asyncmde_sim.depth.memory import MemoryState, resize
from asyncmde_sim.depth.slow_path import SlowPath
from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.training.checkpoint import Checkpoint
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.loop import Schedule, mixed_precision, optimise, to_device

DECODED_FRAMES = 3
"""Frames a clip that are decoded and scored; the others only update the memory, which is cheap."""
CONTROL_SHARE = 0.25
"""How far the fast path is averaged with its control: on validation scenes 0.5 was as good, 0 no better."""


Label = Callable[[Batch], Batch]
"""Gives frames the depth that the networks shall learn."""


def true_depth(batch: Batch) -> Batch:
    """Frames with their rendered depth."""
    return batch


@torch.no_grad()
def slow_path_depth(teacher: SlowPath, batch: Batch) -> Batch:
    """Frames with the frozen slow path's depth on every pixel: the paper's pseudo-labels, in metres."""
    with mixed_precision(batch.images.device):
        depth = teacher(batch.images.flatten(0, 1)).float().unflatten(0, batch.depth.shape[:2])
    return replace(batch, depth=depth, valid=torch.ones_like(batch.valid))


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


def draw_frames(frames: int, rng: torch.Generator) -> tuple[int, list[int]]:
    """Where the fast path starts in a clip of so many frames, and which of the frames from there are scored.

    It starts at a random one of the first half, as under latency a refresh is old when it lands.
    """
    first = int(torch.randint(0, (frames + 1) // 2, (1,), generator=rng))
    order = first + torch.randperm(frames - first, generator=rng)
    return first, sorted(order[:DECODED_FRAMES].tolist())


def run_clip(
    model: FastPath,
    memory: Sequence[Tensor],
    batch: Batch,
    first: int,
    scored: Sequence[int],
    turning: bool = False,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Run the fast path over clips whose memory was filled at frame 0.

    Args:
        model: Runs from frame ``first`` on.
        memory: The slow path's features of frame 0.
        batch: The clips.
        first: See ``draw_frames``.
        scored: Frames that are decoded, in rising order.
        turning: Whether the memory is turned with the camera.

    Returns:
        Of the scored frames, each (B S, ...): depth, trust of level 1, and the encoder's four levels.
    """
    images = batch.images[:, first:]
    memories, trusts = [], []
    state, at = MemoryState(tuple(memory)), 0
    with mixed_precision(images.device):
        levels = [f.unflatten(0, images.shape[:2]) for f in model.encoder(images.flatten(0, 1))]
        for index in range(first, scored[-1] + 1):
            if turning and index > at:
                state = state.turned(turn_between(batch, at, index))
            state, trust = model.smu([level[:, index - first] for level in levels], state)
            at = index
            if index in scored:
                memories.append(state.memory)
                trusts.append(trust)
        features = [torch.stack(level, 1).flatten(0, 1) for level in zip(*memories, strict=True)]
        depth = model.decoder(features, tuple(images.shape[-2:]))
    seen = [level[:, [index - first for index in scored]].flatten(0, 1) for level in levels]
    return depth, torch.stack(trusts, 1).flatten(0, 1).float(), seen


def turn_between(batch: Batch, earlier: int, later: int) -> Turn:
    """How the camera of each clip turned between two of its frames."""
    height, width = batch.images.shape[-2:]
    with torch.autocast(batch.rotations.device.type, enabled=False):
        rotation = batch.rotations[:, earlier].mT @ batch.rotations[:, later]
    return Turn(rotation, Camera(width=width, height=height).pinhole)


@torch.no_grad()
def fill_memory(teacher: SlowPath, batch: Batch) -> list[Tensor]:
    """The slow path's features of each clip's frame 0."""
    with mixed_precision(batch.images.device):
        return teacher.features(batch.images[:, 0])


def clip_loss(
    model: FastPath, teacher: SlowPath, batch: Batch, first: int, scored: Sequence[int], frames: Batch
) -> Tensor:
    """The paper's loss and the metric term on ``frames``, the scored ones of the clips; see ``run_clip``."""
    depth, trust, _ = run_clip(model, fill_memory(teacher, batch), batch, first, scored)
    return asyncmde_loss(depth, frames.depth.flatten(0, 1), frames.valid.flatten(0, 1), trust)


def tuning_loss(
    model: FastPath, teacher: SlowPath, batch: Batch, first: int, scored: Sequence[int], frames: Batch
) -> Tensor:
    """Log-depth error of ``frames``, the scored ones, with the memory and without it, and L_mem."""
    depth, trust, levels = run_clip(model, fill_memory(teacher, batch), batch, first, scored)
    size = (batch.images.shape[-2], batch.images.shape[-1])
    with mixed_precision(batch.images.device):
        alone = model.decoder(model.smu.project(levels), size)
    truth = frames.depth.flatten(0, 1), frames.valid.flatten(0, 1)
    return log_depth_loss(depth, *truth) + log_depth_loss(alone, *truth) + 0.1 * memory_loss(trust)


def distil(
    model: FastPathWithoutMemory,
    teacher: SlowPath,
    views: ClipPool,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
) -> None:
    """Distil the slow path's features into ``model`` and give it the slow path's decoder."""
    initialise_decoder(model.decoder, teacher.decoder)
    to_device(teacher, views.device)
    to_device(model, views.device).train()
    optimise(
        "distil",
        [*model.encoder.parameters(), *model.projector.parameters()],
        partial(views.draw, schedule.batch),
        lambda batch, _: distillation_loss(model, teacher, batch),
        schedule,
        seed,
        checkpoint,
    )


def train_without_memory(
    model: FastPathWithoutMemory,
    views: ClipPool,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    label: Label = true_depth,
) -> None:
    """Train the control on single frames."""
    to_device(model, views.device).train()
    optimise(
        "fast-only",
        model.parameters(),
        partial(views.draw, schedule.batch),
        lambda batch, _: without_memory_loss(model, label(batch)),
        schedule,
        seed,
        checkpoint,
    )
    model.eval()


def train_gates(
    model: FastPath,
    teacher: SlowPath,
    clips: ClipPool,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    label: Label = true_depth,
) -> None:
    """Train the fast path's gates alone, on clips; batch statistics stay fixed."""
    to_device(teacher, clips.device)
    to_device(model, clips.device).eval()
    gates = nn.ModuleList([model.smu.gate1, model.smu.gate4])
    model.requires_grad_(False)
    gates.requires_grad_(True)

    def loss_of(batch: Batch, rng: torch.Generator) -> Tensor:
        first, scored = draw_frames(batch.images.shape[1], rng)
        return clip_loss(model, teacher, batch, first, scored, label(batch.frames(scored)))

    optimise(
        "gates",
        gates.parameters(),
        partial(clips.draw, schedule.batch),
        loss_of,
        schedule,
        seed,
        checkpoint,
    )


def train_fast(
    model: FastPath,
    control: FastPathWithoutMemory,
    teacher: SlowPath,
    clips: ClipPool,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    label: Label = true_depth,
) -> None:
    """Train all of the fast path on clips and the control on the same frames of them.

    Both see the same batches in the same order, so what differs in the end is the memory. It needs many
    clips: on a few thousand frames both forget what the control had learned.
    """
    to_device(teacher, clips.device)
    for network in (model, control):
        to_device(network, clips.device).requires_grad_(True).train()

    def loss_of(batch: Batch, rng: torch.Generator) -> Tensor:
        first, scored = draw_frames(batch.images.shape[1], rng)
        frames = label(batch.frames(scored))
        loss = without_memory_loss(control, frames)
        return loss + clip_loss(model, teacher, batch, first, scored, frames)

    optimise(
        "fast",
        [*model.parameters(), *control.parameters()],
        partial(clips.draw, schedule.batch),
        loss_of,
        schedule,
        seed,
        checkpoint,
    )
    model.eval()
    control.eval()


def tune(
    model: FastPath,
    before: FastPath,
    teacher: SlowPath,
    clips: ClipPool,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    label: Label = true_depth,
) -> None:
    """Train all but the fast path's encoder on metric depth, with the memory and without it.

    So it keeps seeing well by itself when the memory is of no use. Batch statistics stay fixed, and in the
    end it goes only half the way from ``before``, its copy: few clips teach more than they should.
    """
    to_device(teacher, clips.device)
    to_device(model, clips.device).eval().requires_grad_(False)
    trained = nn.ModuleList([model.smu, model.decoder]).requires_grad_(True)

    def loss_of(batch: Batch, rng: torch.Generator) -> Tensor:
        first, scored = draw_frames(batch.images.shape[1], rng)
        return tuning_loss(model, teacher, batch, first, scored, label(batch.frames(scored)))

    optimise(
        "tune",
        trained.parameters(),
        partial(clips.draw, schedule.batch),
        loss_of,
        schedule,
        seed,
        checkpoint,
    )
    with torch.no_grad():
        for weight, old in zip(model.parameters(), before.parameters(), strict=True):
            weight.lerp_(old, 0.5)


def start_from(model: FastPath, control: FastPathWithoutMemory) -> None:
    """Give the fast path the control's encoder, projector and decoder: without memory it is the control."""
    average_with(model, control, 1.0)


def average_with(model: FastPath, control: FastPathWithoutMemory, share: float) -> None:
    """Move the fast path's encoder, projector and decoder towards the control's, by ``share`` of the way.

    Beside a memory the fast path forgets to see well by itself. Trained from the same start on the same
    frames, weights between the two are as good with the memory and better without it (see Wortsman et al.,
    arXiv 2109.01903).

    Args:
        model: Changed in place.
        control: The fast path without memory.
        share: 0 leaves the fast path as it is, 1 makes it the control.
    """
    pairs = (model.encoder, control.encoder), (model.smu.projector, control.projector)
    for module, other in (*pairs, (model.decoder, control.decoder)):
        theirs = other.state_dict()
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[name], share)
            else:
                value.copy_(theirs[name])
