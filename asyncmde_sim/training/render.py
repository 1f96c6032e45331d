"""Renders shards of clips for the three environments in worker processes."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Literal

import numpy as np

from asyncmde_sim.scenes import check_backend, load_backend
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.library import scene_names
from asyncmde_sim.training.clips import ClipRecipe, Clips, Start, render_clip, write_shard
from asyncmde_sim.training.trajectories import trajectory_clips

Motion = Literal["velocity", "close", "low", "trajectory"]
STARTS: dict[Motion, Start] = {"velocity": "open", "close": "close", "low": "low"}

ROVER = ClipRecipe(
    body=RobotBody(0.18, 0.5),
    camera_height_m=0.45,
    frame_interval_s=1 / 30,
    max_speed_mps=1.4,
    max_yaw_rate_radps=2.5,
    tilt_std_rad=0.02,
    max_tilt_rate_radps=0.1,
)
QUAD = ClipRecipe(
    body=RobotBody(0.15, flies=True),
    camera_height_m=0.0,
    frame_interval_s=1 / 60,
    max_speed_mps=6.0,
    max_yaw_rate_radps=4.0,
    tilt_std_rad=0.4,
    max_tilt_rate_radps=6.0,
    camera_pitch_up_rad=0.2,
    max_mover_speed_mps=4.0,
    max_exposure_s=0.008,
    max_readout_s=0.015,
)
REGIMES = {
    "IndoorStatic": ("flat", ROVER),
    "IndoorDynamic": ("flat", replace(ROVER, movers=("person_a", "person_b", "cart"), max_movers=4)),
    "ExtremeMotion": ("hall", replace(QUAD, movers=("bag", "ball", "panel"), max_movers=3)),
}
"""Each environment's kind of scene and what its clips look like."""
TRAINING_MIX = ("IndoorStatic", "ExtremeMotion", "IndoorDynamic", "ExtremeMotion")
"""As many halls as flats: what a blurred, tilted view of a hall shows is the hardest to learn."""


@dataclass(frozen=True)
class RenderJob:
    """One shard: ``clips`` clips of ``frames`` frames of one scene, seen by ``camera``.

    ``motion`` says how the camera moves: at a random constant velocity, the same but starting ``close`` to
    something or to something ``low``, or as the environment's robot does; ``backend`` what renders, see
    ``scenes.load_backend``.
    """

    regime: str
    scene: str
    clips: int
    frames: int
    seed: int
    folder: Path
    camera: Camera = field(default_factory=Camera)
    motion: Motion = "velocity"
    backend: str = "raycast"

    def __post_init__(self) -> None:
        check_backend(self.backend)

    @property
    def name(self) -> str:
        """The shard's name, which holds all that it depends on."""
        view = "" if self.camera == Camera() else f"-{math.degrees(self.camera.hfov_rad):g}deg"
        motion = "" if self.motion == "velocity" else f"-{self.motion}"
        renderer = "" if self.backend == "raycast" else "-habitat"
        return f"{self.regime}-{self.scene}-{self.clips}x{self.frames}-{self.seed}{view}{motion}{renderer}"

    @property
    def recipe(self) -> ClipRecipe:
        """What the clips look like; only the raycast backend has a rolling shutter."""
        _, recipe = REGIMES[self.regime]
        return recipe if self.backend == "raycast" else replace(recipe, max_readout_s=0.0)


def render_shard(job: RenderJob) -> str:
    """Render one shard, unless it is there already; returns its name."""
    if not (job.folder / f"{job.name}-depth.npy").exists():
        rng = np.random.default_rng([job.seed, *job.scene.encode()])
        if job.motion == "trajectory":
            options = {"scene": job.scene, "backend": job.backend}
            clips = trajectory_clips(
                f"{job.regime}-v0", options, job.recipe, job.camera, job.clips, job.frames, rng
            )
        else:
            backend = load_backend(job.scene, job.backend)
            clips = Clips.joined(
                [
                    render_clip(backend, job.recipe, job.camera, job.frames, rng, STARTS[job.motion])
                    for _ in range(job.clips)
                ]
            )
            backend.close()
        write_shard(clips, job.folder, job.name)
    return job.name


def render_jobs(
    split: str,
    rounds: int,
    clips: int,
    frames: int,
    seed: int,
    folder: Path,
    regimes: Sequence[str] = tuple(REGIMES),
    camera: Camera | None = None,
    motion: Motion = "velocity",
    backend: str = "raycast",
    first_scene: int = 0,
) -> list[RenderJob]:
    """Jobs for ``rounds`` times one scene of each of ``regimes``; no two share a scene.

    The scenes of the split are taken from number ``first_scene`` on.
    """
    camera = camera or Camera()
    kinds = [REGIMES[regime][0] for _ in range(rounds) for regime in regimes]
    names = {
        kind: iter(scene_names(kind, split, first_scene + kinds.count(kind))[first_scene:])
        for kind in set(kinds)
    }
    return [
        RenderJob(
            regime, next(names[REGIMES[regime][0]]), clips, frames, seed, folder, camera, motion, backend
        )
        for _ in range(rounds)
        for regime in regimes
    ]


def render_all(jobs: Sequence[RenderJob], workers: int, together: int = 1, leave_out: bool = False) -> None:
    """Render every job with ``workers`` processes, printing a line a shard.

    ``together`` jobs in a row, such as those of one scene, go to one process. With ``leave_out`` a shard that
    cannot be rendered is named, and the others are.

    Raises:
        ValueError: A shard cannot be rendered, and none may be left out.
    """
    render = render_or_say if leave_out else render_shard
    with _pool(workers) as pool:
        for done, name in enumerate(pool.imap(render, jobs, chunksize=together), 1):
            print(f"[{done}/{len(jobs)}] {name}", flush=True)


def render_or_say(job: RenderJob) -> str:
    """Render one shard; returns its name, or why it cannot be."""
    try:
        return render_shard(job)
    except ValueError as error:
        return f"{job.name} left out: {error}"


@contextmanager
def rendering(jobs: Iterable[Sequence[RenderJob]], workers: int) -> Iterator[None]:
    """Render groups of jobs with ``workers`` processes for as long as the context lasts.

    A group goes to one process. A shard that cannot be rendered is named and left out.
    """
    with _pool(workers) as pool:
        for group in jobs:
            pool.apply_async(_render_group, (group,), error_callback=lambda e: print(f"left out: {e}"))
        yield


def _pool(workers: int) -> Pool:
    return multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=16)


def _render_group(jobs: Sequence[RenderJob]) -> None:
    for job in jobs:
        if (said := render_or_say(job)) != job.name:
            print(said, flush=True)
