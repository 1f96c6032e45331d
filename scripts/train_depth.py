"""Train the depth networks: render clips, then the slow path, then the fast path with and without memory.

python scripts/train_depth.py render --folder data
python scripts/train_depth.py slow --folder data --out runs/weights
python scripts/train_depth.py fast-only --folder data --out runs/weights
python scripts/train_depth.py fast --folder data --out runs/weights
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.depth.weights import DEFAULT_WEIGHTS, WeightsConfig, load_network, save_network
from asyncmde_sim.training import fast as fast_training
from asyncmde_sim.training.loop import Schedule, load_recipe
from asyncmde_sim.training.render import render_all, render_jobs
from asyncmde_sim.training.slow import SlowStage, train_slow


@dataclass(frozen=True)
class Render:
    """Render train-split views (single frames) and clips (ten frames) into a folder."""

    folder: Path
    """Where to put them: about 190 kB a frame."""
    scenes: int = 60
    """Scenes of each kind (flats and halls)."""
    views: int = 160
    """Single frames a scene."""
    clips: int = 12
    """Ten-frame clips a scene."""
    workers: int = 2
    """Processes."""
    seed: int = 0

    def run(self) -> None:
        """Render the shards that are not there yet."""
        for name, count, frames in (("views", self.views, 1), ("clips", self.clips, 10)):
            jobs = render_jobs("train", self.scenes, count, frames, self.seed, self.folder / name)
            render_all(jobs, self.workers)


@dataclass(frozen=True)
class Slow:
    """Train our own slow path from scratch, coarse to fine."""

    folder: Path
    """Folder of rendered views and clips."""
    out: Path
    """Folder of weights to write."""
    recipe: str = "cpu"
    """Name of a shipped recipe, or a JSON file."""
    start: Path | None = None
    """Folder of weights to start from instead of random ones."""
    seed: int = 0

    def run(self) -> None:
        """Train and save."""
        torch.manual_seed(self.seed)
        model = load_network("slow", self.start).requires_grad_(True) if self.start else ConvSlowPath()
        stages = [SlowStage(**stage) for stage in load_recipe(self.recipe)["slow"]]
        train_slow(
            model,
            self.folder / "views",
            stages,
            self.seed,
            lambda: save_network(model, "slow", self.out, WeightsConfig(DEFAULT_WEIGHTS)),
        )


@dataclass(frozen=True)
class FastOnly:
    """Distil the slow path's features into the fast path without memory, then train it on single frames."""

    folder: Path
    """Folder of rendered views and clips."""
    out: Path
    """Folder of weights that has the slow path; the network is written there."""
    recipe: str = "cpu"
    """Name of a shipped recipe, or a JSON file."""
    seed: int = 0

    def run(self) -> None:
        """Train and save; the distilled network is saved as ``distilled`` for the fast path to start from."""
        torch.manual_seed(self.seed)
        teacher, model = load_network("slow", self.out), FastPathWithoutMemory()
        config, views = WeightsConfig(DEFAULT_WEIGHTS), self.folder / "views"
        recipe = load_recipe(self.recipe)
        fast_training.distil(model, teacher, views, Schedule(**recipe["distil"]), self.seed)
        save_network(model, "distilled", self.out, config)
        fast_training.train_without_memory(
            model,
            views,
            Schedule(**recipe["fast-only"]),
            self.seed + 1,
            lambda: save_network(model, "fast-only", self.out, config),
        )


@dataclass(frozen=True)
class Fast:
    """Train the fast path on clips whose memory the slow path fills; needs ``fast-only`` to have run."""

    folder: Path
    """Folder of rendered views and clips."""
    out: Path
    """Folder of weights that has the slow path; the network is written there."""
    recipe: str = "cpu"
    """Name of a shipped recipe, or a JSON file."""
    seed: int = 0

    def run(self) -> None:
        """Train and save."""
        torch.manual_seed(self.seed)
        teacher, model = load_network("slow", self.out), FastPath()
        fast_training.start_from(model, load_network("distilled", self.out))
        fast_training.train_fast(
            model,
            teacher,
            self.folder / "clips",
            Schedule(**load_recipe(self.recipe)["fast"]),
            self.seed,
            lambda: save_network(model, "fast", self.out, WeightsConfig(DEFAULT_WEIGHTS)),
        )


Command = Annotated[
    Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Slow, tyro.conf.subcommand("slow")]
    | Annotated[FastOnly, tyro.conf.subcommand("fast-only")]
    | Annotated[Fast, tyro.conf.subcommand("fast")],
    tyro.conf.OmitArgPrefixes,
]

if __name__ == "__main__":
    tyro.cli(Command, description=__doc__).run()
