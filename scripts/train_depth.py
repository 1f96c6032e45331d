"""Train the depth networks: render clips, then the slow path, then the fast path without and with its memory.

  python scripts/train_depth.py render --folder data
  python scripts/train_depth.py slow --folder data --out runs/weights
  python scripts/train_depth.py fast-only --folder data --out runs/weights
  python scripts/train_depth.py align --folder data --out runs/weights
  python scripts/train_depth.py fast --folder data --out runs/weights
  python scripts/train_depth.py all --folder data --out runs/weights --recipe gpu --workers 14

Rendering goes on beside the training in 'all': what has been rendered so far is what is drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.depth.weights import DEFAULT_WEIGHTS, WeightsConfig, load_network, save_network
from asyncmde_sim.training import fast as fast_training
from asyncmde_sim.training.align import align
from asyncmde_sim.training.data import ClipPool
from asyncmde_sim.training.loop import Schedule, load_recipe
from asyncmde_sim.training.render import TRAINING_MIX, RenderJob, render_all, render_jobs, rendering
from asyncmde_sim.training.slow import SlowStage, train_slow

FIT_STEPS = 60
"""Batches from which the neck of the slow path is fitted."""


@dataclass(frozen=True)
class Render:
    """Render train-split views (single frames) and clips (ten frames) into a folder."""

    folder: Path
    """Where to put them: about 190 kB a frame."""
    rounds: int = 30
    """Rounds of four scenes: two flats and two halls."""
    views: int = 160
    """Single frames a scene."""
    clips: int = 12
    """Ten-frame clips a scene."""
    workers: int = 2
    """Processes."""
    seed: int = 0

    def run(self) -> None:
        """Render the shards that are not there yet."""
        render_all([job for pair in self.pairs() for job in pair], self.workers, together=2)

    def pairs(self) -> list[tuple[RenderJob, RenderJob]]:
        """The views and the clips of each scene."""
        views, clips = (
            render_jobs("train", self.rounds, count, frames, self.seed, self.folder / name, TRAINING_MIX)
            for name, count, frames in (("views", self.views, 1), ("clips", self.clips, 10))
        )
        return list(zip(views, clips, strict=True))


@dataclass(frozen=True)
class _Training:
    folder: Path
    """Folder of rendered views and clips."""
    out: Path
    """Folder of weights to write, and to read the earlier networks from."""
    recipe: str = "cpu"
    """Name of a shipped recipe, or a JSON file."""
    start: Path | None = None
    """Folder of weights to go on from instead of the usual start (``align`` takes those of --out)."""
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")
    """Where to train: cuda (the default if there is a GPU) or cpu."""
    seed: int = 0
    wait_for: int = 0
    """Shards to wait for, when another process renders them."""

    @cached_property
    def schedules(self) -> dict[str, Any]:
        """The recipe."""
        return load_recipe(self.recipe)

    @cached_property
    def views(self) -> ClipPool:
        """The single frames."""
        return ClipPool(self.folder / "views", self.device, self.wait_for)

    @cached_property
    def ten_frame_clips(self) -> ClipPool:
        """The clips."""
        return ClipPool(self.folder / "clips", self.device, self.wait_for)

    def schedule(self, step: str) -> Schedule:
        """The recipe's schedule of one step."""
        return Schedule(**self.schedules[step])

    def save(self, model: nn.Module, network: str) -> None:
        """Write one network."""
        save_network(model, network, self.out, WeightsConfig(DEFAULT_WEIGHTS))

    def slow(self) -> None:
        """Train the slow path."""
        torch.manual_seed(self.seed)
        model = load_network("slow", self.start).requires_grad_(True) if self.start else ConvSlowPath()
        stages = [SlowStage(**stage) for stage in self.schedules["slow"]]
        train_slow(model, self.views, stages, self.seed, partial(self.save, model, "slow"))

    def fast_only(self) -> None:
        """Distil and train the control."""
        torch.manual_seed(self.seed)
        teacher, model = load_network("slow", self.out), FastPathWithoutMemory()
        if self.start:
            model = load_network("fast-only", self.start).requires_grad_(True)
        else:
            fast_training.distil(model, teacher, self.views, self.schedule("distil"), self.seed)
        save = partial(self.save, model, "fast-only")
        fast_training.train_without_memory(model, self.views, self.schedule("fast-only"), self.seed + 1, save)

    def align(self) -> None:
        """Align the slow path to the control."""
        model, control = load_network("slow", self.out), load_network("fast-only", self.out)
        save = partial(self.save, model, "slow")
        align(model, control, self.views, FIT_STEPS, self.schedule("align"), self.seed + 2, save)

    def fast(self) -> None:
        """Train the fast path."""
        torch.manual_seed(self.seed)
        teacher, model = load_network("slow", self.out), FastPath()
        if self.start:
            model = load_network("fast", self.start)
        else:
            fast_training.start_from(model, load_network("fast-only", self.out))
        save = partial(self.save, model, "fast")
        clips = self.ten_frame_clips
        fast_training.train_gates(model, teacher, clips, self.schedule("gates"), self.seed + 3, save)
        if "fast" not in self.schedules:
            return
        control = load_network("fast-only", self.out)

        def save_both() -> None:
            save()
            self.save(control, "fast-only")

        schedule = self.schedule("fast")
        fast_training.train_fast(model, control, teacher, clips, schedule, self.seed + 4, save_both)
        self.average()

    def average(self) -> None:
        """Average the fast path with the control."""
        model, control = load_network("fast", self.out), load_network("fast-only", self.out)
        fast_training.average_with(model, control, fast_training.CONTROL_SHARE)
        self.save(model, "fast")


