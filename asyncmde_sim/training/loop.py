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

from asyncmde_sim.depth.engines import fast_precision
from asyncmde_sim.training.data import Batch

RECIPES_FOLDER = Path(__file__).parent / "recipes"
WEIGHT_DECAY = 0.01
GRADIENT_CLIP = 1.0
WARMUP = 0.1


@dataclass(frozen=True)
class Schedule:
    """At most ``steps`` batches of ``batch`` clips, with a peak ``learning_rate``.

    Args:
        steps: Number of batches.
        batch: Clips a batch.
        learning_rate: Its peak.
        seconds: End after so long, if the steps are not done by then: for a machine that is lent for a time.
    """

    steps: int
    batch: int
    learning_rate: float
    seconds: float = math.inf

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate", "seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be positive")

    def fraction(self, step: int, elapsed_s: float) -> float:
        """The part of the training that is done at a step, 0 to 1."""
        return min(1.0, max(step / self.steps, elapsed_s / self.seconds))


def to_device(model: Any, device: torch.device) -> Any:
    """A model on a device, its convolutions laid out as a GPU's tensor cores want them."""
    return model.to(device, memory_format=torch.channels_last)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Where a forward pass runs: in bfloat16 where the device computes in it and that is safe."""
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else fast_precision()


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
    report_every_s: float = 20.0,
    on_report: Callable[[int], None] = lambda step: None,
) -> None:
    """Minimise ``loss_of`` over the batches with AdamW, printing loss, speed and time left.

    Args:
        parameters: What to train.
        batches: As many batches as the schedule has steps.
        loss_of: Loss of one batch.
        schedule: Number of steps or time, and peak learning rate.
        report_every_s: Time between two reports.
        on_report: Called with the step at each report, to write a checkpoint for instance.

    Raises:
        FloatingPointError: The loss was not finite since the last report.
    """
    trained = [p for p in parameters if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=schedule.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    started, waited, recent = time.monotonic(), 0.0, []
    asked = reported = started
    for step, batch in enumerate(batches, 1):
        waited += time.monotonic() - asked
        done = schedule.fraction(step, time.monotonic() - started)
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * cosine_rate(done)
        loss = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
        optimiser.step()
        recent.append(loss.detach())
        if done == 1 or time.monotonic() - reported > report_every_s:
            mean = torch.stack(recent).mean().item()
            if not math.isfinite(mean):
                raise FloatingPointError(f"the loss is {mean} at step {step}: lower the learning rate")
            elapsed = time.monotonic() - started
            print(
                f"step {step}/{schedule.steps}  loss {mean:.4f}  {step / elapsed:.2f} steps/s  "
                f"waits for data {waited / elapsed:.0%}  {elapsed * (1 / done - 1) / 60:.1f} min left",
                flush=True,
            )
            recent.clear()
            on_report(step)
            reported = time.monotonic()
        if done == 1:
            break
        asked = time.monotonic()
