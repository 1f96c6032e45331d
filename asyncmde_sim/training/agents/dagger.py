"""Rounds of imitation that can be interrupted anywhere: each step of it is a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gymnasium import spaces

from asyncmde_sim.agents.learned.files import PolicyConfig, load_network, save_policy
from asyncmde_sim.agents.learned.folders import is_policy
from asyncmde_sim.agents.learned.network import PolicyNetwork
from asyncmde_sim.training.agents.cloning import CloneConfig, Collecting, Samples, collect, fit
from asyncmde_sim.training.agents.jobs import Workers
from asyncmde_sim.training.agents.task import AgentTask

Log = Callable[[str, int, dict[str, float]], None]


@dataclass(frozen=True)
class Dagger:
    """The imitation of the written agent in one task.

    Args:
        task: Where.
        policy: What the policy is for.
        config: How.
        folder: For ``episodes`` and ``rounds``, from which it goes on.
        seed: Draws everything.
        mirror: Whether left and right are alike to the robot.
        start: Folder of a policy to go on from; None starts with the written agent alone at the wheel.
        also: Files of episodes of other trainings to learn from, too.
    """

    task: AgentTask
    policy: PolicyConfig
    config: CloneConfig
    folder: Path
    seed: int
    mirror: bool
    start: Path | None = None
    also: Sequence[Path] = ()

    def run(self, network: PolicyNetwork, space: spaces.Dict, workers: Workers, log: Log) -> PolicyNetwork:
        """Make the rounds that are not yet made, and return what the last one gave.

        Args:
            network: Untrained, or that of ``start``.
            space: Of what the policy sees.
            workers: Collect the episodes.
            log: Told phase, round and measures.
        """
        for number in range(self.config.rounds):
            made = self.round_folder(number)
            if is_policy(made):
                network = load_network(made, space, self.policy.actions)
                continue
            measures = self._collect(number, workers)
            samples = Samples([*self.also, *self._files(number)])
            measures["loss"] = fit(network, samples, self.config, self.seed + number, self.mirror)
            save_policy(network, self.policy, made)
            log("clone", number + 1, {**measures, "samples": float(len(samples))})
        return network

    def round_folder(self, number: int) -> Path:
        """Where the policy of a round is kept."""
        return self.folder / "rounds" / f"{number:02d}"

    def _file(self, number: int, episode: int) -> Path:
        return self.folder / "episodes" / f"{number:02d}-{episode:04d}.npz"

    def _files(self, newest: int) -> list[Path]:
        return [self._file(r, e) for r in range(newest + 1) for e in range(self.config.episodes)]

    def _collect(self, number: int, workers: Workers) -> dict[str, float]:
        learner = self.round_folder(number - 1) if number else self.start
        config = self.config
        jobs = [
            Collecting(
                self.task,
                self.policy.view,
                learner,
                config.expert_share,
                config.keep_every,
                config.longest,
                episode_seed(self.seed, number, episode),
                self._file(number, episode),
            )
            for episode in range(config.episodes)
            if not self._file(number, episode).is_file()
        ]
        told = list(workers.run(f"episodes of round {number + 1}", collect, jobs))
        if not told:
            return {}
        return {name: sum(each[name] for each in told) / len(told) for name in told[0]}


def episode_seed(seed: int, number: int, episode: int) -> int:
    """The seed of an episode of a round."""
    return int(np.random.SeedSequence([seed, number, episode]).generate_state(1)[0])
