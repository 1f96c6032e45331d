"""Measure how fast things run on this machine.

Examples:

    python scripts/bench.py depth                              # the networks, alone and side by side
    python scripts/bench.py depth --profile my-machine.json    # ... to be charged: --device my-machine.json
    python scripts/bench.py loop                               # where the time of a rollout goes
    python scripts/bench.py vector                             # environments side by side, for training
    python scripts/bench.py render                             # the renderer, beside Embree alone
    python scripts/bench.py render --backends raycast habitat  # ... and Habitat-Sim, by number of processes
    python scripts/bench.py report                             # a large suite's report, written and opened
"""

from __future__ import annotations

import os
import sys

if sys.argv[1:2] != ["depth"]:  # small matrices and one ray caster: threads would wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
if sys.argv[1:2] == ["render"]:
    os.environ["OMP_NUM_THREADS"] = "1"

import math
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from asyncmde_sim.evaluation.backend_parity import random_views
from asyncmde_sim.evaluation.bench_depth import (
    Ceilings,
    Durations,
    Vit,
    fast_path_times,
    path_times,
    random_vit,
    threads,
    vit_times,
)
from asyncmde_sim.evaluation.bench_loop import time_loop
from asyncmde_sim.evaluation.bench_render import Load, parse_sizes, throughput, worker_cost
from asyncmde_sim.evaluation.bench_report import time_report
from asyncmde_sim.evaluation.bench_vector import batch_ms, one_by_one, side_by_side
from asyncmde_sim.evaluation.command_line import exit_code
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.runtime.engines import load_engines
from asyncmde_sim.runtime.engines.spec import parse_engine
from asyncmde_sim.scenes import check_backend, load_backend
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.raycast import RaycastBackend
from asyncmde_sim.training.agents.task import AgentTask, frozen

PAPER_MS = {"fast": (36.0, 6.2), "small": (99.3, 39.5), "base": (244.0, 81.0)}
"""AsyncMDE, Jetson AGX Orin at 518 x 518: PyTorch in float32, TensorRT in float16."""


