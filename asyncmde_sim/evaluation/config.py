"""What a rollout is made of."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncmde_sim.envs.registration import check_environment
from asyncmde_sim.runtime.registry import is_remote


def charged_device(depth: str, device: str | None) -> str:
    """Whose latencies to charge: by default an Orin's, or those that a remote device measures."""
    return device or ("measured" if is_remote(depth) else "orin-trt")


@dataclass(frozen=True)
class EpisodeConfig:
    """What decides an episode beside its seed: one agent in one environment, and the depth it is given.

    Args:
        env: Environment: IndoorStatic-v0, IndoorDynamic-v0, IndoorExplore-v0 or ExtremeMotion-v0.
        depth: Depth source: oracle (true depth), foundation (slow path alone), fast (fast path alone),
            async (both, joined by the memory: the paper's system), async-odometry (the same, which knows how
            the camera has moved), async-catch-up (frames replayed into a refresh when it lands), blind
            (none), the address of a device that serves depth, hil://HOST:PORT (see scripts/hil.py), or
            module:Class: a model of your own in the place of foundation's.
        device: Whose latencies to charge: a built-in profile (ideal, rtx4090, orin-trt, orin-torch,
            orin-torch-contended), a JSON file, or the trace.parquet of a rollout on a device. By default
            orin-trt, and with a device's address what it measures itself.
        refresh: When the slow path starts again: free (as soon as it is done), every-N frames, or turned-D:
            when the camera has turned by D degrees.
        latency_ms: Constant latency added to every estimate, milliseconds.
        weights: Folder of trained weights; the shipped ones if none is given.
        engine: What runs the networks: torch, or from files of scripts/export.py onnx-int8, onnx-fp32 or
            onnx-fp16; on a GPU tensorrt-fp16, or one of the others with @cuda. By default onnx-int8 if the
            weights come with its files, as the shipped ones do, else torch.
        clock: simulated, or wall: simulated time passes as the host's (async or a device's address; a slow
            simulation is told of). With a device's address, simulated waits for each of its answers.
        align: What brings the depth of a relative model to metres (with --depth foundation or your own):
            floor (the camera's height over the floor), ranges (a few range readings) or odometry.
        agent: Who steers: avoid (goes for the goal on what it sees), plan (on a map that it builds), explore
            (sees everything, needs no goal), straight (blind); or a learned policy: the folder that
            scripts/train_agent.py wrote, or the name of a shipped one. By default avoid, or explore without a
            goal.
        scene: One scene: a name such as hall-val-0003, or a GLB, PLY or OBJ file; with --backend habitat also
            CONFIG:NAME, a scene of the dataset with the config CONFIG (*.scene_dataset_config.json).
            Without it every episode draws one of the split's scenes.
        split: Scenes to draw from: train, val or test.
        difficulty: Density of obstacles and strength of disturbances, 0 to 1; the environment's own
            default if none is given.
        max_speed: Top speed of the robot, m/s; its own default if none is given.
        image_size: Width and height of the camera's image, pixels; its own default if none is given.
        backend: Renderer: raycast, or habitat (Habitat-Sim under the interpreter that ASYNCMDE_HABITAT_PYTHON
            names, on what EGL offers first: without a GPU, software) or habitat@N (on the CUDA device N).
        restart: When Habitat-Sim's process dies, go on with the next episode instead of ending.
        treatment: whole; or, to divide a loss of success, "error only" (estimates without delay) or "delay
            only" (true depth with the source's delay).
    """

    env: str = "ExtremeMotion-v0"
    depth: str = "async-odometry"
    device: str | None = None
    refresh: str = "free"
    latency_ms: float = 0.0
    weights: str | None = None
    engine: str | None = None
    clock: str = "simulated"
    align: str | None = None
    agent: str | None = None
    scene: str | None = None
    split: str = "val"
    difficulty: float | None = None
    max_speed: float | None = None
    image_size: tuple[int, int] | None = None
    backend: str = "raycast"
    restart: bool = False
    treatment: str = "whole"

    def __post_init__(self) -> None:
        check_environment(self.env)
        if not (math.isfinite(self.latency_ms) and self.latency_ms >= 0):
            raise ValueError(f"latency_ms is {self.latency_ms}, but it must be finite and not negative")
        if self.difficulty is not None and not 0 <= self.difficulty <= 1:
            raise ValueError(f"difficulty is {self.difficulty}, but it must lie between 0 and 1")
        if self.max_speed is not None and not (math.isfinite(self.max_speed) and self.max_speed > 0):
            raise ValueError(f"max_speed is {self.max_speed} m/s, but it must be finite and positive")

    @property
    def charged(self) -> str:
        """Whose latencies are charged."""
        if self.clock == "wall" and self.device is None and not is_remote(self.depth):
            return "ideal"
        return charged_device(self.depth, self.device)

    def environment_options(self) -> dict[str, Any]:
        """Keyword arguments of ``gymnasium.make``, without the camera."""
        options = {
            "scene": self.scene,
            "split": self.split,
            "depth": self.depth,
            "device": self.charged,
            "clock": self.clock,
            "refresh": self.refresh,
            "latency_ms": self.latency_ms,
            "weights": self.weights,
            "engine": self.engine,
            "align": self.align,
            "difficulty": self.difficulty,
            "max_speed_mps": self.max_speed,
            "backend": self.backend,
            "restart": self.restart,
            "treatment": self.treatment,
        }
        return {name: value for name, value in options.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON takes it, ``device`` resolved."""
        return {**dataclasses.asdict(self), "device": self.charged}


@dataclass(frozen=True)
class RolloutConfig(EpisodeConfig):
    """Episodes of one agent in one environment, seeing the depth that one source on one device delivers.

    Args:
        episodes: Number of episodes.
        seed: Episode i is reset with seed + i.
        out: Folder for the results; runs/ENV-DEPTH-DEVICE-seedN if none is given. The results of an earlier
            rollout in it are replaced.
        overwrite: Write into a folder that holds other files, too.
        video: Write video.mp4 of the first episode.
        rerun: Write recording.rrd of all episodes for the Rerun viewer.
    """

    episodes: int = 1
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False
    video: bool = True
    rerun: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.episodes < 1:
            raise ValueError(f"episodes is {self.episodes}, but a rollout needs at least 1")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative")

    @property
    def out_dir(self) -> Path:
        """Folder of the results."""
        if self.out is not None:
            return self.out
        depth = urlsplit(self.depth).netloc if is_remote(self.depth) else self.depth
        names = (re.sub(r"[^\w.-]+", "-", name) for name in (depth, Path(self.charged).stem))
        return Path("runs") / "-".join((self.env, *names, f"seed{self.seed}"))

    def as_dict(self) -> dict[str, Any]:
        """Every field as JSON takes it, ``device`` and ``out`` resolved."""
        return {**super().as_dict(), "out": str(self.out_dir)}
