"""Training losses. Maps are (B, H, W); ``valid`` is a boolean mask of the same shape.

Sources: AsyncMDE (arXiv 2603.10438) for ssi, gradient and memory; the metric term is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

GRADIENT_SCALES = 4
TRUST_FLOOR = 0.4
MIN_DEPTH_M = 0.05

AROUND_PX = 31
"""Side of the window that says what is usual around a pixel."""
STANDING_OUT, MOST_LOG = 10.0, 0.5
"""Weight gained per unit of log depth that a pixel is nearer than what is around it, and the most units."""


def _masked_mean(x: Tensor, valid: Tensor) -> Tensor:
    return (x * valid).sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)


def _standardised(x: Tensor, valid: Tensor) -> Tensor:
    centred = x - _masked_mean(x, valid)[:, None, None]
    spread = _masked_mean(centred.square(), valid).clamp(min=1e-8).sqrt()
    return centred / spread[:, None, None]


def scale_shift_invariant_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """L_ssi: mean squared difference of the two maps, each less its mean and over its deviation."""
    difference = _standardised(predicted, valid) - _standardised(target, valid)
    return _masked_mean(difference.square(), valid).mean()


def gradient_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """L_grad: absolute differences of horizontal and vertical gradients at scales s = 1..4, over s^2.

    Scale s halves the resolution s - 1 times; a cell counts where all that it covers is valid.
    """
    error = (predicted - target) * valid
    mask = valid.to(error.dtype)
    total = error.new_zeros(())
    for scale in range(1, GRADIENT_SCALES + 1):
        if scale > 1:
            error = avg_pool2d(error[:, None], 2)[:, 0]
            mask = (avg_pool2d(mask[:, None], 2)[:, 0] == 1).to(error.dtype)
        for axis in (1, 2):
            pair = mask.narrow(axis, 0, mask.shape[axis] - 1) * mask.narrow(axis, 1, mask.shape[axis] - 1)
            step = error.diff(dim=axis).abs() * pair
            total = total + step.sum() / pair.sum().clamp(min=1) / scale**2
    return total


def memory_loss(trust: Tensor) -> Tensor:
    """L_mem: keeps the mean trust of level 1 from falling below 0.4."""
    return torch.relu(TRUST_FLOOR - trust.mean((1, 2, 3))).mean()


def log_depth_loss(depth: Tensor, true_depth: Tensor, valid: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean absolute difference of log depth in metres: what gives the network its metric scale.

    ``weights`` say how much each pixel counts; None counts all alike.
    """
    log_ratio = depth.clamp(min=MIN_DEPTH_M).log() - true_depth.clamp(min=MIN_DEPTH_M).log()
    return _masked_mean(log_ratio.abs(), valid if weights is None else weights * valid).mean()


def obstacle_weights(true_depth: Tensor, valid: Tensor) -> Tensor:
    """Weights from 1 to 6 of pixels: more for what stands out from its surroundings towards the camera.

    A bottle on the floor is one pixel in a hundred, so that all pixels alike teach a network not to see it; a
    robot hits it all the same.
    """
    log_depth = true_depth.clamp(min=MIN_DEPTH_M).log() * valid

    def smooth(x: Tensor) -> Tensor:
        half = AROUND_PX // 2
        x = avg_pool2d(x[:, None], (AROUND_PX, 1), stride=1, padding=(half, 0))
        return avg_pool2d(x, (1, AROUND_PX), stride=1, padding=(0, half))[:, 0]

    usual = smooth(log_depth) / smooth(valid.to(log_depth.dtype)).clamp(min=1e-6)
    return 1 + STANDING_OUT * (usual - log_depth).clamp(0, MOST_LOG)


def asyncmde_loss(depth: Tensor, true_depth: Tensor, valid: Tensor, trust: Tensor | None = None) -> Tensor:
    """The paper's loss on inverse depth, plus the metric term (weight 1)."""
    predicted = 1 / depth.clamp(min=MIN_DEPTH_M)
    target = 1 / true_depth.clamp(min=MIN_DEPTH_M)
    loss = scale_shift_invariant_loss(predicted, target, valid)
    loss = loss + 0.5 * gradient_loss(predicted, target, valid)
    loss = loss + log_depth_loss(depth, true_depth, valid)
    return loss if trust is None else loss + 0.1 * memory_loss(trust)
