"""Compare the maps that depth sources on devices give along the same way, with the truth.

Examples:

    python scripts/compare_maps.py --env IndoorStatic-v0 --out maps
    python scripts/compare_maps.py --depths oracle async --devices orin-trt orin-torch --out maps
    python scripts/compare_maps.py --recording recordings/IndoorStatic-v0-agent-seed0 --out maps
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from rich import box
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from asyncmde_sim.envs.registration import check_environment
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.lag_plot import check_plot
from asyncmde_sim.evaluation.map_picture import errors_of, plot_maps, write_mesh, write_rerun
from asyncmde_sim.evaluation.map_runs import Setup, fuse_track, setups
from asyncmde_sim.evaluation.map_scores import Reference, make_reference
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.evaluation.rerun_log import check_rerun
from asyncmde_sim.evaluation.tracks import Track, as_trimesh, drifting, environment_track, recorded_track
from asyncmde_sim.mapping import MapConfig
from asyncmde_sim.mapping.open3d_library import load_open3d
from asyncmde_sim.mapping.weighting import check_weighting
from asyncmde_sim.recordings import open_recording
from asyncmde_sim.recordings.frames import Frame as SeenFrame
from asyncmde_sim.recordings.frames import check_motion
from asyncmde_sim.runtime import make_source
from asyncmde_sim.runtime.types import DepthSource
from asyncmde_sim.scenes.mesh_io import load_mesh


@dataclass(frozen=True)
class CompareMaps:
    """Fuse each source's depth along one way and score the maps on what could have been seen.

    Args:
        env: Environment whose camera goes the way: IndoorStatic-v0, IndoorDynamic-v0, IndoorExplore-v0 or
            ExtremeMotion-v0.
        recording: A recording instead, in any layout that the project reads; its depth is the reference.
        reference: Mesh (GLB, PLY, OBJ) of the recorded place, in the frame of its poses.
        on_jump: Where a recorded pose is lost or jumps: stop, or skip the frame.
        motion: agent (an episode of the usual agent on true depth), or open loop: smooth, expert, aggressive.
        seconds: Longest way, seconds.
        seed: Decides scene and way, and draws latencies.
        split: Scenes to draw from: train, val or test.
        scene: One scene instead: a name, or a GLB, PLY or OBJ file.
        backend: Renderer: raycast, or habitat.
        depths: Depth sources; see rollout.py.
        devices: Whose latencies to charge: built-in profiles or JSON files.
        refresh: When the slow path starts again: free, every-N, turned-D.
        weights: Name or folder of the networks' weights; the shipped ones by default.
        engine: What runs the networks; see rollout.py.
        voxel: Side of a voxel, metres.
        max_range: Depth beyond it is neither entered nor asked for, metres.
        weighting: How much a pixel counts: uniform, range (less when far), trust (also by the memory's trust
            and age).
        memory_mb: Each map may take so much memory.
        odometry_noise: Drift of the poses that the maps are built with; 0.02 is a fair wheel odometer.
        radius: Radius of the robot for which obstacles are missed or phantoms, metres.
        rerun: Write maps.rrd for the Rerun viewer.
        out: Folder for the results.
    """

    out: Path
    env: str = "IndoorStatic-v0"
    recording: Path | None = None
    reference: Path | None = None
    on_jump: str = "stop"
    motion: str = "agent"
    seconds: float = 30.0
    seed: int = 0
    split: str = "test"
    scene: str | None = None
    backend: str = "raycast"
    depths: tuple[str, ...] = ("oracle", "foundation", "fast", "async", "async-odometry")
    devices: tuple[str, ...] = ("orin-trt",)
    refresh: str = "free"
    weights: str | None = None
    engine: str | None = None
    voxel: float = 0.04
    max_range: float = 5.0
    weighting: str = "range"
    memory_mb: float = 2048.0
    odometry_noise: float = 0.0
    radius: float = 0.18
    rerun: bool = False

    def __post_init__(self) -> None:
        load_open3d()
        check_environment(self.env)
        check_motion(self.motion)
        check_weighting(self.weighting)
        _ = self._config
        for name in ("seconds", "radius"):
            if not 0 < getattr(self, name) <= 1000:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must lie above 0 and up to 1000")
        if not 0 <= self.odometry_noise <= 1:
            raise ValueError(f"odometry_noise is {self.odometry_noise}, but it must lie between 0 and 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative")
        if self.on_jump not in ("stop", "skip"):
            raise ValueError(f"unknown on_jump {self.on_jump!r}: choose stop or skip")
        if self.reference is not None and self.recording is None:
            raise ValueError("a reference mesh goes with --recording: an environment has its own")
        if self.rerun:
            check_rerun()
        for setup in setups(self.depths, self.devices):
            make_source(
                setup.depth, setup.device, self.refresh, weights=self.weights, engine=self.engine
            ).reset()
        self.out.mkdir(parents=True, exist_ok=True)
        check_plot(self.out / "maps.png")

    def run(self) -> None:
        """Fuse and score every map, print the table and write what there is to look at."""
        console = Console(stderr=True)
        track, mesh = self._track(console)
        for note in track.notes:
            print(f"{track.name}: {note}", file=sys.stderr)
        reference = make_reference(track, self.max_range, mesh)
        self._check_memory(reference)
        poses = drifting(track, self.odometry_noise, self.seed)
        rows: dict[str, dict[str, Any]] = {}
        drawn = {}
        for setup in progress(setups(self.depths, self.devices), "maps", console=console, transient=True):
            label = setup.label
            source = self._source(setup, track.camera.focal_share)
            fused = fuse_track(track, source, self._config, self.weighting, poses, self.seed)
            shown = fused.map.mesh()
            errors = errors_of(shown, reference)
            rows[label] = fused.row(shown, reference, self.radius)
            drawn[label] = (shown, errors)
            if len(shown.faces):
                write_mesh(shown, errors, self.out, label.replace(", ", "-").replace("/", "-"))
            write_json({"track": track.name, "frames": len(track), "maps": rows}, self.out / "maps.json")
        plot_maps(drawn, reference, track, self.out / "maps.png")
        if self.rerun:
            write_rerun(drawn, reference, track, self.out / "maps.rrd")
        print_table(rows, f"{track.name}: {len(track)} frames, voxels of {100 * self.voxel:g} cm")
        print(f"Results: {self.out}")

    def _source(self, setup: Setup, focal: float | None = None) -> DepthSource:
        return make_source(
            setup.depth, setup.device, self.refresh, weights=self.weights, focal=focal, engine=self.engine
        )

    @property
    def _config(self) -> MapConfig:
        return MapConfig(voxel_m=self.voxel, max_range_m=self.max_range, memory_mb=self.memory_mb)

    def _track(self, console: Console) -> tuple[Track, trimesh.Trimesh | None]:
        if self.recording is not None:
            track = recorded_track(open_recording(self.recording), self.on_jump)
            return track, None if self.reference is None else as_trimesh(load_mesh(self.reference))

        def bar(frames: Iterable[SeenFrame], most: int) -> Iterable[SeenFrame]:
            return progress(frames, "way", total=most, console=console, transient=True)

        options = {"split": self.split, "scene": self.scene, "backend": self.backend}
        return environment_track(self.env, self.motion, self.seed, self.seconds, options, bar)

    def _check_memory(self, reference: Reference) -> None:
        """Refuse voxels too small before anything is fused: a surface takes two blocks' thickness or so."""
        config = self._config
        blocks = len(np.unique(np.floor(reference.surface / config.block_m).astype(int), axis=0))
        if blocks > config.most_blocks:
            raise ValueError(
                f"voxel is {self.voxel} m, but what can be seen fills {blocks} blocks of 8 x 8 x 8 voxels, "
                f"and {self.memory_mb:g} MB hold {config.most_blocks}: use larger voxels or more --memory-mb"
            )


def print_table(rows: dict[str, dict[str, Any]], title: str) -> None:
    """One row for each map; it fits 100 columns."""
    columns = (
        "acc. cm",
        "compl.",
        "Chamfer",
        "F 5 cm",
        "10 cm",
        "cover",
        "missed",
        "phantom",
        "near cm",
        "ms",
    )
    table = Table("map", *columns, title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for label, row in rows.items():
        table.add_row(
            label,
            *(_figure(row[n], 100, ".1f") for n in ("accuracy_m", "completeness_m", "chamfer_m")),
            *(_figure(row[n], 1, ".3f") for n in ("f_5cm", "f_10cm", "coverage")),
            *(_figure(row[n], 1, ".3f") for n in ("obstacle_missed", "phantom_obstacle")),
            _figure(row["near_distance_error_m"], 100, ".1f"),
            _figure(row["fuse_ms"], 1, ".0f"),
        )
    Console(width=110).print(table)


def _figure(value: float | None, scale: float, form: str) -> str:
    return "-" if value is None else format(scale * value, form)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(CompareMaps, CompareMaps.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
