# ruff: noqa: E402
"""Train an agent on the depth that a source on a device delivers: imitation of a written agent, then PPO.

Examples:

    python scripts/train_agent.py --env IndoorStatic-v0 --depth oracle --steps 100000 --out runs/oracle
    python scripts/train_agent.py --depth async --device orin-trt --start runs/oracle/policy --out runs/async
    python scripts/train_agent.py --resume --out runs/async                 # go on where it was killed
    python scripts/rollout.py --env IndoorStatic-v0 --agent runs/async/policy

A policy is a folder: policy.safetensors and policy.json. It is written after each round and each update.
"""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS"):  # small matrices; a core for each worker; read when numpy loads
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from asyncmde_sim.agents.learned.folders import find_policy
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.rollout import resized_camera
from asyncmde_sim.evaluation.video import VideoLog
from asyncmde_sim.runtime.randomised import Randomisation
from asyncmde_sim.training.agents.recipe import load_recipe
from asyncmde_sim.training.agents.session import Session, claim_folder
from asyncmde_sim.training.agents.task import AgentTask, frozen
from asyncmde_sim.training.checkpoint import Log, tensorboard_log

SOURCE = ("depth", "device", "clock", "refresh", "latency_ms", "weights", "engine", "align")
"""Options of a rollout that are the depth source's; the others are the scene's."""


@dataclass(frozen=True)
class TrainAgent:
    """Train an agent and write its policy.

    Args:
        out: Folder of the training; the policy is in its folder policy.
        env: Environment: IndoorStatic-v0, IndoorDynamic-v0 or ExtremeMotion-v0.
        depth: Depth source that it learns on; see scripts/rollout.py, as for the next five.
        device: Whose latencies are charged.
        refresh: When the slow path starts again.
        latency_ms: Constant latency added to every estimate, milliseconds.
        weights: Folder of the depth networks' weights; the shipped ones if none is given.
        engine: What runs the networks.
        difficulty: Density of obstacles, 0 to 1; the environment's own default if none is given.
        max_speed: Top speed of the robot, m/s; its own default if none is given.
        scenes: How many scenes of the train split are learned from.
        scene: One scene instead, learned from and tried in: a name, or a GLB, PLY or OBJ file.
        image_size: Width and height of the camera's image, pixels; the networks resize it to their own.
        steps: Environment steps of PPO after the imitation; 0 is none.
        recipe: Hyper-parameters: a shipped recipe (cpu), or a JSON file.
        start: Policy to go on from: a folder, or the name of a shipped one.
        also: Folders of other trainings whose episodes are imitated, too.
        vary_latency_ms: Up to so much more latency, drawn for each episode, milliseconds.
        vary_resolution: Depth up to so many times coarser, drawn for each episode.
        vary_noise: Up to so much noise in the logarithm of the depth, drawn for each episode.
        workers: Processes that collect episodes to imitate.
        trials: Episodes on validation scenes after each round, and between updates of PPO; 0 is none.
        trial_every: Steps of PPO between them.
        video: Film the first of them.
        tensorboard: Write logs for TensorBoard into the folder tensorboard.
        seed: Draws everything.
        resume: Go on with the training in the folder; give the same options.
    """

    out: Path
    env: str = "IndoorStatic-v0"
    depth: str = "async"
    device: str | None = None
    refresh: str = "free"
    latency_ms: float = 0.0
    weights: str | None = None
    engine: str | None = None
    difficulty: float | None = None
    max_speed: float | None = None
    scenes: int = 60
    scene: str | None = None
    image_size: tuple[int, int] = (128, 96)
    steps: int = 100_000
    recipe: str = "cpu"
    start: str | None = None
    also: tuple[Path, ...] = ()
    vary_latency_ms: float = 0.0
    vary_resolution: int = 1
    vary_noise: float = 0.0
    workers: int = 2
    trials: int = 10
    trial_every: int = 20_000
    video: bool = True
    tensorboard: bool = False
    seed: int = 0
    resume: bool = False

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("scenes", 1), ("workers", 1), ("trials", 0), ("trial_every", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be {least} or more")
        if self.depth.startswith("hil://"):
            raise ValueError("many environments cannot share one device: train on a depth source by name")
        for folder in self.also:
            if not any((folder / "episodes").glob("*.npz")):
                raise ValueError(f"{folder} holds no episodes of a training: give its --out")
        _ = self._task("train"), self._randomise

    def run(self) -> None:
        """Train."""
        recipe = load_recipe(self.recipe, self.env)
        log = tensorboard_log(self.out / "tensorboard") if self.tensorboard else _nothing
        start = None if self.start is None else find_policy(self.start)
        told = {**self._told(), "recipe": asdict(recipe)}
        session = Session(
            self._task("train", self.scenes, self._randomise),
            self._task("val"),
            recipe,
            self.steps,
            self.seed,
            self.out,
            told,
            start,
            [path for folder in self.also for path in sorted((folder / "episodes").glob("*.npz"))],
            self.workers,
            self.trials,
            self.trial_every,
            self._film if self.video else None,
        )
        session.check()
        claim_folder(self.out, told, self.resume)
        torch.set_num_threads(1)
        session.run(Console(stderr=True), _both(_print, log))
        print(f"Policy: {self.out / 'policy'}")

    @property
    def _randomise(self) -> Randomisation:
        return Randomisation(self.vary_latency_ms, self.vary_resolution, self.vary_noise)

    def _told(self) -> dict[str, Any]:
        left_out = ("out", "resume", "recipe", "workers", "tensorboard", "video")
        told = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**told, "also": [str(folder) for folder in self.also]}

    def _task(
        self, split: str, scenes: int | None = None, randomise: Randomisation | None = None
    ) -> AgentTask:
        config = RolloutConfig(
            env=self.env,
            depth=self.depth,
            device=self.device,
            refresh=self.refresh,
            latency_ms=self.latency_ms,
            weights=self.weights,
            engine=self.engine,
            difficulty=self.difficulty,
            max_speed=self.max_speed,
            scene=self.scene,
            split=split,
        )
        options = config.environment_options()
        source = {name: options.pop(name) for name in SOURCE if name in options}
        options |= {"num_scenes": scenes, "camera": resized_camera(self.env, self.image_size)}
        return AgentTask(self.env, frozen(options), frozen(source), randomise or Randomisation())

    def _film(self, path: Path) -> VideoLog:
        camera = resized_camera(self.env, self.image_size)
        plain = self._task("val").make_plain()
        step_ns = plain.unwrapped.robot.control_dt_ns  # type: ignore[attr-defined]
        plain.close()
        return VideoLog(path, step_ns, camera.max_range_m, 1)


def _nothing(phase: str, step: int, scalars: Mapping[str, float]) -> None:
    pass


def _print(phase: str, step: int, scalars: Mapping[str, float]) -> None:
    shown = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items())
    print(f"{phase} {step}: {shown}", flush=True)


def _both(first: Log, second: Log) -> Log:
    def log(phase: str, step: int, scalars: Mapping[str, float]) -> None:
        first(phase, step, scalars)
        second(phase, step, scalars)

    return log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(TrainAgent, TrainAgent.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
