"""Train the depth networks: render clips, then the slow path, then the fast path without and with its memory.

  python scripts/train_depth.py render --folder data
  python scripts/train_depth.py slow --folder data --out runs/weights
  python scripts/train_depth.py fast-only --folder data --out runs/weights
  python scripts/train_depth.py align --folder data --out runs/weights
  python scripts/train_depth.py fast --folder data --out runs/weights
  python scripts/train_depth.py tune --folder data --out runs/weights
  python scripts/train_depth.py joint --folder data --out runs/weights
  python scripts/train_depth.py all --folder data --out runs/weights --recipe gpu --workers 14

Rendering goes on beside the training in 'all': what has been rendered so far is what is drawn from.
A training that was interrupted or killed goes on with --resume. The fast path learns from true depth, or
with --labels slow-path from what the frozen slow path sees, as in the paper.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import nn

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.slow_path import ConvSlowPath, SlowPath
from asyncmde_sim.depth.weights import load_network, save_network
from asyncmde_sim.depth.weights_folder import DEFAULT_WEIGHTS, WeightsConfig
from asyncmde_sim.evaluation.command_line import exit_code
from asyncmde_sim.files import remove_unfinished
from asyncmde_sim.training import fast as fast_training
from asyncmde_sim.training.align import align
from asyncmde_sim.training.checkpoint import Checkpoint, Log, tensorboard_log
from asyncmde_sim.training.data import ClipPool
from asyncmde_sim.training.fast import Label
from asyncmde_sim.training.joint import JointSchedule, train_jointly
from asyncmde_sim.training.loop import Schedule, load_recipe, to_device
from asyncmde_sim.training.render import TRAINING_MIX, Motion, RenderJob, render_all, render_jobs, rendering
from asyncmde_sim.training.slow import LinearReadout, SlowStage, train_slow

FIT_STEPS = 60
"""Batches from which the neck of the slow path is fitted."""


@dataclass(frozen=True)
class Render:
    """Render train-split views (single frames) and clips (ten frames) into a folder."""

    folder: Path
    """Where to put them: about 190 kB a frame."""
    rounds: int = 30
    """Rounds of four scenes: two flats and two halls."""
    views: int = 100
    """Single frames a scene."""
    close_views: int = 60
    """Single frames a scene with less than a metre of free range ahead."""
    low_views: int = 0
    """Single frames a scene with something within a metre ahead that the optical axis passes over."""
    clips: int = 8
    """Ten-frame clips a scene, in which camera and movers keep a random velocity."""
    close_clips: int = 4
    """The same, starting with less than a metre of free range ahead."""
    low_clips: int = 0
    """The same, starting in front of something that the optical axis passes over."""
    trajectories: int = 4
    """Ten-frame clips a scene from what its environment records: episodes and open-loop trajectories."""
    first_scene: int = 0
    """Number of the first scene: another one gives scenes that earlier renderings have not seen."""
    workers: int = 2
    """Processes."""
    backend: str = "raycast"
    """Renderer: raycast, habitat or habitat@N; see scripts/rollout.py."""
    seed: int = 0

    def run(self) -> None:
        """Render the shards that are not there yet."""
        groups = self.groups()
        jobs = [job for group in groups for job in group]
        render_all(jobs, self.workers, together=len(groups[0]), leave_out=True)

    def groups(self) -> list[tuple[RenderJob, ...]]:
        """The views and the clips of each scene.

        Raises:
            ValueError: A number is out of range.
        """
        least = {
            "rounds": 1,
            "views": 1,
            "close_views": 0,
            "low_views": 0,
            "clips": 0,
            "close_clips": 0,
            "low_clips": 0,
            "trajectories": 0,
            "first_scene": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be {bound} or more")
        if not self.clips + self.close_clips + self.low_clips + self.trajectories:
            raise ValueError(
                "clips, close_clips, low_clips and trajectories are all 0: make one of them 1 or more"
            )
        kinds: list[tuple[Path, int, int, Motion]] = [
            (self.folder / "views", self.views, 1, "velocity"),
            (self.folder / "views", self.close_views, 1, "close"),
            (self.folder / "views", self.low_views, 1, "low"),
            (self.folder / "clips", self.clips, 10, "velocity"),
            (self.folder / "clips", self.close_clips, 10, "close"),
            (self.folder / "clips", self.low_clips, 10, "low"),
            (self.folder / "clips", self.trajectories, 10, "trajectory"),
        ]
        jobs = [
            render_jobs(
                "train",
                self.rounds,
                count,
                frames,
                self.seed,
                folder,
                TRAINING_MIX,
                motion=motion,
                backend=self.backend,
                first_scene=self.first_scene,
            )
            for folder, count, frames, motion in kinds
            if count
        ]
        return list(zip(*jobs, strict=True))


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
    resume: bool = False
    """Go on from the checkpoints in --out; a network that has none starts afresh."""
    tensorboard: bool = False
    """Write logs for TensorBoard into --out/tensorboard."""

    def __post_init__(self) -> None:
        _ = self.log

    @cached_property
    def log(self) -> Log:
        """Where measures go, besides the console."""
        return tensorboard_log(self.out / "tensorboard") if self.tensorboard else lambda *_: None

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

    def checkpoint(
        self, step: str, networks: Mapping[str, nn.Module], aside: Mapping[str, nn.Module] | None = None
    ) -> Checkpoint:
        """The checkpoint of one step, which also writes its ``networks``; those ``aside`` are not for use."""
        if self.resume and not any(self.out.glob("checkpoint-*.pt")):
            raise ValueError(f"{self.out} has no checkpoint to go on from: leave out --resume")
        file = self.out / f"checkpoint-{step}.pt"
        for written in (file, *(self.out / f"{name}.safetensors" for name in networks)):
            remove_unfinished(written)

        def save() -> None:
            for name, network in networks.items():
                self.save(network, name)

        resume = self.resume and file.is_file()
        return Checkpoint({**networks, **(aside or {})}, file, resume, save, self.log)

    def slow(self) -> None:
        """Train the slow path."""
        torch.manual_seed(self.seed)
        model = load_network("slow", self.start).requires_grad_(True) if self.start else ConvSlowPath()
        readout = LinearReadout()
        stages = [SlowStage(**stage) for stage in self.schedules["slow"]]
        checkpoint = self.checkpoint("slow", {"slow": model}, {"readout": readout})
        train_slow(model, readout, self.views, stages, self.seed, checkpoint)

    def align(self) -> None:
        """Align the slow path to the control."""
        model, control = load_network("slow", self.out), load_network("fast-only", self.out)
        checkpoint = self.checkpoint("align", {"slow": model})
        align(model, control, self.views, FIT_STEPS, self.schedule("align"), self.seed + 2, checkpoint)

    def joint(self, start: Path) -> None:
        """Train all three networks of a folder at once."""
        slow, fast, control = (load_network(name, start) for name in ("slow", "fast", "fast-only"))
        networks = {"slow": slow, "fast": fast, "fast-only": control}
        clips, views = self.ten_frame_clips, self.views
        schedule = JointSchedule(**self.schedules["joint"])
        checkpoint = self.checkpoint("joint", networks)
        train_jointly(slow, fast, control, clips, views, schedule, self.seed + 6, checkpoint)

    def average(self, model: FastPath, control: FastPathWithoutMemory) -> None:
        """Average the fast path with the control, and write it."""
        fast_training.average_with(model, control, fast_training.CONTROL_SHARE)
        self.save(model, "fast")


@dataclass(frozen=True)
class _FastTraining(_Training):
    labels: Literal["true-depth", "slow-path"] = "true-depth"
    """What the fast path learns from: the rendered depth, or the frozen slow path's (pseudo-labels)."""

    def label(self, teacher: SlowPath) -> Label:
        """What puts the labels on the frames."""
        if self.labels == "true-depth":
            return fast_training.true_depth
        return partial(fast_training.slow_path_depth, to_device(teacher, torch.device(self.device)))

    def fast_only(self) -> None:
        """Distil and train the control."""
        torch.manual_seed(self.seed)
        teacher, model = load_network("slow", self.out), FastPathWithoutMemory()
        if self.start:
            model = load_network("fast-only", self.start).requires_grad_(True)
        checkpoint = self.checkpoint("fast-only", {"fast-only": model})
        if not self.start:
            fast_training.distil(model, teacher, self.views, self.schedule("distil"), self.seed, checkpoint)
        fast_training.train_without_memory(
            model, self.views, self.schedule("fast-only"), self.seed + 1, checkpoint, self.label(teacher)
        )

    def fast(self) -> None:
        """Train the fast path."""
        torch.manual_seed(self.seed)
        teacher, control, model = (
            load_network("slow", self.out),
            load_network("fast-only", self.out),
            FastPath(),
        )
        if self.start:
            model = load_network("fast", self.start)
        else:
            fast_training.start_from(model, control)
        checkpoint = self.checkpoint("fast", {"fast": model, "fast-only": control})
        clips, label = self.ten_frame_clips, self.label(teacher)
        schedule = self.schedule("gates")
        fast_training.train_gates(model, teacher, clips, schedule, self.seed + 3, checkpoint, label)
        if "fast" in self.schedules:
            schedule = self.schedule("fast")
            fast_training.train_fast(
                model, control, teacher, clips, schedule, self.seed + 4, checkpoint, label
            )
            self.average(model, control)

    def tune(self, start: Path) -> None:
        """Tune the fast path of a folder."""
        teacher = load_network("slow", self.out)
        model, before = (load_network("fast", start) for _ in range(2))
        checkpoint = self.checkpoint("tune", {"fast": model}, {"before": before})
        clips, schedule, label = self.ten_frame_clips, self.schedule("tune"), self.label(teacher)
        fast_training.tune(model, before, teacher, clips, schedule, self.seed + 5, checkpoint, label)
        self.save(model, "fast")


