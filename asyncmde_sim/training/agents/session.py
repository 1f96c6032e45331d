"""A whole training of an agent: imitation, PPO, and episodes in between to see how it does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium import spaces
from rich.console import Console

from asyncmde_sim.agents.learned.files import PolicyConfig, load_policy, new_network, save_policy
from asyncmde_sim.agents.learned.network import PolicyNetwork
from asyncmde_sim.agents.learned.view import make_view, view_for
from asyncmde_sim.training.agents.dagger import Dagger
from asyncmde_sim.training.agents.episodes import Camera, Trial, shares, try_policy
from asyncmde_sim.training.agents.jobs import Workers, progress_bar
from asyncmde_sim.training.agents.ppo import Trainer
from asyncmde_sim.training.agents.recipe import AgentRecipe
from asyncmde_sim.training.agents.task import AgentTask
from asyncmde_sim.training.agents.vec_env import make_vec_env

Log = Callable[[str, int, Mapping[str, float]], None]

POLICY = "policy"
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Session:
    """A training and its folder.

    Args:
        task: What is learned in.
        trial: What the policy is tried in on the way: scenes that are not learned from.
        recipe: Hyper-parameters.
        steps: Environment steps of PPO; 0 is none.
        seed: Draws everything.
        folder: ``policy`` is its result; ``rounds``, ``episodes`` and ``ppo.pt`` are what it goes on from.
        told: What ``policy.json`` says about the training.
        start: Folder of a policy to go on from.
        also: Files of episodes of other trainings to imitate, too.
        workers: Processes that collect episodes.
        trials: Episodes of each trial.
        trial_every: Steps of PPO between trials; there is one after each round of imitation.
        film: Makes a camera for a video's path; None films nothing.
    """

    task: AgentTask
    trial: AgentTask
    recipe: AgentRecipe
    steps: int
    seed: int
    folder: Path
    told: Mapping[str, Any]
    start: Path | None = None
    also: Sequence[Path] = ()
    workers: int = 1
    trials: int = 10
    trial_every: int = 20_000
    film: Callable[[Path], Camera] | None = None

    def check(self) -> None:
        """Check that the training can begin.

        Raises:
            ValueError: The depth source does not exist, the policy to start from is corrupt or for another
                robot, the view does not fit the robot, or there is no goal for the agent that is imitated.
        """
        self._begin()

    def run(self, console: Console, log: Log) -> None:
        """Do what is not yet done.

        Raises:
            ValueError: A checkpoint or the policy to start from is corrupt, or of another training.
            FloatingPointError: A number is not finite; the message says where.
        """
        network, policy, space, mirror = self._begin()
        network = self._imitate(network, policy, space, mirror, console, log)
        save_policy(network, policy, self.folder / POLICY)
        if self.steps:
            self._reinforce(network, policy, console, log)

    def _begin(self) -> tuple[PolicyNetwork, PolicyConfig, spaces.Dict, bool]:
        """Network and policy to begin with, the space that it sees, and whether left and right are alike."""
        env = self.task.make()
        try:
            if self.start is None:
                policy = PolicyConfig.for_env(env, self.recipe.view, self.told)
                network = new_network(env, policy.view, self.seed)
            else:
                network, policy = load_policy(self.start, env)
                policy = dataclasses.replace(policy, training=self.told)
            if self.recipe.clone.rounds and not policy.has_goal:
                raise ValueError(
                    f"the agent that is imitated needs a goal, but {self.task.env} has none: give a recipe "
                    "with 0 rounds of cloning"
                )
            flies = env.unwrapped.robot.body.flies  # type: ignore[attr-defined]
            return network, policy, view_for(policy.view, env).space, not flies
        finally:
            env.close()

    def _imitate(
        self,
        network: PolicyNetwork,
        policy: PolicyConfig,
        space: spaces.Dict,
        mirror: bool,
        console: Console,
        log: Log,
    ) -> PolicyNetwork:
        workers = Workers(self.workers, console)
        dagger = Dagger(
            self.task, policy, self.recipe.clone, self.folder, self.seed, mirror, self.start, self.also
        )

        def tell(phase: str, number: int, measures: Mapping[str, float]) -> None:
            log(phase, number, measures)
            self._try(dagger.round_folder(number - 1), f"{phase}-{number:02d}", phase, number, log)

        try:
            return dagger.run(network, space, workers, tell)
        finally:
            workers.close()

    def _reinforce(self, network: PolicyNetwork, policy: PolicyConfig, console: Console, log: Log) -> None:
        config = self.recipe.ppo
        env = make_vec_env(
            self.task, lambda robot, has_goal: make_view(policy.view, robot, has_goal), config.n_envs
        )
        try:
            trainer = Trainer(
                env, network, config, self.steps, self.seed, self.folder / "ppo.pt", resume=True
            )
            tried = trainer.done_steps
            with progress_bar(console) as bar:
                shown = bar.add_task("steps of PPO", total=self.steps, completed=trainer.done_steps)

                def after_update(steps: int) -> None:
                    nonlocal tried
                    bar.update(shown, completed=min(steps, self.steps))
                    save_policy(network, policy, self.folder / POLICY)
                    if steps - tried >= self.trial_every or steps >= self.steps:
                        tried = steps
                        self._try(self.folder / POLICY, f"ppo-{steps:08d}", "ppo", steps, log)

                trainer.run(log, after_update)
        finally:
            env.close()

    def _try(self, policy: Path, name: str, phase: str, number: int, log: Log) -> None:
        if not self.trials:
            return
        camera = None
        if self.film is not None:
            (self.folder / "videos").mkdir(parents=True, exist_ok=True)
            camera = self.film(self.folder / "videos" / f"{name}.mp4")
        rows = try_policy(Trial(self.trial, policy, range(self.trials), self.recipe.clone.longest), camera)
        log(f"trial-{phase}", number, shares(rows))


def claim_folder(folder: Path, config: Mapping[str, Any], resume: bool) -> None:
    """Make a training's folder and write its options; to resume, check that they are the same.

    Raises:
        ValueError: The folder holds a training already, or none, or one with other options.
    """
    file, config = folder / CONFIG_FILE, json.loads(json.dumps(config))
    if resume:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} holds no training to go on with: leave out --resume") from error
        for name in sorted(config.keys() | found.keys()):
            if config.get(name) != found.get(name):
                raise ValueError(
                    f"{folder} was begun with {name} {found.get(name)!r}, not {config.get(name)!r}: go on "
                    "with the same options, or give another --out"
                )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: give another --out, or --resume to go on")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
