"""Trains our own slow path from scratch on true depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from asyncmde_sim.depth.decoder import DPTDecoder
from asyncmde_sim.depth.losses import gradient_loss, log_depth_loss
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.training.data import Batch, batches
from asyncmde_sim.training.loop import Schedule, optimise


@dataclass(frozen=True)
class SlowStage(Schedule):
    """One stage of the coarse-to-fine curriculum; each reads the shards that are there when it starts.

    Args:
        shrink: Factor by which the images are made smaller.
        coarse: Whether the decoder leaves out its finest stage and gives half the resolution; that
            halves the cost of a step.
    """

    shrink: int = 1
    coarse: bool = False


def coarse_depth(decoder: DPTDecoder, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Depth (B, H/2, W/2) from the three coarser levels alone."""
    f1, f2, f3, f4 = features
    fuse = decoder.fusion_stage.layers
    x = fuse[0](f4, None, tuple(f3.shape[-2:]))
    x = fuse[1](x, f3, tuple(f2.shape[-2:]))
    x = fuse[2](x, f2, tuple(f1.shape[-2:]))
    return decoder.max_depth_m * decoder.head(x, (size[0] // 2, size[1] // 2)).sigmoid()


def slow_loss(model: ConvSlowPath, batch: Batch, coarse: bool) -> Tensor:
    """Log-depth loss and half the gradient loss on log depth, over every frame of the batch."""
    images, true_depth, valid = (x.flatten(0, 1) for x in (batch.images, batch.depth, batch.valid))
    size = (images.shape[-2], images.shape[-1])
    features = model.features(images)
    if coarse:
        depth = coarse_depth(model.decoder, features, size)
        true_depth, valid = true_depth[:, 1::2, 1::2], valid[:, 1::2, 1::2]
    else:
        depth = model.decoder(features, size)
    log_depth, log_true = depth.clamp(min=0.05).log(), true_depth.clamp(min=0.05).log()
    return log_depth_loss(depth, true_depth, valid) + 0.5 * gradient_loss(log_depth, log_true, valid)


def train_slow(
    model: ConvSlowPath, views: Path, stages: Sequence[SlowStage], seed: int, save: Callable[[], None]
) -> None:
    """Train ``model`` through the stages on a folder of clips, calling ``save`` at every report."""
    model.train()
    for number, stage in enumerate(stages):
        print(f"stage {number + 1}/{len(stages)}: {stage}", flush=True)
        optimise(
            model.parameters(),
            batches(views, stage.batch, stage.steps, seed + number, stage.shrink),
            partial(slow_loss, model, coarse=stage.coarse),
            stage,
            on_report=lambda _: save(),
        )
    model.eval()