@dataclass(frozen=True)
class Slow(_Training):
    """Train our own slow path from scratch, coarse to fine."""

    def run(self) -> None:
        """Train and save."""
        self.slow()


@dataclass(frozen=True)
class FastOnly(_FastTraining):
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
class Fast(_FastTraining):
    """Train the fast path on clips whose memory the slow path fills; needs ``align`` to have run."""

    def run(self) -> None:
        """Train and save."""
        self.fast()


@dataclass(frozen=True)
class Average(_Training):
    """Average the fast path with the control: what ``fast`` ends with, where all of it was trained."""

    def run(self) -> None:
        """Average and save."""
        self.average(load_network("fast", self.out), load_network("fast-only", self.out))


@dataclass(frozen=True)
class Tune(_FastTraining):
    """Tune the trained fast path to see with its memory and without it."""

    def run(self) -> None:
        """Train and save."""
        self.tune(self.start or self.out)


@dataclass(frozen=True)
class Joint(_Training):
    """Train all three networks at once, the slow path also for what its memory is worth later."""

    def run(self) -> None:
        """Train and save."""
        self.joint(self.start or self.out)


@dataclass(frozen=True)
class All(_FastTraining):
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
        with rendering(render.groups(), self.workers):
            self.slow()
            self.fast_only()
            self.align()
            self.fast()
            self.tune(self.out)
            self.joint(self.out)


Command = Annotated[
    Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Slow, tyro.conf.subcommand("slow")]
    | Annotated[FastOnly, tyro.conf.subcommand("fast-only")]
    | Annotated[Align, tyro.conf.subcommand("align")]
    | Annotated[Fast, tyro.conf.subcommand("fast")]
    | Annotated[Average, tyro.conf.subcommand("average")]
    | Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Joint, tyro.conf.subcommand("joint")]
    | Annotated[All, tyro.conf.subcommand("all")],
    tyro.conf.OmitArgPrefixes,
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return exit_code(lambda: tyro.cli(Command, args=arguments, description=__doc__).run())


if __name__ == "__main__":
    sys.exit(main())
