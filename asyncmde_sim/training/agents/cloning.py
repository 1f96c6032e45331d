"""Imitation of the written agent (DAgger, Ross et al. 2011): it says what to do where the learner gets to.

The written agent is given the true depth, so it is right even where the learner sees nothing of use; the
learner is given the depth of its source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asyncmde_sim.agents import make_agent
from asyncmde_sim.agents.base import Agent
from asyncmde_sim.agents.learned.agent import act_on
from asyncmde_sim.agents.learned.files import load_network, read_config
from asyncmde_sim.agents.learned.network import PolicyNetwork
from asyncmde_sim.envs.learning import Encoded, LearningWrapper, ViewConfig
from asyncmde_sim.files import write_whole
from asyncmde_sim.training.agents.finite import require_finite
from asyncmde_sim.training.agents.mirror import mirrored
from asyncmde_sim.training.agents.task import AgentTask
from asyncmde_sim.training.loop import GRADIENT_CLIP, cosine_rate, step_generator

TURN_STEPS = (10, 50)
"""How long one of the drivers steers, steps."""

STRAY_SHARE, STRAY_STEPS = 0.1, (6, 20)
"""How often, and for how long, nobody steers: a random action is held, so that ways back are learned."""

EXPERT = "avoid"

WEIGHT_DECAY = 0.1
"""There are few episodes, and what is learned of one must hold in others."""


@dataclass(frozen=True)
class CloneConfig:
    """How the written agent is imitated.

    Args:
        rounds: Rounds of collecting and learning.
        episodes: Episodes that each round adds.
        expert_share: Share of the time that the written agent steers after the first round, in which nobody
            else does.
        keep_every: Of so many steps one is learned from.
        longest: Episodes are given up after so many steps.
        epochs: Passes over all that was collected, in each round.
        batch: Samples a batch.
        learning_rate: Its peak.
    """

    rounds: int = 4
    episodes: int = 40
    expert_share: float = 0.3
    keep_every: int = 3
    longest: int = 900
    epochs: int = 10
    batch: int = 128
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError(f"rounds is {self.rounds}, but it must be 0 (no cloning) or more")
        for name in ("episodes", "keep_every", "longest", "epochs", "batch"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be 1 or more")
        if not 0 <= self.expert_share <= 1:
            raise ValueError(f"expert_share is {self.expert_share}, but it must lie between 0 and 1")
        if not 0 < self.learning_rate <= 0.1:
            raise ValueError(f"learning_rate is {self.learning_rate}, but it must lie above 0 and up to 0.1")


@dataclass(frozen=True)
class Collecting:
    """One episode to collect.

    Args:
        task: Where.
        view: What the learner sees.
        policy: Folder of the learner; None leaves the written agent to steer alone.
        expert_share: See ``CloneConfig``.
        keep_every: See ``CloneConfig``.
        longest: See ``CloneConfig``.
        seed: Of the episode and of who steers when.
        file: Where it is written.
    """

    task: AgentTask
    view: ViewConfig
    policy: Path | None
    expert_share: float
    keep_every: int
    longest: int
    seed: int
    file: Path


@lru_cache(maxsize=1)
def _environment(task: AgentTask, view: ViewConfig) -> LearningWrapper:
    return task.make_learning(view)


def collect(job: Collecting) -> dict[str, float]:
    """Drive the episode, write what was seen and what the expert would have done, and say how it went."""
    env = _environment(job.task, job.view)
    expert = make_agent(EXPERT, env.unwrapped.robot)  # type: ignore[attr-defined]
    student = None
    if job.policy is not None:
        student = load_network(job.policy, env.observation_space, read_config(job.policy).actions)  # type: ignore[arg-type]
    rng = np.random.default_rng([job.seed, 2])
    drivers = _drivers(np.random.default_rng([job.seed, 1]), student is not None, job.expert_share)
    seen, info = env.reset(seed=job.seed)
    expert.reset(seed=job.seed)
    samples: list[Encoded] = []
    labels: list[NDArray[np.float32]] = []
    for step in range(job.longest):
        label = told_truth(expert, env.raw, info)
        if step % job.keep_every == 0:
            samples.append(seen)
            labels.append(label)
        driver, first = next(drivers)
        if first and driver == "stray":
            stray = rng.uniform(-1, 1, label.shape).astype(np.float32)
        if driver == "student":
            assert student is not None
            action = act_on(student, seen)
        else:
            action = stray if driver == "stray" else label
        seen, reward, terminated, truncated, info = env.step(action)
        require_finite(seen, reward, job.task.env, f"seed {job.seed}", step + 1)
        if terminated or truncated:
            break
    arrays = {name: np.stack([s[name] for s in samples]) for name in samples[0]}
    arrays["action"] = np.stack(labels)
    job.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(job.file, lambda path: np.savez_compressed(path, **arrays))  # type: ignore[arg-type]
    return {"steps": step + 1.0, "success": float(info["success"]), "collided": float(info["collided"])}


def told_truth(expert: Agent, observation: dict[str, Any], info: dict[str, Any]) -> NDArray[np.float32]:
    """What an agent does where it sees the true depth of now instead of the estimate."""
    true = {"depth": info["true_depth"], "has_depth": 1, "depth_age": np.zeros(1, np.float32)}
    return expert.act({**observation, **true})


def _drivers(rng: np.random.Generator, student: bool, expert_share: float) -> Iterator[tuple[str, bool]]:
    """Who steers at each step, ``expert``, ``student`` or ``stray``, and whether this is its first."""
    while True:
        name, steps = "expert", rng.integers(*TURN_STEPS)
        if rng.random() < STRAY_SHARE:
            name, steps = "stray", rng.integers(*STRAY_STEPS)
        elif student and rng.random() >= expert_share:
            name = "student"
        for step in range(int(steps)):
            yield name, step == 0


class Samples:
    """All that was collected, in memory.

    Args:
        files: What ``collect`` wrote.

    Raises:
        ValueError: A file is none of ours, or the files do not go together.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        parts: dict[str, list[NDArray[Any]]] = {}
        for path in files:
            try:
                with np.load(path, allow_pickle=False) as found:
                    for name in found.files:
                        parts.setdefault(name, []).append(found[name])
            except Exception as error:  # zip and numpy raise what they like
                raise ValueError(
                    f"{path} cannot be read ({error}): remove it, to collect it again"
                ) from error
        self.seen = {name: torch.from_numpy(np.concatenate(values)) for name, values in parts.items()}
        self.actions = self.seen.pop("action")

    def __len__(self) -> int:
        return len(self.actions)


