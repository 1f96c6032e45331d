"""Trains our own slow path from scratch on true depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from asyncmde_sim.depth.decoder import FEATURE_CHANNELS, LEVELS, DPTDecoder
from asyncmde_sim.depth.losses import gradient_loss, log_depth_loss, obstacle_weights
from asyncmde_sim.depth.memory import resize
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.training.checkpoint import Checkpoint
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.loop import Schedule, mixed_precision, optimise, to_device


@dataclass(frozen=True)
class SlowStage(Schedule):
    """One stage of the coarse-to-fine curriculum.

    Args:
        shrink: Factor by which the images are made smaller.
        decoder: ``none`` trains the backbone and the neck through a linear read-out of its features, at
            a fraction of the cost; ``coarse`` leaves out the decoder's finest stage and gives half the
            resolution; ``full`` is the whole network.
    """

    shrink: int = 1
    decoder: Literal["none", "coarse", "full"] = "full"


def coarse_depth(decoder: DPTDecoder, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Depth (B, H/2, W/2) from the three coarser levels alone."""
    f1, f2, f3, f4 = features
    fuse = decoder.fusion_stage.layers
    x = fuse[0](f4, None, tuple(f3.shape[-2:]))
    x = fuse[1](x, f3, tuple(f2.shape[-2:]))
    x = fuse[2](x, f2, tuple(f1.shape[-2:]))
    return decoder.max_depth_m * decoder.head(x, (size[0] // 2, size[1] // 2)).sigmoid()


class LinearReadout(nn.Module):
    """Log depth (B, h, w) at the finest level as a sum of one linear map of each level."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(FEATURE_CHANNELS, 1, 1) for _ in range(LEVELS))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """See the class."""
        size = features[0].shape[-2:]
        return sum(resize(c(f), size) for c, f in zip(self.levels, features, strict=True))[:, 0]  # type: ignore[index]


def depth_loss(depth: Tensor, batch: Batch) -> Tensor:
    """Log-depth loss, weighted towards obstacles, and half the gradient loss on log depth, over all frames.

    ``depth`` (B T, h, w) is at the batch's size or a whole part of it.
    """
    true_depth, valid = batch.depth.flatten(0, 1), batch.valid.flatten(0, 1)
    step = true_depth.shape[-2] // depth.shape[-2]
    true_depth, valid = (x[:, step // 2 :: step, step // 2 :: step] for x in (true_depth, valid))
    log_depth, log_true = depth.clamp(min=0.05).log(), true_depth.clamp(min=0.05).log()
    weights = obstacle_weights(true_depth, valid)
    metric = log_depth_loss(depth, true_depth, valid, weights)
    return metric + 0.5 * gradient_loss(log_depth, log_true, valid)


def slow_loss(
    model: ConvSlowPath, readout: LinearReadout, batch: Batch, decoder: Literal["none", "coarse", "full"]
) -> Tensor:
    """The depth loss of the slow path, or of a cheaper read-out of its features."""
    images = batch.images.flatten(0, 1)
    size = (images.shape[-2], images.shape[-1])
    with mixed_precision(images.device):
        features = model.features(images)
        if decoder == "none":
            depth = readout(features).float().exp()
        elif decoder == "coarse":
            depth = coarse_depth(model.decoder, features, size)
        else:
            depth = model.decoder(features, size)
    return depth_loss(depth, batch)


def train_slow(
    model: ConvSlowPath,
    readout: LinearReadout,
    views: ClipPool,
    stages: Sequence[SlowStage],
    seed: int,
    checkpoint: Checkpoint,
) -> None:
    """Train ``model`` on the device of ``views`` through the stages; ``readout`` serves the cheapest ones."""
    to_device(model, views.device).train()
    readout.to(views.device)

    def loss_of(batch: Batch, _: torch.Generator, stage: SlowStage) -> Tensor:
        return slow_loss(model, readout, batch, stage.decoder)

    for number, stage in enumerate(stages):
        print(f"stage {number + 1}/{len(stages)}: {stage}, {len(views)} views", flush=True)
        optimise(
            f"slow stage {number + 1}",
            [*model.parameters(), *readout.parameters()],
            partial(views.draw, stage.batch, shrink=stage.shrink),
            partial(loss_of, stage=stage),
            stage,
            seed + number,
            checkpoint,
        )
    model.eval()