@dataclass(frozen=True)
class Depth:
    """Time the fast path, Depth Anything V2, and both paths side by side, and write a latency profile.

    Args:
        heights: Heights of the input, pixels, all multiples of 14.
        widths: Its widths, one for each height.
        vits: Depth Anything V2 models to time, with random weights: small, base.
        engines: Engines of the weights to time side by side; see scripts/rollout.py.
        weights: Name or folder of weights; the shipped ones by default.
        profile: Write the first engine's latencies to this file, for --device.
        name: Name of this machine in the profile.
        seconds: Time for each measurement.
    """

    heights: tuple[int, ...] = (168, 266, 518)
    widths: tuple[int, ...] = (224, 350, 518)
    vits: tuple[Vit, ...] = ("small", "base")
    engines: tuple[str, ...] = ("onnx-int8", "torch")
    weights: str | None = None
    profile: Path | None = None
    name: str = field(default_factory=platform.node)
    seconds: float = 8.0

    def __post_init__(self) -> None:
        if len(self.heights) != len(self.widths) or not self.heights:
            raise ValueError(
                f"heights are {self.heights} and widths {self.widths}, but each size has one of both"
            )
        for side in (*self.heights, *self.widths):
            if side < 42 or side % 14:
                raise ValueError(f"a size has a side of {side} px, but multiples of 14 from 42 on are needed")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"seconds is {self.seconds}, but it must be finite and positive")
        if not self.engines:
            raise ValueError("engines is empty, but at least one is needed: give onnx-int8 or torch")
        for engine in self.engines:
            parse_engine(engine)

    def run(self) -> None:
        """Measure and print."""
        if self.vits:
            random_vit("small")
        console = Console(stderr=True)
        self._print_networks(console)
        self._print_engines(console)

    def _print_networks(self, console: Console) -> None:
        with console.status("ceilings of this machine"):
            ceilings = Ceilings.measured()
        print(
            f"{torch.get_num_threads()} threads, float32: {ceilings.flops / 1e9:.0f} GFLOP/s in a product of "
            f"matrices, {ceilings.bytes_per_s / 1e9:.1f} GB/s in a copy"
        )
        table = Table(
            "torch, float32",
            "size",
            "p50 ms",
            "p95",
            "p99",
            "/s",
            "floor ms",
            "Orin torch, TRT",
            box=box.SIMPLE_HEAD,
        )
        for size in zip(self.heights, self.widths, strict=True):
            shown = f"{size[0]}x{size[1]}"
            with console.status(f"fast path, {shown}"):
                fast = fast_path_times(size, self.seconds)
            rows = {"fast": fast.whole}
            for vit in self.vits:
                with console.status(f"Depth Anything V2 {vit}, {shown}"):
                    rows[vit] = vit_times(vit, size, self.seconds)
            for name, times in rows.items():
                floor_ms = 1e3 * ceilings.floor_s(times.flops, times.traffic_bytes)
                paper = "{}, {}".format(*PAPER_MS[name]) if size == (518, 518) else ""
                label = "fast path" if name == "fast" else f"Depth Anything V2 {name}"
                table.add_row(label, shown, *_percentiles(times.durations), f"{floor_ms:.1f}", paper)
            unit = fast.memory_unit.percentile_ms(50)
            share = unit / fast.whole.durations.percentile_ms(50)
            table.add_row("  memory unit alone", shown, f"{unit:.1f}", "", "", f"{share:.0%}", "", "")
            for vit in self.vits:
                ratio = rows[vit].durations.percentile_ms(50) / fast.whole.durations.percentile_ms(50)
                table.add_row(f"  {vit} over fast path", shown, f"{ratio:.1f}x")
        Console(width=100).print(table)

    def _print_engines(self, console: Console) -> None:
        table = Table(
            "engine", "threads", "path", "p50 ms", "p95", "p99", "/s", "p99 beside/alone", box=box.SIMPLE_HEAD
        )
        images = list(np.random.default_rng(0).integers(0, 256, (8, 192, 256, 3), dtype=np.uint8))
        cores = len(os.sched_getaffinity(0))
        for engine in self.engines:
            for count in sorted({1, max(1, cores // 2), cores}):
                with console.status(f"{engine}, {count} threads a path"), threads(count):
                    found = path_times(load_engines(self.weights, None, engine), images, self.seconds)
                rows = {"fast": (found.fast, found.fast_beside), "slow": (found.slow, found.slow_beside)}
                for path, (alone, beside) in rows.items():
                    ratio = beside.percentile_ms(99) / alone.percentile_ms(99)
                    table.add_row(engine, str(count), f"{path} alone", *_percentiles(alone), "")
                    table.add_row("", "", f"{path} beside", *_percentiles(beside), f"{ratio:.2f}")
                if self.profile and engine == self.engines[0] and count == max(1, cores // 2):
                    source = f"bench.py depth, {date.today()}, {engine}, {count} of {cores} cores a path"
                    write_json(found.profile(self.name, source).as_dict(), self.profile)
        print(f"both paths of the weights, {cores} cores; beside: while the other path runs without a pause")
        Console(width=100).print(table)
        if self.profile:
            print(f"written to {self.profile}: use it with --device {self.profile}")


def _percentiles(durations: Durations) -> list[str]:
    shown = [f"{durations.percentile_ms(p):.1f}" for p in (50, 95, 99)]
    return [*shown, f"{durations.per_second:.1f}"]


@dataclass(frozen=True)
class Loop:
    """Time the parts of a rollout's control step.

    Args:
        env: Environment.
        depth: Depth source.
        device: Whose latencies are charged.
        engine: What runs the networks; see scripts/rollout.py.
        steps: Control steps.
        seed: Of the first episode.
        backend: Renderer: raycast, habitat or habitat@N; see scripts/rollout.py.
    """

    env: str = "ExtremeMotion-v0"
    depth: str = "async"
    device: str = "orin-trt"
    engine: str | None = None
    steps: int = 200
    seed: int = 0
    backend: str = "raycast"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, but it must be 1 or more")

    def run(self) -> None:
        """Measure and print."""
        config = RolloutConfig(
            env=self.env,
            depth=self.depth,
            device=self.device,
            engine=self.engine,
            seed=self.seed,
            backend=self.backend,
        )
        with Console(stderr=True).status(f"{self.steps} steps of {self.env}"):
            times = time_loop(config, self.steps)
        table = Table("part", "calls", "ms a call", "ms a step", "share", box=box.SIMPLE_HEAD)
        for name, part in times.parts.items():
            calls = len(part.seconds)
            a_call = f"{1e3 * part.total_s / calls:.1f}" if calls else ""
            a_step = f"{1e3 * part.total_s / times.steps:.1f}"
            table.add_row(name, str(calls), a_call, a_step, f"{part.total_s / times.wall_s:.0%}")
        whole = f"{1e3 * times.wall_s / times.steps:.1f}"
        table.add_row("[bold]step and agent", str(times.steps), whole, whole, "100%")
        Console(width=80).print(table)
        print(f"{times.steps / times.wall_s:.1f} steps/s; the networks run in threads beside the rest")


@dataclass(frozen=True)
class Vector:
    """Time environments with their own depth sources, stepped one by one and side by side.

    Args:
        env: Environment.
        depth: Depth source.
        device: Whose latencies are charged.
        engine: What runs the networks; see scripts/rollout.py.
        image_size: Width and height of the camera's image, pixels.
        count: Environments.
        steps: Steps of each that are timed.
        repeats: Measurements of both in turn; the best of each counts.
        batches: Frames in a batch of the fast path in 8 bits, to be timed; none if empty.
    """

    env: str = "IndoorStatic-v0"
    depth: str = "async"
    device: str = "orin-trt"
    engine: str | None = None
    image_size: tuple[int, int] = (128, 96)
    count: int = 4
    steps: int = 100
    repeats: int = 2
    batches: tuple[int, ...] = (1, 4)

    def __post_init__(self) -> None:
        if min(self.count, self.steps, self.repeats, *self.batches, 1) < 1:
            raise ValueError("count, steps, repeats and batches must all be 1 or more")

    def run(self) -> None:
        """Measure and print."""
        source = {"depth": self.depth, "device": self.device, "engine": self.engine}
        camera = Camera(*self.image_size)
        task = AgentTask(self.env, frozen({"camera": camera}), frozen(source))
        focal, cores = camera.focal_share, len(os.sched_getaffinity(0))
        alone, together = [], []
        with Console(stderr=True).status(f"{self.count} environments, {self.repeats} times"):
            for _ in range(self.repeats):
                alone.append(one_by_one(task.make, self.count, self.steps))
                together.append(
                    side_by_side(task.make_plain, lambda: task.make_source(focal), self.count, self.steps)
                )
        table = Table(f"{self.count} environments", "steps/s", "CPU ms a step", box=box.SIMPLE_HEAD)
        best = [max(runs, key=lambda run: run.steps_per_s) for runs in (alone, together)]
        for name, run in zip(("one by one", "side by side"), best, strict=True):
            table.add_row(name, f"{run.steps_per_s:.1f}", f"{run.cpu_ms:.1f}")
        Console(width=80).print(table)
        ratio = best[1].steps_per_s / best[0].steps_per_s
        least = min(run.cpu_ms for run in best)
        print(f"{ratio:.2f} times as fast; {cores} cores always busy: {1e3 * cores / least:.1f} steps/s")
        for size, ms in batch_ms(None, self.batches, 3.0).items():
            print(f"fast path, onnx-int8, batch of {size}: {ms:.1f} ms a frame on one thread")


@dataclass(frozen=True)
class Render:
    """Time RGB and depth of one camera, blur off, beside Embree alone on the same rays.

    Both run on one thread and are timed by what it spent on its core, so that a busy machine counts less.
    With several backends: images a second by number of processes, and what Habitat-Sim's process costs.
    """

    scene: str = "flat-val-0000"
    """Scene of the library, or path of a GLB, PLY or OBJ."""
    width: int = 256
    """Image width, pixels."""
    height: int = 192
    """Image height, pixels."""
    poses: int = 12
    """Camera poses, drawn in the scene's free space."""
    repeats: int = 15
    """Images per pose; the median over all is printed."""
    seed: int = 0
    """Draws the poses."""
    backends: tuple[str, ...] = ()
    """Renderers to compare by number of processes: raycast, habitat, habitat@N; none by default."""
    processes: tuple[int, ...] = (1, 2, 4)
    """Numbers of processes side by side, each with an environment's own renderer."""
    sizes: tuple[str, ...] = ("256x192", "640x480")
    """Image sizes of the comparison."""
    seconds: float = 5.0
    """Time for each number of the comparison."""

    def run(self) -> None:
        """Measure and print."""
        if not self.backends:
            self._beside_embree()
            return
        if min((1, *self.processes)) < 1 or not self.seconds > 0:
            raise ValueError(
                f"processes are {self.processes} and seconds {self.seconds}, but all must be positive"
            )
        for backend in self.backends:
            check_backend(backend, self.scene)
        self._compare([Camera(*size) for size in parse_sizes(self.sizes)])

    def _compare(self, cameras: Sequence[Camera]) -> None:
        table = Table("backend", "size", *(f"{n} proc." for n in self.processes), box=box.SIMPLE_HEAD)
        costs = Table("size", "through ms", "inside ms", "its own ms", "over its own", box=box.SIMPLE_HEAD)
        for backend in self.backends:
            for camera in cameras:
                load = Load(self.scene, backend, camera, self.seconds, self.seed)
                shown = f"{camera.width}x{camera.height}"
                with Console(stderr=True).status(f"{backend}, {shown}"):
                    rates = [throughput(load, count) for count in self.processes]
                    cost = None if backend == "raycast" else worker_cost(load)
                table.add_row(backend, shown, *(f"{rate:.0f}/s" for rate in rates))
                if cost is not None:
                    parts = (cost.render_s, cost.inside_s, cost.own_s)
                    over = f"{cost.render_s / cost.own_s - 1:+.0%}"
                    costs.add_row(shown, *(f"{1e3 * part:.2f}" for part in parts), over)
        print(
            f"RGB and depth of {self.scene}, {len(os.sched_getaffinity(0))} cores; images a second, together"
        )
        Console(width=80).print(table)
        if costs.row_count:
            print("Habitat-Sim through its process; the same loop inside it; its own two passes inside it")
            Console(width=80).print(costs)

    def _beside_embree(self) -> None:
        if self.poses < 1 or self.repeats < 1:
            raise ValueError(f"poses is {self.poses} and repeats {self.repeats}, but both must be 1 or more")
        camera = Camera(width=self.width, height=self.height)
        backend = load_backend(self.scene)
        assert isinstance(backend, RaycastBackend)
        embree_s, render_s = [], []
        for motion in random_views(backend, self.poses, np.random.default_rng(self.seed)):
            origins, directions = backend.world_rays(camera, motion)
            for _ in range(self.repeats):
                start = time.thread_time()
                backend.embree.run(origins, directions)
                middle = time.thread_time()
                backend.render(camera, motion)
                embree_s.append(middle - start)
                render_s.append(time.thread_time() - middle)
        embree, render = float(np.median(embree_s)), float(np.median(render_s))
        print(f"scene {self.scene}, {self.width}x{self.height} RGB + depth, {self.poses} poses, one core")
        print(f"Embree alone  {1e3 * embree:7.2f} ms")
        print(f"render        {1e3 * render:7.2f} ms")
        print(f"ratio         {render / embree:7.2f}   (at most 2)")
        print(f"frames/s      {1 / render:7.1f}   (at least 100)")


@dataclass(frozen=True)
class Report:
    """Time the report of a suite whose results are made up, written and opened in a browser.

    Opening needs Playwright and a Chromium, the one on the path or that of the variable CHROMIUM.
    """

    episodes: int = 10_000
    """About how many episodes the suite has."""
    steps: int = 300
    """Steps of each."""

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.steps < 2:
            raise ValueError(
                f"episodes is {self.episodes} and steps {self.steps}, but at least 1 and 2 are needed"
            )

    def run(self) -> None:
        """Measure and print."""
        with tempfile.TemporaryDirectory() as folder:
            times = time_report(Path(folder), self.episodes, self.steps)
        print(
            f"{times.episodes} episodes of {self.steps} steps; the page has {times.size_bytes / 1e6:.1f} MB"
        )
        print(f"read and written   {times.write_s:5.1f} s")
        if times.open_s is None or times.drawn_s is None:
            print("not opened: there is no browser (Debian, Ubuntu: apt install chromium)")
            return
        print(f"opened             {times.open_s:5.2f} s")
        print(f"every chart drawn  {times.drawn_s:5.2f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    commands: dict[str, Callable[..., Any]] = {
        "depth": Depth,
        "loop": Loop,
        "vector": Vector,
        "render": Render,
        "report": Report,
    }
    cli = tyro.extras.subcommand_cli_from_dict
    return exit_code(lambda: cli(commands, args=arguments, description=__doc__).run())


if __name__ == "__main__":
    sys.exit(main())
