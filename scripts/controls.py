# ruff: noqa: E402
"""Do the environments measure anything? True depth, none, late, and other speeds, on the same seeds.

Examples:

    python scripts/controls.py
    python scripts/controls.py --envs ExtremeMotion-v0 --episodes 20 --json-file controls.json
"""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS", "MKL"):  # one thread a worker; read when numpy loads
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table

from asyncmde_sim.envs.registration import ENVIRONMENTS
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.controls import conditions, figures, run_episodes
from asyncmde_sim.evaluation.records import Row, write_json

CHUNK = 5
"""Episodes a worker runs at a time."""


@dataclass(frozen=True)
class Controls:
    """Run environments with true depth, no depth, late depth and other speeds on the same seeds.

    Args:
        envs: Environments.
        episodes: Episodes of each condition, with seeds from 0.
        latencies_ms: Ages of true depth, milliseconds.
        speeds: Other top speeds, as fractions of the robot's own, with fresh depth and with late depth.
        late_ms: Age of the late depth at other speeds, milliseconds.
        only: Run only the conditions of these names; all of them if none is given.
        scene: One scene instead of the validation split's: a name, or a GLB, PLY or OBJ file.
        image_size: Width and height of the camera's image, pixels, for speed: only its depth is used.
        backend: Renderer: raycast, habitat or habitat@N; see scripts/rollout.py.
        workers: Processes.
        json_file: File for the figures so far, written anew with every few episodes.
    """

    envs: tuple[str, ...] = tuple(ENVIRONMENTS)
    episodes: int = 100
    latencies_ms: tuple[float, ...] = (100.0, 250.0, 500.0)
    speeds: tuple[float, ...] = (0.6, 1.2)
    late_ms: float = 250.0
    only: tuple[str, ...] = ()
    scene: str | None = None
    image_size: tuple[int, int] | None = None
    backend: str = "raycast"
    workers: int = 2
    json_file: Path | None = None

    def __post_init__(self) -> None:
        for name in ("episodes", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be 1 or more")

    def run(self) -> None:
        """Run everything and print the table."""
        shared: dict[str, Any] = {
            "scene": self.scene,
            "image_size": self.image_size,
            "backend": self.backend,
        }
        bases = [RolloutConfig(env=e, **shared) for e in self.envs]
        todo = [c for b in bases for c in conditions(b, self.latencies_ms, self.speeds, self.late_ms)]
        unknown = set(self.only) - {c.label for c in todo}
        if unknown:
            known = ", ".join(dict.fromkeys(repr(c.label) for c in todo))
            raise ValueError(f"there is no condition {min(unknown)!r}: choose among {known}")
        todo = [c for c in todo if not self.only or c.label in self.only]
        rows: list[list[Row]] = [[] for _ in todo]
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
        with (
            ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn")) as pool,
            Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress,
        ):
            task = progress.add_task("episodes", total=self.episodes * len(todo))
            jobs = {
                pool.submit(run_episodes, c.config, first, min(CHUNK, self.episodes - first)): i
                for i, c in enumerate(todo)
                for first in range(0, self.episodes, CHUNK)
            }
            try:
                for job in as_completed(jobs):
                    rows[jobs[job]] += job.result()
                    progress.advance(task, len(job.result()))
                    if self.json_file:
                        done = [figures(c, r) for c, r in zip(todo, rows, strict=True) if r]
                        write_json({"controls": done}, self.json_file)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        print_tables([figures(c, r) for c, r in zip(todo, rows, strict=True)])


def print_tables(results: Sequence[Row]) -> None:
    """One table for each environment."""
    for env in dict.fromkeys(r["env"] for r in results):
        table = Table(
            Column("condition", no_wrap=True),
            "success",
            Column("95 %", no_wrap=True),
            "hit",
            "SPL",
            "time",
            title=env,
        )
        for r in (r for r in results if r["env"] == env):
            low, high = r["success_ci"]
            table.add_row(
                r["condition"],
                f"{r['success_rate']:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{r['collision_rate']:.2f}",
                f"{r['spl']:.2f}",
                f"{r['duration_s']:.1f} s",
            )
        Console().print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(Controls, Controls.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
