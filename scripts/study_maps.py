"""What depth on a device is worth to a map, and to a robot that explores: over many scenes.

Each scene's way is mapped from every source (maps.json), and each source explores every scene (explore.json).
What is in the files is not run again, so an interrupted study goes on.

Examples:

    python scripts/study_maps.py --out study
    python scripts/study_maps.py --parts maps --depths async --weightings uniform range trust --out weightings
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.lag_plot import check_plot
from asyncmde_sim.evaluation.map_runs import fuse_track, setups
from asyncmde_sim.evaluation.map_scores import make_reference
from asyncmde_sim.evaluation.map_study import (
    StudyFile,
    against,
    explore,
    groups,
    mean_over,
    plot_study,
    success,
)
from asyncmde_sim.evaluation.records import Row
from asyncmde_sim.evaluation.tracks import environment_track
from asyncmde_sim.mapping import MapConfig
from asyncmde_sim.mapping.open3d_library import load_open3d
from asyncmde_sim.mapping.weighting import check_weighting
from asyncmde_sim.runtime import make_source

PARTS = ("maps", "explore")
RADIUS_M = 0.18
EXPLORING = "agent's"
"""The exploring agent weighs pixels in its own way."""

MAP_SCORES = {"f_5cm": "F 5 cm", "obstacle_missed": "missed", "phantom_obstacle": "phantom"}
EXPLORED_SCORES = {"success": "explored", "collided": "collided", "mean_coverage": "over time"}

STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}


@dataclass(frozen=True)
class StudyMaps:
    """Map quality against lag, and exploration against device, with a table and a picture.

    Args:
        out: Folder for the results; what is in it is gone on with.
        parts: maps, explore, or both.
        scenes: Number of scenes, with seeds from ``seed``.
        seed: The first scene's seed.
        split: Scenes to draw from: train, val or test.
        depths: Depth sources; see rollout.py.
        devices: Whose latencies to charge: built-in profiles or JSON files.
        weightings: How much a pixel counts in the maps: uniform, range, trust.
        voxel: Side of a voxel of the maps, metres.
        seconds: Longest way that is mapped, seconds.
    """

    out: Path
    parts: tuple[str, ...] = PARTS
    scenes: int = 10
    seed: int = 0
    split: str = "test"
    depths: tuple[str, ...] = ("oracle", "foundation", "fast", "async", "async-odometry")
    devices: tuple[str, ...] = ("orin-trt", "orin-torch")
    weightings: tuple[str, ...] = ("range",)
    voxel: float = 0.04
    seconds: float = 30.0

    def __post_init__(self) -> None:
        load_open3d()
        for part in self.parts:
            if part not in PARTS:
                raise ValueError(f"unknown part {part!r}: choose one of {', '.join(PARTS)}")
        for weighting in self.weightings:
            check_weighting(weighting)
        if self.scenes < 1 or self.seed < 0:
            raise ValueError(
                f"scenes is {self.scenes} and seed {self.seed}, but they must be at least 1 and 0"
            )
        if not 0 < self.seconds <= 1000:
            raise ValueError(f"seconds is {self.seconds}, but it must lie above 0 and up to 1000")
        _ = self._config
        for setup in setups(self.depths, self.devices):
            make_source(setup.depth, setup.device).reset()
        self.out.mkdir(parents=True, exist_ok=True)
        check_plot(self.out / "study.png")

    def run(self) -> None:
        """Run what is not in the files yet, print the tables and draw the picture."""
        console = Console(stderr=True)
        maps = StudyFile(
            self.out / "maps.json", {"voxel": self.voxel, "seconds": self.seconds, "split": self.split}
        )
        explored = StudyFile(self.out / "explore.json", {"split": self.split})
        seeds = range(self.seed, self.seed + self.scenes)
        if "maps" in self.parts:
            for seed in progress(seeds, "scenes mapped", console=console):
                self._map(seed, maps)
        if "explore" in self.parts:
            todo = list(product(seeds, setups(self.depths, self.devices)))
            for seed, setup in progress(todo, "scenes explored", console=console):
                key = {"seed": seed, "depth": setup.depth, "device": setup.device, "weighting": EXPLORING}
                if explored.has(**key):
                    continue
                config = RolloutConfig(
                    env="IndoorExplore-v0",
                    depth=setup.depth,
                    device=setup.device,
                    agent="explore",
                    split=self.split,
                    seed=seed,
                    video=False,
                )
                folder = (
                    self.out / "explored" / f"seed{seed}-{setup.label.replace(', ', '-').replace('/', '-')}"
                )
                explored.add({**key, **explore(setup, config, folder)})
        print_maps(maps.rows, self.voxel)
        print_against(maps.rows, MAP_SCORES, depth="foundation")
        print_against(maps.rows, MAP_SCORES, weighting="range")
        print_explored(explored.rows)
        print_against(explored.rows, EXPLORED_SCORES, depth="foundation")
        plot_study(maps.rows, explored.rows, 120, self.out / "study.png")
        print(f"Results: {self.out}")

    @property
    def _config(self) -> MapConfig:
        return MapConfig(voxel_m=self.voxel)

    def _map(self, seed: int, file: StudyFile) -> None:
        todo = [
            (setup, weighting)
            for setup in setups(self.depths, self.devices)
            for weighting in self.weightings
            if not file.has(seed=seed, depth=setup.depth, device=setup.device, weighting=weighting)
        ]
        if not todo:
            return
        track, mesh = environment_track("IndoorStatic-v0", "agent", seed, self.seconds, {"split": self.split})
        reference = make_reference(track, self._config.max_range_m, mesh)
        for setup, weighting in todo:
            source = make_source(setup.depth, setup.device, focal=track.camera.focal_share)
            fused = fuse_track(track, source, self._config, weighting, track.poses, seed)
            key = {"seed": seed, "depth": setup.depth, "device": setup.device, "weighting": weighting}
            file.add({**key, **fused.row(fused.map.mesh(), reference, RADIUS_M)})


def print_maps(rows: Sequence[Row], voxel_m: float) -> None:
    """Means over scenes of the maps' scores."""
    if not rows:
        return
    columns = ("scenes", "age ms", "F 5 cm (95 %)", "F 10 cm", "acc. cm", "compl. cm", "missed", "phantom")
    title = f"IndoorStatic, voxels of {100 * voxel_m:g} cm"
    table = Table("map", *columns, title=title, **STYLE)
    for label, group in groups(rows).items():
        table.add_row(
            label,
            str(len(group)),
            _mean(group, "content_age_ms", 1, ".0f"),
            _mean(group, "f_5cm", 1, ".3f", interval=True),
            _mean(group, "f_10cm", 1, ".3f"),
            _mean(group, "accuracy_m", 100, ".1f"),
            _mean(group, "completeness_m", 100, ".1f"),
            _mean(group, "obstacle_missed", 1, ".3f"),
            _mean(group, "phantom_obstacle", 1, ".3f"),
        )
    Console(width=110).print(table)


