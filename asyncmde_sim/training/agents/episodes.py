"""Episodes that a policy drives while it is trained, to see how it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from asyncmde_sim.agents.learned.agent import LearnedAgent
from asyncmde_sim.training.agents.task import AgentTask

Row = dict[str, Any]


class Camera(Protocol):
    """Films an episode; ``evaluation.video.VideoLog`` does."""

    def begin(self, episode: int, observation: Any, info: Any) -> None:
        """An episode was reset."""
        ...

    def step(self, observation: Any, info: Any, row: Any) -> None:
        """A step was taken."""
        ...

    def end(self, row: Any) -> None:
        """The episode ended."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


@dataclass(frozen=True)
class Trial:
    """Episodes of one policy.

    Args:
        task: Where.
        policy: Its folder.
        seeds: Of the episodes.
        longest: An episode is given up after so many steps.
    """

    task: AgentTask
    policy: Path
    seeds: Sequence[int]
    longest: int


def try_policy(trial: Trial, camera: Camera | None = None) -> list[Row]:
    """Whether each episode arrived and collided; the camera films the first."""
    env = trial.task.make()
    try:
        agent = LearnedAgent.load(str(trial.policy), env)
        rows = []
        for index, seed in enumerate(trial.seeds):
            observation, info = env.reset(seed=seed)
            agent.reset(seed=seed)
            filming = camera if index == 0 else None
            if filming:
                filming.begin(0, observation, info)
            for _ in range(trial.longest):
                observation, _, _, _, info = env.step(agent.act(observation))
                if filming:
                    filming.step(observation, info, {})
                if "episode_metrics" in info:
                    break
            if filming:
                filming.end({})
            rows.append({"seed": seed, "success": info["success"], "collided": info["collided"]})
        return rows
    finally:
        if camera is not None:
            camera.close()
        env.close()


def shares(rows: Sequence[Row]) -> dict[str, float]:
    """Shares of the episodes that arrived and that collided."""
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("success", "collided")}
