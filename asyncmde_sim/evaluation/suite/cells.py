"""The cells of a suite: every combination that is run, each on the same seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym

from asyncmde_sim.agents import agent_for, usual_agent
from asyncmde_sim.evaluation.command_line import sentence
from asyncmde_sim.evaluation.config import EpisodeConfig
from asyncmde_sim.evaluation.rollout import make_environment
from asyncmde_sim.evaluation.suite.identity import key_of
from asyncmde_sim.evaluation.suite.suite import Depth, Environment, Suite
from asyncmde_sim.runtime.registry import timeline_of
from asyncmde_sim.runtime.treatments import DELAY_ONLY, WHOLE


class Place(NamedTuple):
    """Where a cell stands among the others; what the source does not depend on is None."""

    environment: str
    depth: str
    device: str | None
    refresh: str | None
    agent: str
    max_speed: float
    treatment: str = WHOLE


@dataclass(frozen=True)
class Cell:
    """One combination, whose episodes differ by their seed alone.

    Args:
        key: Hash of its resolved config, code version and weights.
        environment: Label of the environment.
        depth: Label of the depth source.
        device: Name of the device; None for a source that runs on none.
        refresh: Refresh policy; None for a source that is not refreshed.
        agent: Name of the agent.
        max_speed: Top speed of the robot, m/s.
        treatment: ``whole``, or of a loss split; see ``runtime.treatments``.
        speed_share: ``max_speed`` as a share of the environment's in the suite; 1 but for the search for the
            safe speed.
        config: All that decides its episodes.
    """

    key: str
    environment: str
    depth: str
    device: str | None
    refresh: str | None
    agent: str
    max_speed: float
    treatment: str
    speed_share: float
    config: EpisodeConfig

    @property
    def is_product(self) -> bool:
        """Whether it belongs to the suite's product: whole, and at the environment's own speed."""
        return self.treatment == WHOLE and self.speed_share == 1

    @property
    def is_oracle(self) -> bool:
        """Whether it is true depth, at once."""
        return self.config.depth == "oracle" and not self.config.latency_ms

    @property
    def place(self) -> Place:
        """Where it stands among the others."""
        return Place(
            self.environment,
            self.depth,
            self.device,
            self.refresh,
            self.agent,
            self.max_speed,
            self.treatment,
        )

    @property
    def name(self) -> str:
        """What a message calls it."""
        parts = (self.environment, self.depth, self.device, self.refresh, self.agent)
        treated = () if self.treatment == WHOLE else (self.treatment,)
        return ", ".join((*(p for p in parts if p), f"{self.max_speed:g} m/s", *treated))


def product(suite: Suite) -> tuple[Cell, ...]:
    """The cells of a suite, without those of its search for the safe speed, which follow from results.

    Each is whole; ``treated`` gives those of the loss split. ``oracle`` comes first for each environment and
    agent, whether the suite names it or not.

    Raises:
        ValueError: An option of a cell is unknown or out of bounds.
        OSError: A file is missing.
    """
    return tuple(_product(suite))


def _product(suite: Suite) -> Iterator[Cell]:
    oracle = next((d for d in suite.depth if d.source == "oracle" and not d.latency_ms), Depth("oracle"))
    sources = (oracle, *(d for d in suite.depth if d is not oracle))
    for environment in suite.environments:
        speed, usual = robot_of(environment)
        for agent in environment.agents or suite.agents or (usual,):
            for depth in sources:
                for device in suite.devices if depth.has_device else (None,):
                    for refresh in suite.refresh if depth.has_refresh else (None,):
                        yield _cell(suite, environment, depth, device, refresh, agent, speed)


def treated(cell: Cell, treatment: str) -> Cell:
    """The cell of a loss split beside a whole one; two may share it.

    The delay of a source is that of its timeline, whatever its networks; without delay a source of one path
    is the same on every device.
    """
    config = replace(cell.config, treatment=treatment)
    place = treated_place(cell, treatment)
    if treatment == DELAY_ONLY:
        config = replace(config, depth=timeline_of(cell.config.depth), weights=None, engine=None, align=None)
    elif place.device is None:
        config = replace(config, device="ideal")
    return replace(
        cell, key=key_of(config), depth=place.depth, device=place.device, treatment=treatment, config=config
    )


def treated_place(cell: Cell, treatment: str) -> Place:
    """Where the cell of ``treated`` stands."""
    place = cell.place._replace(treatment=treatment)
    if treatment == DELAY_ONLY:
        late = f" +{cell.config.latency_ms:g}ms" if cell.config.latency_ms else ""
        return place._replace(depth=timeline_of(cell.config.depth) + late)
    return place if timeline_of(cell.config.depth) == "async" else place._replace(device=None)


@lru_cache(maxsize=1024)
def at_speed(cell: Cell, share: float) -> Cell:
    """A cell of the product with another top speed of the robot, a share of its own, to the next mm/s."""
    speed = cell.max_speed if share == 1 else round(share * cell.max_speed, 3)
    config = replace(cell.config, max_speed=speed)
    return replace(cell, key=key_of(config), max_speed=speed, speed_share=share, config=config)


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """The cells as they come; behind them those at other speeds, in the order of the first and by speed."""
    found = list(cells)
    first = [cell for cell in found if cell.speed_share == 1]
    places = [cell.place._replace(max_speed=0.0) for cell in first]
    others = [cell for cell in found if cell.speed_share != 1]
    others.sort(key=lambda c: (places.index(c.place._replace(max_speed=0.0)), c.speed_share))
    return [*first, *others]


def check_cell(cell: Cell) -> None:
    """Make what a cell runs, without loading networks or scenes, so that what is wrong shows before work.

    Raises:
        ValueError: An option is unknown or out of bounds, or a file is missing.
        ImportError: It needs an extra.
    """
    try:
        env = make_environment(cell.config)
    except (ValueError, OSError) as error:
        raise ValueError(f"{cell.name}: {sentence(error)}") from error
    try:
        agent_for(env, cell.agent)
    except ValueError as error:
        raise ValueError(f"{cell.name}: {error}") from error
    finally:
        env.close()


@lru_cache(maxsize=64)
def robot_of(environment: Environment) -> tuple[float, str]:
    """Top speed of an environment's robot, m/s, and its usual agent."""
    options: dict[str, Any] = (
        {} if environment.max_speed is None else {"max_speed_mps": environment.max_speed}
    )
    env = gym.make(environment.env, depth=None, disable_env_checker=True, **options)
    speed = float(env.unwrapped.robot.max_speed_mps)  # type: ignore[attr-defined]
    agent = usual_agent(env)
    env.close()
    return speed, agent


def _cell(
    suite: Suite,
    environment: Environment,
    depth: Depth,
    device: str | None,
    refresh: str | None,
    agent: str,
    max_speed: float,
) -> Cell:
    config = EpisodeConfig(
        env=environment.env,
        depth=depth.source,
        device=device or "ideal",
        refresh=refresh or "free",
        latency_ms=depth.latency_ms,
        weights=depth.weights,
        engine=depth.engine,
        align=depth.align,
        agent=agent,
        scene=environment.scene,
        split=suite.seeds.split,
        difficulty=environment.difficulty,
        max_speed=max_speed,
        image_size=environment.image_size,
        backend=environment.backend,
    )
    name = None if device is None else Path(device).stem
    return Cell(
        key=key_of(config),
        environment=environment.label,
        depth=depth.label,
        device=name,
        refresh=refresh,
        agent=Path(agent).stem,
        max_speed=max_speed,
        treatment=WHOLE,
        speed_share=1.0,
        config=config,
    )