@dataclass(frozen=True)
class Slow(_Training):
    """Train our own slow path from scratch, coarse to fine."""

    def run(self) -> None:
        """Train and save."""
        self.slow()


@dataclass(frozen=True)
class FastOnly(_Training):
    """Distil the slow path's features into the fast path without memory, then train it on single frames."""

    def run(self) -> None:
        """Train and save."""
        self.fast_only()


@dataclass(frozen=True)
class Align(_Training):
    """Give the slow path features that the control's decoder decodes, so that both can be blended."""

    def run(self) -> None:
        """Fit, train and save."""
        self.align()


@dataclass(frozen=True)
class Fast(_Training):
    """Train the fast path on clips whose memory the slow path fills; needs ``align`` to have run."""

    def run(self) -> None:
        """Train and save."""
        self.fast()


@dataclass(frozen=True)
class Average(_Training):
    """Average the fast path with the control: what ``fast`` ends with, where all of it was trained."""

    def run(self) -> None:
        """Average and save."""
        self.average()


@dataclass(frozen=True)
class All(_Training):
    """Train all three networks while worker processes render."""

    rounds: int = 1000
    """Rounds of four scenes to render at most."""
    workers: int = 2
    """Processes that render."""
    wait_for: int = 1
    """Shards to wait for before the training starts."""

    def run(self) -> None:
        """Render beside the training, and stop rendering with it."""
        render = Render(self.folder, rounds=self.rounds, seed=self.seed)
        with rendering(render.pairs(), self.workers):
            self.slow()
            self.fast_only()
            self.align()
            self.fast()


Command = Annotated[
    Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Slow, tyro.conf.subcommand("slow")]
    | Annotated[FastOnly, tyro.conf.subcommand("fast-only")]
    | Annotated[Align, tyro.conf.subcommand("align")]
    | Annotated[Fast, tyro.conf.subcommand("fast")]
    | Annotated[Average, tyro.conf.subcommand("average")]
    | Annotated[All, tyro.conf.subcommand("all")],
    tyro.conf.OmitArgPrefixes,
]

if __name__ == "__main__":
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    tyro.cli(Command, description=__doc__).run()
