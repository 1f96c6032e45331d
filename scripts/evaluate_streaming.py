# ruff: noqa: E402
"""Score depth sources as a device delivers them, all on the same trajectories.

Examples:

    python scripts/evaluate_streaming.py
    python scripts/evaluate_streaming.py --env IndoorDynamic-v0 --device orin-torch --trajectories 4
    python scripts/evaluate_streaming.py --depths async async-odometry --refreshes every-10 turned-20
"""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS", "MKL"):  # one thread a worker; read when numpy loads
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from asyncmde_sim.envs.registration import check_environment
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.config import charged_device
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.evaluation.streaming import Setup, StreamScores, score_trajectory, summarise
from asyncmde_sim.recordings.frames import check_motion
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.registry import is_remote
from asyncmde_sim.runtime.sources import close_source


@dataclass(frozen=True)
class EvaluateStreaming:
    """Feed the same trajectories to depth sources on a device and score what they have at each moment.

    Args:
        env: Environment: IndoorStatic-v0, IndoorDynamic-v0, IndoorExplore-v0 or ExtremeMotion-v0.
        depths: Depth sources; all are compared with the first on its first refresh policy.
        refreshes: Refresh policies of the asynchronous sources: free, every-N, turned-D.
        device: Whose latencies to charge: a built-in profile, a JSON file or a latency trace; by default
            orin-trt, and with a device's address (hil://HOST:PORT) what it measures itself.
        motion: agent (episodes of an agent that steers by true depth), or open loop with nothing else
            moving: smooth, expert, aggressive.
        trajectories: How many, with seeds from --seed.
        frames: Longest trajectory, camera frames.
        split: Scenes to draw from: train, val or test.
        scene: One scene instead: a name, or a GLB, PLY or OBJ file.
        backend: Renderer: raycast, habitat or habitat@N; see scripts/rollout.py.
        weights: Name or folder of weights; the shipped ones by default.
        seed: Seed of the first trajectory.
        workers: Processes.
        json_file: File for the figures.
    """

    env: str = "ExtremeMotion-v0"
    depths: tuple[str, ...] = ("async", "async-odometry", "async-catch-up", "fast", "foundation")
    refreshes: tuple[str, ...] = ("free",)
    device: str | None = None
    motion: str = "agent"
    trajectories: int = 10
    frames: int = 240
    split: str = "test"
    scene: str | None = None
    backend: str = "raycast"
    weights: str | None = None
    seed: int = 0
    workers: int = 2
    json_file: Path | None = None

    def __post_init__(self) -> None:
        check_environment(self.env)
        check_motion(self.motion)
        for name in ("trajectories", "frames", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be 1 or more")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative")
        if self.workers > 1 and any(map(is_remote, self.depths)):
            raise ValueError(f"workers is {self.workers}, but two at a time would slow a device down: give 1")
        for setup in self._setups():
            source = make_source(setup.depth, setup.device, setup.refresh, weights=self.weights)
            source.reset()
            close_source(source)

    def run(self) -> None:
        """Score everything and print the table: of what was scored, if interrupted."""
        setups = self._setups()
        rows: list[list[StreamScores]] = []
        try:
            self._score(setups, rows)
        finally:
            if rows:
                self._give(setups, rows)

    def _score(self, setups: list[Setup], rows: list[list[StreamScores]]) -> None:
        with ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn")) as pool:
            options = {"split": self.split, "scene": self.scene, "backend": self.backend}
            jobs = [
                pool.submit(
                    score_trajectory,
                    self.env,
                    options,
                    self.motion,
                    self.frames,
                    seed,
                    setups,
                    self.weights,
                )
                for seed in range(self.seed, self.seed + self.trajectories)
            ]
            for job in track(jobs, "trajectories", console=Console(stderr=True)):
                rows.append(job.result())

    def _give(self, setups: list[Setup], rows: list[list[StreamScores]]) -> None:
        labels = [setup.label for setup in setups]
        scores = {label: [row[i] for row in rows] for i, label in enumerate(labels)}
        summary = summarise(scores, labels[0])
        device = " and ".join(dict.fromkeys(setup.device for setup in setups))
        print_table(summary, f"{self.env} on {device}: {len(rows)} trajectories")
        if self.json_file:
            write_json({"env": self.env, "device": device, "sources": summary}, self.json_file)

    def _setups(self) -> list[Setup]:
        return [
            Setup(depth, refresh, charged_device(depth, self.device))
            for depth in self.depths
            for refresh in (self.refreshes if depth.startswith("async") or is_remote(depth) else ("free",))
        ]


def print_table(summary: dict[str, dict], title: str) -> None:
    """One row for each source."""
    columns = ("AbsRel", "δ1", "now: AbsRel", "δ1", "change", "95 %", "slow runs")
    table = Table("source", *columns, title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for label, row in summary.items():
        names = ("abs_rel", "delta1", "streaming_abs_rel", "streaming_delta1")
        mean, low, high = row["change"]
        change = ("", "") if mean == low == high == 0 else (f"{mean:+.0%}", f"{low:+.0%} to {high:+.0%}")
        table.add_row(label, *(f"{row[n]:.3f}" for n in names), *change, str(row["slow_runs"]))
    Console(width=80).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(EvaluateStreaming, EvaluateStreaming.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
