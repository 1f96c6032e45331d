"""The optimisation loop that all three networks share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from asyncmde_sim.depth.precision import inference_precision
from asyncmde_sim.training.checkpoint import Checkpoint, Position

RECIPES_FOLDER = Path(__file__).parent / "recipes"
WEIGHT_DECAY = 0.01
GRADIENT_CLIP = 1.0
WARMUP = 0.1
REPORT_EVERY_S = 20.0
"""Time between two reports, with each of which the checkpoint is saved."""


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
    return (
        torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else inference_precision(device)
    )


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


def step_generator(seed: int, step: int) -> torch.Generator:
    """What a step of a training draws from, whichever steps were made before it."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


Drawn = TypeVar("Drawn")


def optimise(
    phase: str,
    parameters: Iterable[nn.Parameter],
    draw: Callable[[torch.Generator], Drawn],
    loss_of: Callable[[Drawn, torch.Generator], Tensor],
    schedule: Schedule,
    seed: int,
    checkpoint: Checkpoint,
    cautious: Iterable[nn.Parameter] = (),
    caution: float = 1.0,
) -> None:
    """Minimise ``loss_of`` over random batches with AdamW, printing loss, speed and time left.

    A phase that the checkpoint says is done is skipped, and one that was interrupted goes on where it was:
    on the CPU, and a folder that does not grow, bit for bit as if it had not been.

    Args:
        phase: Its name in the checkpoint.
        parameters: What to train.
        draw: Gives the batch of a step.
        loss_of: Loss of a batch, with the step's generator for what is random in it.
        schedule: Number of steps or time, batch size and peak learning rate.
        seed: Seed of all steps.
        checkpoint: Told at every report.
        cautious: More to train, with the part ``caution`` of the learning rate.
        caution: See ``cautious``.

    Raises:
        FloatingPointError: The loss was not finite since the last report.
    """
    groups: list[dict[str, Any]] = [
        {"params": chosen, "share": share}
        for part, share in ((parameters, 1.0), (cautious, caution))
        if (chosen := [p for p in part if p.requires_grad])
    ]
    trained = [p for group in groups for p in group["params"]]
    optimiser = torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    position = checkpoint.enter(phase, optimiser)
    if position.done:
        print(f"{phase} is done", flush=True)
        return
    started, waited, recent = time.monotonic() - position.elapsed_s, 0.0, []
    begun = reported = time.monotonic()
    for step in range(position.step + 1, schedule.steps + 1):
        rng, asked = step_generator(seed, step), time.monotonic()
        batch = draw(rng)
        waited += time.monotonic() - asked
        done = schedule.fraction(step, time.monotonic() - started)
        rate = schedule.learning_rate * cosine_rate(done)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        loss = loss_of(batch, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, GRADIENT_CLIP)
        optimiser.step()
        recent.append(loss.detach())
        if done == 1 or time.monotonic() - reported > REPORT_EVERY_S:
            mean = torch.stack(recent).mean().item()
            if not math.isfinite(mean):
                raise FloatingPointError(f"the loss is {mean} at step {step}: lower the learning rate")
            reported = time.monotonic()
            elapsed, since = reported - started, reported - begun
            speed, waits = (step - position.step) / since, waited / since
            print(
                f"{phase}: step {step}/{schedule.steps}  loss {mean:.4f}  {speed:.2f} steps/s  "
                f"waits for data {waits:.0%}  {elapsed * (1 / done - 1) / 60:.1f} min left",
                flush=True,
            )
            checkpoint.report(step, loss=mean, learning_rate=rate, steps_per_s=speed, waits_for_data=waits)
            recent.clear()
            checkpoint.save(Position(step, elapsed, done == 1), optimiser)
        if done == 1:
            break