def print_explored(rows: Sequence[Row]) -> None:
    """Success and coverage of the exploring episodes."""
    if not rows:
        return
    columns = ("explored 90 %", "95 %", "collided", "coverage", "over time", "F 5 cm")
    table = Table("explored with", *columns, title="IndoorExplore", **STYLE)
    for label, group in groups(rows).items():
        count, (low, high) = success(group)
        table.add_row(
            label,
            f"{count} of {len(group)}",
            f"{low:.2f} to {high:.2f}",
            str(sum(row["collided"] for row in group)),
            _mean(group, "coverage", 1, ".2f", interval=True),
            _mean(group, "mean_coverage", 1, ".2f", interval=True),
            _mean(group, "f_5cm", 1, ".3f"),
        )
    Console(width=110).print(table)


def print_against(rows: Sequence[Row], scores: Mapping[str, str], **baseline: str) -> None:
    """How much higher each map or robot scores than the baseline in the same scenes, with 95 % intervals."""
    columns = {name: against(rows, name, **baseline) for name in scores}
    labels = list(dict.fromkeys(label for differences in columns.values() for label in differences))
    if not labels:
        return
    title = f"Paired by scene: difference to {', '.join(baseline.values())}"
    table = Table("", *scores.values(), title=title, **STYLE)
    for label in labels:
        found = [differences.get(label) for differences in columns.values()]
        table.add_row(
            label, *("-" if d is None else f"{d.mean:+.3f} ({d.low:+.3f} to {d.high:+.3f})" for d in found)
        )
    Console(width=110).print(table)


def _mean(rows: Sequence[Row], name: str, scale: float, form: str, interval: bool = False) -> str:
    mean = mean_over(row[name] for row in rows)
    if mean is None:
        return "-"
    value, low, high = (format(scale * number, form) for number in (mean.value, mean.low, mean.high))
    return f"{value} ({low} to {high})" if interval else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(StudyMaps, StudyMaps.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