def fit(
    network: PolicyNetwork,
    samples: Samples,
    config: CloneConfig,
    seed: int,
    mirror: bool,
    report: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> float:
    """Bring the mean actions to the labels by least squares, and return the mean loss of the last pass.

    Args:
        network: What learns.
        samples: What it learns from.
        config: Passes, batch and learning rate.
        seed: Draws the batches.
        mirror: Whether half of each batch is seen in a mirror.
        report: Told the step, the number of steps and the loss, after each pass.

    Raises:
        FloatingPointError: The loss is not finite.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=WEIGHT_DECAY)
    a_pass = max(len(samples) // config.batch, 1)
    steps = config.epochs * a_pass
    recent: list[float] = []
    network.train()
    for step in range(1, steps + 1):
        rng = step_generator(seed, step)
        rows = torch.randint(len(samples), (config.batch,), generator=rng)
        batch = {name: values[rows] for name, values in samples.seen.items()}
        actions = samples.actions[rows]
        if mirror:
            batch, actions = _half_mirrored(batch, actions)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step / steps)
        loss = nn.functional.mse_loss(network(batch), actions)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}: lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_CLIP)
        optimiser.step()
        recent = [*recent, loss.item()][-a_pass:]
        if step % a_pass == 0:
            report(step, steps, float(np.mean(recent)))
    network.eval()
    return float(np.mean(recent))


def _half_mirrored(batch: Mapping[str, Tensor], actions: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    half = len(actions) // 2
    turned, turned_actions = mirrored({name: v[:half] for name, v in batch.items()}, actions[:half])
    joined = {name: torch.cat([turned[name].to(v.dtype), v[half:]]) for name, v in batch.items()}
    return joined, torch.cat([turned_actions, actions[half:]])
