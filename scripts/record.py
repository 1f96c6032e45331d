"""Record what the camera of an environment sees, in the TUM RGB-D layout.

Examples:

    python scripts/record.py --env IndoorDynamic-v0
    python scripts/record.py --env ExtremeMotion-v0 --motion aggressive --seconds 5 --recordings 3
    python scripts/evaluate_depth.py --recordings recordings/*
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.progress import track

from asyncmde_sim.envs.registration import check_environment
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.rollout import resized_camera
from asyncmde_sim.recordings.frames import check_motion, frames_along
from asyncmde_sim.recordings.tum import write_recording


@dataclass(frozen=True)
class Record:
    """Write images, true depth and true poses of an agent's episodes or of open-loop trajectories.

    Args:
        env: Environment: IndoorStatic-v0, IndoorDynamic-v0, IndoorExplore-v0 or ExtremeMotion-v0.
        motion: agent (an episode on true depth, to its end), or open loop with nothing else moving: smooth,
            expert, aggressive.
        seconds: Longest simulated time of a recording.
        recordings: How many, with seeds from --seed.
        scene: One scene: a name, or a GLB, PLY or OBJ file. Without it every recording draws one of the
            split's.
        split: Scenes to draw from: train, val or test.
        image_size: Width and height of the image, pixels.
        backend: Renderer: raycast, habitat or habitat@N; see scripts/rollout.py.
        seed: Seed of the first recording.
        out: Folder in which each recording becomes a folder; none may be there already.
    """

    env: str = "IndoorStatic-v0"
    motion: str = "agent"
    seconds: float = 30.0
    recordings: int = 1
    scene: str | None = None
    split: str = "test"
    image_size: tuple[int, int] | None = None
    backend: str = "raycast"
    seed: int = 0
    out: Path = Path("recordings")

    def __post_init__(self) -> None:
        check_environment(self.env)
        check_motion(self.motion)
        if not 0 < self.seconds <= 1000:
            raise ValueError(f"seconds is {self.seconds}, but it must lie above 0 and up to 1000")
        if self.recordings < 1:
            raise ValueError(f"recordings is {self.recordings}, but it must be 1 or more")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, but it must not be negative")
        taken = [f for f in self._folders() if f.exists()]
        if taken:
            raise ValueError(f"{taken[0]} exists: give another --out or --seed, or remove it")

    def run(self) -> None:
        """Write every recording, each whole or not at all."""
        options: dict[str, Any] = {"scene": self.scene, "split": self.split, "backend": self.backend}
        if self.image_size is not None:
            options["camera"] = resized_camera(self.env, self.image_size, self.backend)
        env = gym.make(self.env, disable_env_checker=True, **options)
        robot = env.unwrapped.robot  # type: ignore[attr-defined]
        camera = robot.camera.pinhole
        most = max(1, round(self.seconds * 1e9 / robot.control_dt_ns))
        for index, folder in enumerate(self._folders()):
            frames = frames_along(env, self.motion, self.seed + index, most)
            shown = track(frames, folder.name, total=most, console=Console(stderr=True), transient=True)
            note = f"simulation: {self.env}, motion {self.motion}, seed {self.seed + index}"
            folder.parent.mkdir(parents=True, exist_ok=True)
            count = write_recording(folder, camera, shown, note)
            print(f"{folder}: {count} frames, {count * robot.control_dt_ns * 1e-9:.1f} s")
        env.close()

    def _folders(self) -> list[Path]:
        seeds = range(self.seed, self.seed + self.recordings)
        return [self.out / f"{self.env}-{self.motion}-seed{seed}" for seed in seeds]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(Record, Record.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
