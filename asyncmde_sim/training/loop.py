"""The optimisation loop that all three networks share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asyncmde_sim.training.data import Batch

RECIPES_FOLDER = Path(__file__).parent / "recipes"
WEIGHT_DECAY = 0.01
GRADIENT_CLIP = 1.0
WARMUP = 0.1


@dataclass(frozen=True)
class Schedule:
    """``steps`` batches of ``batch`` clips, with a peak ``learning_rate``."""

    steps: int
    batch: int
    learning_rate: float

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be positive")


def load_recipe(name_or_file: str) -> dict[str, Any]:
    """A recipe: the stages of the slow path and the schedules of the others.

    Raises:
        FileNotFoundError: There is no such recipe.
    """
    for path in (RECIPES_FOLDER / f"{name_or_file}.json", Path(name_or_file)):
        if path.is_file():
            return json.loads(path.read_text())
    shipped = sorted(path.stem for path in RECIPES_FOLDER.glob("*.json"))
    raise FileNotFoundError(f"no recipe {name_or_file!r}: give a JSON file, or one of the shipped {shipped}")


def cosine_rate(fraction: float) -> float:
    """Learning rate factor at a fraction in [0, 1] of the training: short warm-up, then a cosine to 0."""
    return min(1.0, fraction / WARMUP) * 0.5 * (1 + math.cos(math.pi * fraction))


def optimise(
    parameters: Iterable[nn.Parameter],
    batches: Iterable[Batch],
    loss_of: Callable[[Batch], Tensor],
    schedule: Schedule,
    report_every: int = 50,
    on_report: Callable[[int], None] = lambda step: None,
) -> None:
    """Minimise ``loss_of`` over the batches with AdamW, printing loss, speed and time left.

    Args:
        parameters: What to train.
        batches: As many batches as the schedule has steps.
        loss_of: Loss of one batch.
        schedule: Number of steps and peak learning rate.
        report_every: Steps between two reports.
        on_report: Called with the step at each report, to write a checkpoint for instance.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    steps = schedule.steps
    trained = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    started, recent = time.monotonic(), []
    for step, batch in enumerate(batches, 1):
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * cosine_rate(step / steps)
        loss = loss_of(batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}: lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
        optimiser.step()
        recent.append(loss.item())
        if step % report_every == 0 or step == steps:
            elapsed = time.monotonic() - started
            left = elapsed / step * (steps - step)
            print(
                f"step {step}/{steps}  loss {sum(recent) / len(recent):.4f}  "
                f"{step / elapsed:.2f} steps/s  {left / 60:.1f} min left",
                flush=True,
            )
            recent.clear()
            on_report(step)
