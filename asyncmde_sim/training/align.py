"""Makes the slow path speak the fast path's language: features that the control's decoder can decode.

The memory blends the slow path's features with the fast path's, so both must mean the same. A small encoder
cannot give a large one's features, but the large one can give the small one's: its neck is fitted to the
trained control's features by least squares, takes over the control's decoder, and is then trained on true
depth through it.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import unfold

from asyncmde_sim.depth.fast_path import FastPathWithoutMemory, initialise_decoder
from asyncmde_sim.depth.memory import resize
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.training.checkpoint import Checkpoint
from asyncmde_sim.training.data import Batch, ClipPool
from asyncmde_sim.training.loop import Schedule, mixed_precision, optimise, step_generator, to_device
from asyncmde_sim.training.slow import depth_loss

RIDGE = 1e-4
"""Regularisation of the fit, as a share of the mean square of its inputs."""


@torch.no_grad()
def fit_neck(
    model: ConvSlowPath, control: FastPathWithoutMemory, views: ClipPool, batch: int, steps: int, seed: int
) -> list[float]:
    """Set the neck's convolutions to the least-squares fit to the control's features.

    Returns:
        For each level, finest first, the share of the control's features that the fit leaves unexplained.
    """
    moments: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(steps):
        images = views.draw(batch, step_generator(seed, step)).images.flatten(0, 1)
        pairs = zip(model.levels(images), control.features(images), strict=True)
        sums = [_moments(level, resize(target, level.shape[-2:])) for level, target in pairs]
        if moments:
            sums = [(xx + a, xy + b, yy + c) for (xx, xy, yy), (a, b, c) in zip(moments, sums, strict=True)]
        moments = sums
    unexplained = []
    for conv, (xx, xy, yy) in zip(model.neck, moments, strict=True):
        ridge = RIDGE * xx.diagonal().mean() * torch.eye(len(xx), dtype=xx.dtype, device=xx.device)
        fit = torch.linalg.solve(xx + ridge, xy)
        conv.weight.copy_(fit.T.reshape(conv.weight.shape))  # type: ignore[operator, union-attr]
        unexplained.append(float((yy - 2 * (fit * xy).sum() + (fit * (xx @ fit)).sum()) / yy))
    return unexplained


def _moments(level: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of x x', x y' and y'y over all cells; x is a cell's 3x3 neighbourhood, y its target."""
    x = unfold(level, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    y = target.flatten(2).transpose(1, 2).flatten(0, 1).double()
    return x.T @ x, x.T @ y, y.square().sum()


def align(
    model: ConvSlowPath,
    control: FastPathWithoutMemory,
    views: ClipPool,
    fit_steps: int,
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
) -> None:
    """Fit the neck, take the control's decoder, and train all but the decoder on true depth."""
    to_device(control, views.device).eval()
    to_device(model, views.device).eval()
    left = fit_neck(model, control, views, schedule.batch, fit_steps, seed)
    print("unexplained by the fit: " + ", ".join(f"{share:.0%}" for share in left), flush=True)
    initialise_decoder(model.decoder, control.decoder)
    model.requires_grad_(True).decoder.requires_grad_(False)

    def loss_of(batch: Batch, _: torch.Generator) -> Tensor:
        with mixed_precision(views.device):
            depth = model(batch.images.flatten(0, 1))
        return depth_loss(depth, batch)

    optimise(
        "align",
        model.parameters(),
        partial(views.draw, schedule.batch),
        loss_of,
        schedule,
        seed + 1,
        checkpoint,
    )
