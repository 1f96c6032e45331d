"""Trains all three networks at once, the slow path for what its memory is worth later.

The slow path learns depth from single frames and, through the memory, from the frames that the fast path sees
after a refresh. In every second batch the memory turns with the camera, as a gyroscope allows. The control
learns from as many frames as the fast path, so that what differs in the end is the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.losses import memory_loss
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.training.checkpoint import Checkpoint
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.fast import DECODED_FRAMES, draw_frames, fill_memory, run_clip
from asyncmde_sim.training.loop import Schedule, mixed_precision, optimise, to_device
from asyncmde_sim.training.slow import depth_loss

VIEWS_PER_CLIP = 8
"""Single frames that the slow path sees for each clip."""
MEMORY_LOSS_WEIGHT = 0.1


def joint_loss(
    slow: ConvSlowPath,
    fast: FastPath,
    control: FastPathWithoutMemory,
    clips: Batch,
    views: Batch,
    rng: torch.Generator,
) -> Tensor:
    """Sum of the depth losses: slow path, fast path with memory and without, control; and L_mem.

    Args:
        slow: Sees the clips' first frames, whose features are the memory, and all ``views``; only the former
            where it is frozen.
        fast: Sees the clips with their memory and, without, as many of the views as frames of those scored.
        control: Sees the same frames one by one.
        clips: B clips.
        views: Single frames, ``VIEWS_PER_CLIP`` B; ``DECODED_FRAMES`` B where the slow path is frozen.
        rng: Draws where the fast path starts, which frames are scored, and whether the memory turns.
    """
    first, scored = draw_frames(clips.images.shape[1], rng)
    turning = bool(torch.rand((), generator=rng) < 0.5)
    few = views.part(DECODED_FRAMES * len(clips.images))
    frames = clips.frames(scored)
    size = (clips.images.shape[-2], clips.images.shape[-1])
    memory, slow_loss = _slow_path(slow, clips, views)
    with mixed_precision(clips.images.device):
        levels = fast.encoder(few.images[:, 0])
        alone = fast.decoder(fast.smu.project(levels), size)
        controlled = control(torch.cat((frames.images.flatten(0, 1), few.images[:, 0])))
    depth, trust, _ = run_clip(fast, memory, clips, first, scored, turning)
    count = len(depth)
    loss = slow_loss + depth_loss(depth, frames) + depth_loss(alone, few)
    loss = loss + depth_loss(controlled[:count], frames) + depth_loss(controlled[count:], few)
    return loss + MEMORY_LOSS_WEIGHT * memory_loss(trust)


def _slow_path(slow: ConvSlowPath, clips: Batch, views: Batch) -> tuple[list[Tensor], Tensor]:
    """The memory of each clip's frame 0, and the slow path's own loss there and on the views: 0 if frozen."""
    count = len(clips.images)
    if not any(p.requires_grad for p in slow.parameters()):
        return fill_memory(slow, clips), clips.images.new_zeros(())
    images = torch.cat((clips.images[:, 0], views.images[:, 0]))
    with mixed_precision(images.device):
        filled = slow.features(images)
        depth = slow.decoder(filled, (images.shape[-2], images.shape[-1]))
    loss = depth_loss(depth[count:], views) + depth_loss(depth[:count], clips.frames([0]))
    return [level[:count] for level in filled], loss


@dataclass(frozen=True)
class JointSchedule(Schedule):
    """The schedule of this training.

    Args:
        frozen_norm: Batch norm keeps the statistics of the weights that training goes on from: those of a
            few clips are too noisy to replace them.
        slow_share: Part of the learning rate that the slow path gets: trained on, it bears less. With 0 it
            stays as it is, and each batch costs a fraction.
    """

    frozen_norm: bool = False
    slow_share: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.slow_share <= 1:
            raise ValueError(f"slow_share is {self.slow_share}, but it must lie within 0 and 1")


def train_jointly(
    slow: ConvSlowPath,
    fast: FastPath,
    control: FastPathWithoutMemory,
    clips: ClipPool,
    views: ClipPool,
    schedule: JointSchedule,
    seed: int,
    checkpoint: Checkpoint,
) -> None:
    """Train all parameters of the three networks on the device of ``clips``; see ``slow_share``."""
    networks = (slow, fast, control)
    for network in networks:
        to_device(network, clips.device).requires_grad_(True).train()
        for layer in network.modules():
            if schedule.frozen_norm and isinstance(layer, nn.BatchNorm2d):
                layer.eval()

    seen = VIEWS_PER_CLIP if schedule.slow_share else DECODED_FRAMES

    def draw(rng: torch.Generator) -> tuple[Batch, Batch]:
        return clips.draw(schedule.batch, rng), views.draw(seen * schedule.batch, rng)

    def loss_of(batches: tuple[Batch, Batch], rng: torch.Generator) -> Tensor:
        return joint_loss(*networks, *batches, rng)

    if schedule.slow_share == 0:
        slow.requires_grad_(False).eval()
    parameters = [p for network in (fast, control) for p in network.parameters()]
    optimise(
        "joint",
        parameters,
        draw,
        loss_of,
        schedule,
        seed,
        checkpoint,
        cautious=slow.parameters(),
        caution=schedule.slow_share,
    )
    for network in networks:
        network.eval()
