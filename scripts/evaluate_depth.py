"""Score the depth networks by lag: on test scenes of the three environments, or on recordings.

Examples:

    python scripts/evaluate_depth.py
    python scripts/evaluate_depth.py --weights runs/weights --json-file figures.json
    python scripts/evaluate_depth.py --ablation --interval 20 --plot lags.png
    python scripts/evaluate_depth.py --align floor ranges odometry
    python scripts/evaluate_depth.py --recordings ~/data/rgbd_dataset_freiburg1_rpy ~/data/redkitchen/seq-01
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from asyncmde_sim.depth.weights_folder import RELATIVE_STAND_IN
from asyncmde_sim.evaluation.ablations import ablations, asynchronous_sources
from asyncmde_sim.evaluation.alignments import SCORED, score_alignments, summarise_alignments
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.depth_accuracy import (
    SOURCES,
    DepthSequence,
    clip_sequences,
    recorded_sequence,
    score_sequence_by_lag,
    summarise,
)
from asyncmde_sim.evaluation.lag_plot import check_plot, plot_lags
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings import open_recording
from asyncmde_sim.runtime.alignment import make_alignment
from asyncmde_sim.runtime.engines import Engines, load_engines
from asyncmde_sim.runtime.engines.spec import parse_engine
from asyncmde_sim.runtime.engines.torch_engine import TorchEngines
from asyncmde_sim.scenes import check_backend
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.training.clips import read_shard
from asyncmde_sim.training.render import REGIMES, Motion, render_all, render_jobs

ASYNCHRONOUS = ("async", "async-odometry")


@dataclass(frozen=True)
class EvaluateDepth:
    """Score the slow path, the fast path without memory and the asynchronous system.

    Args:
        recordings: Folders of recordings (TUM RGB-D, Bonn, 7-Scenes, exported ScanNet, Sintel) instead of
            our scenes.
        weights: Name or folder of weights; the shipped ones by default.
        engine: What runs the networks; see scripts/rollout.py. torch has no rounding to 8 bits in it.
        interval: Frames from one refresh to the next.
        max_range_m: True depth at or beyond it does not count, metres.
        split: Split of the scenes.
        scenes: Scenes of each environment.
        clips: Clips a scene; each is one refresh cycle.
        motion: How the camera moves in them: velocity (constant, random, a metre or more of free range
            ahead at first), close (the same with less than a metre), low (the same before something that
            the optical axis passes over) or trajectory (as the environment records it).
        hfov_deg: Horizontal field of view of the camera in our scenes, degrees.
        backend: Renderer: raycast, habitat or habitat@N; see scripts/rollout.py.
        clip_folder: Where to keep the rendered clips for another run; nowhere by default.
        ablation: Score also the asynchronous system with a part switched off (nothing is trained again): as
            in the paper, a memory of its own encoder and either gate alone; and, where poses are known, the
            memory turned with the camera or the slow path's depth carried along, each alone.
        align: Score alignments of relative depth instead: floor, ranges, odometry. Without --weights of a
            relative model, the shipped slow path without its scale and shift stands in for one.
        plot: Picture of the accuracy by lag: PNG, PDF or SVG.
        json_file: File for the figures.
        seed: Seed of the clips.
    """

    recordings: tuple[Path, ...] = ()
    weights: str | None = None
    engine: str = "torch"
    interval: int = 10
    max_range_m: float = 20.0
    split: str = "test"
    scenes: int = 10
    clips: int = 5
    motion: Motion = "velocity"
    hfov_deg: float = 90.0
    backend: str = "raycast"
    clip_folder: Path | None = None
    ablation: bool = False
    align: tuple[str, ...] = ()
    plot: Path | None = None
    json_file: Path | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("interval", "scenes", "clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be 1 or more")
        check_backend(self.backend)
        _ = self._camera
        if self.ablation and parse_engine(self.engine).library != "torch":
            raise ValueError(
                f"ablation needs networks to take apart, not {self.engine!r}: use --engine torch"
            )
        if self.align:
            self._check_align()
        if self.plot:
            check_plot(self.plot)

    def run(self) -> None:
        """Score everything, print the tables, and write the figures: of what was scored, if interrupted."""
        if self.align:
            _ = load_engines(self._relative_weights, None, self.engine).relative
        else:
            self._engines(self._camera.pinhole)
        score, give = (self._aligned, self._give_aligned) if self.align else (self._by_lag, self._give_by_lag)
        figures: dict[str, dict] = {}
        try:
            with tempfile.TemporaryDirectory() as temporary:
                for group, sequences in self._groups(Path(temporary)):
                    figures[group] = score(group, list(sequences))
        finally:
            if figures:
                give(figures)

    def _give_by_lag(self, figures: dict[str, dict]) -> None:
        print_tables(figures)
        if self.json_file:
            report = {
                "recovery": mean_recovery(figures, "async"),
                "recovery_with_odometry": mean_recovery(figures, "async-odometry"),
                "split": None if self.recordings else self.split,
                "motion": None if self.recordings else self.motion,
                "interval": self.interval,
                "groups": figures,
            }
            write_json(report, self.json_file)
        if self.plot:
            plot_lags(figures, self.plot)

    def _check_align(self) -> None:
        for name in self.align:
            make_alignment(name)
            if self.recordings and name != "odometry":
                raise ValueError(
                    f"align is {name!r}, but recordings hold neither the camera's height nor range readings: "
                    "use --align odometry"
                )
        if self.ablation or self.plot:
            raise ValueError(
                "ablation and plot show the accuracy by lag, which --align does not score: leave them out"
            )

    @property
    def _relative_weights(self) -> str:
        return self.weights or RELATIVE_STAND_IN

    def _give_aligned(self, figures: dict[str, dict]) -> None:
        print_alignments(figures)
        if self.json_file:
            split = None if self.recordings else self.split
            write_json({"weights": self._relative_weights, "split": split, "groups": figures}, self.json_file)

    def _aligned(self, group: str, sequences: Sequence[DepthSequence]) -> dict:
        """Figures of each alignment of sequences that one camera took."""
        weights, camera = self._relative_weights, sequences[0].camera
        focal = camera.focal_share
        metric = load_engines(None, focal, self.engine).slow if weights == RELATIVE_STAND_IN else None
        relative = load_engines(weights, focal, self.engine).relative
        shown = track(sequences, group, console=Console(stderr=True))
        return summarise_alignments(score_alignments(shown, self.align, relative, metric, self.max_range_m))

    @property
    def _camera(self) -> Camera:
        return Camera(hfov_rad=math.radians(self.hfov_deg))

    def _engines(self, camera: Intrinsics) -> Engines:
        engines = load_engines(self.weights, camera.focal_share, self.engine)
        _ = engines.slow, engines.fast, engines.single
        return engines

    def _by_lag(self, group: str, sequences: Sequence[DepthSequence]) -> dict:
        """Figures by lag of sequences that one camera took."""
        engines = self._engines(sequences[0].camera)
        asynchronous = asynchronous_sources(engines)
        if self.ablation:
            assert isinstance(engines, TorchEngines)
            asynchronous |= ablations(engines)
        shown = track(sequences, group, console=Console(stderr=True))
        return summarise(
            [score_sequence_by_lag(s, engines, self.interval, self.max_range_m, asynchronous) for s in shown]
        )

    def _groups(self, temporary: Path) -> Iterator[tuple[str, Iterator[DepthSequence]]]:
        if self.recordings:
            for recording in [open_recording(folder) for folder in self.recordings]:
                problems = list(recording.problems)
                sequence = recorded_sequence(recording, problems.append)
                if problems:
                    print(
                        f"{recording.name}: {len(problems)} problems: {'; '.join(problems[:5])}", flush=True
                    )
                yield recording.name, iter([sequence])
            return
        folder = self.clip_folder or temporary
        jobs = render_jobs(
            self.split,
            self.scenes,
            self.clips,
            self.interval,
            self.seed,
            folder,
            camera=self._camera,
            motion=self.motion,
            backend=self.backend,
        )
        render_all(jobs, workers=2)
        for regime in REGIMES:
            shards = (read_shard(folder, job.name) for job in jobs if job.regime == regime)
            yield regime, clip_sequences(shards, self._camera)


def print_tables(figures: dict[str, dict]) -> None:
    """Cycle averages of every source, then each asynchronous one and fast by lag.

    The column "obstacles" is AbsRel on what stands out towards the camera alone.
    """
    console = Console(width=80)
    table = _table(
        "cycle average", "δ1", "AbsRel", "obstacles", "scaled δ1", "AbsRel", "TAE", "drift", "recovery"
    )
    for group, figure in figures.items():
        table.add_row(f"[bold]{escape(group)}")
        for source in figure["scores"]:
            metric, scaled = (figure["scores"][source][a] for a in ("none", "sequence"))
            numbers = [metric["delta1"], metric["abs_rel"], figure["obstacle_abs_rel"][source]]
            numbers += [scaled["delta1"], scaled["abs_rel"]]
            numbers += [figure["tae"][source], figure["scale_drift"][source]]
            shown = ["" if n is None else f"{n:.3f}" for n in numbers]
            recovery = figure["recovery"].get(source)
            table.add_row(source, *shown, "" if recovery is None else f"{recovery:.0%}")
        table.add_section()
    console.print(table)
    for source in ASYNCHRONOUS:
        _print_by_lag(console, source, {g: f for g, f in figures.items() if source in f["gain_by_lag"]})


def print_alignments(figures: Mapping[str, Mapping[str, list[dict]]]) -> None:
    """For each alignment: how often it knows, and its scores beside the metric model's and the best fit's."""
    columns = ("frames", "fitted", "held", "none", "δ1", "AbsRel", "metric", "AbsRel", "truth", "AbsRel")
    table = _table("aligned by", *columns)
    for group, alignments in figures.items():
        table.add_row(f"[bold]{escape(group)}")
        for name, rows in alignments.items():
            for row in rows:
                scores = [s for key in SCORED for s in (row[key] or (None, None))]
                shares = [f"{row[key]:.0%}" for key in ("fitted", "held", "none")]
                label = name if row["circumstance"] is None else f"  {row['circumstance']}"
                shown = ["" if s is None else f"{s:.3f}" for s in scores]
                table.add_row(label, str(row["frames"]), *shares, *shown)
        table.add_section()
    Console(width=80).print(table)


def mean_recovery(figures: Mapping[str, dict], source: str) -> float | None:
    """Mean of the groups' recoveries, None if one has none."""
    recoveries = [figure["recovery"].get(source) for figure in figures.values()]
    return None if None in recoveries else sum(recoveries) / len(recoveries)


def _print_by_lag(console: Console, source: str, figures: Mapping[str, dict]) -> None:
    lags = _table("δ1 at lag", *SOURCES, source, "above fast", "95 % interval")
    for group, figure in figures.items():
        lags.add_row(f"[bold]{escape(group)}")
        for lag, gain in enumerate(figure["gain_by_lag"][source]):
            shown = [f"{figure['delta1_by_lag'][s][lag]:.3f}" for s in (*SOURCES, source)]
            many = figure["sequences"] > 1
            interval = f"{gain['low']:+.3f} to {gain['high']:+.3f}" if many else "one sequence"
            lags.add_row(str(lag), *shown, f"{gain['mean']:+.3f}", interval)
        lags.add_section()
    console.print(lags)


def _table(first: str, *columns: str) -> Table:
    return Table(Column(first, overflow="fold"), *columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(EvaluateDepth, EvaluateDepth.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
