"""What a suite is made of, and its YAML file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from asyncmde_sim.envs.registration import check_environment
from asyncmde_sim.evaluation.suite.mapping import duplicate, from_mapping, from_mappings
from asyncmde_sim.runtime.registry import DEVICELESS, is_remote


@dataclass(frozen=True)
class Environment:
    """An environment with its options.

    Args:
        env: Its id, such as ``ExtremeMotion-v0``.
        label: What tables call it; the id if none is given.
        difficulty: 0 to 1; its own if none is given.
        max_speed: Top speed of the robot, m/s; its own if none is given.
        image_size: Width and height of the camera's image, pixels; its own if none is given.
        scene: One scene for all episodes: a name or a file; none draws from the split.
        backend: Renderer.
        agents: Agents for this environment, instead of the suite's.
    """

    env: str
    label: str = ""
    difficulty: float | None = None
    max_speed: float | None = None
    image_size: tuple[int, int] | None = None
    scene: str | None = None
    backend: str = "raycast"
    agents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_environment(self.env)
        if not self.label:
            object.__setattr__(self, "label", self.env)
        if self.image_size is not None and len(self.image_size) != 2:
            raise ValueError(f"image_size is {list(self.image_size)}, but a width and a height are needed")


@dataclass(frozen=True)
class Depth:
    """A depth source with its options.

    Args:
        source: A name such as ``async``, or ``module:Class`` of a model of the user's own.
        label: What tables call it; the source and its options if none is given.
        weights: Name or folder of weights.
        engine: What runs the networks.
        align: What brings relative depth to metres.
        latency_ms: Constant latency on top of the device's.
    """

    source: str
    label: str = ""
    weights: str | None = None
    engine: str | None = None
    align: str | None = None
    latency_ms: float = 0.0

    def __post_init__(self) -> None:
        if is_remote(self.source):
            raise ValueError(
                f"depth source {self.source!r} is one device for many episodes at once: record a trace of it "
                "with scripts/rollout.py, and name its trace.parquet among the suite's devices"
            )
        if not self.label:
            options = (self.weights and Path(self.weights).name, self.engine, self.align)
            late = f"+{self.latency_ms:g}ms" if self.latency_ms else None
            name = self.source.rpartition(":")[2]
            object.__setattr__(self, "label", " ".join((name, *(o for o in (*options, late) if o))))

    @property
    def has_device(self) -> bool:
        """Whether it runs on a device."""
        return self.source not in DEVICELESS

    @property
    def has_refresh(self) -> bool:
        """Whether it has a memory that is refreshed."""
        return self.source.startswith("async")


@dataclass(frozen=True)
class Seeds:
    """The episodes of every cell.

    Args:
        count: How many.
        start: The first seed.
        split: Split of the scene library: train, val or test.
    """

    count: int
    start: int = 0
    split: str = "val"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}, but a suite needs at least 1 seed")
        if self.start < 0:
            raise ValueError(f"start is {self.start}, but a seed must not be negative")

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.start + self.count))


@dataclass(frozen=True)
class SafeSpeed:
    """The search for the highest top speed at which success stays high enough.

    Args:
        lowest: Slowest top speed that is tried, as a fraction of the environment's ``max_speed``.
        highest: Fastest one.
        resolution: The search ends when the answer is known to within this fraction.
        success: The success rate that must be kept.
        episodes: Episodes at each speed, from the suite's first seed on; all of them if none is given.
    """

    lowest: float = 0.25
    highest: float = 1.25
    resolution: float = 0.125
    success: float = 0.9
    episodes: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.highest) and 0 < self.lowest < self.highest):
            raise ValueError(
                f"lowest is {self.lowest} and highest {self.highest}, but 0 < lowest < highest is needed"
            )
        if not 0 < self.resolution <= self.highest - self.lowest:
            raise ValueError(
                f"resolution is {self.resolution}, but it must be positive and at most "
                f"highest - lowest, {self.highest - self.lowest:g}"
            )
        if not 0 < self.success <= 1:
            raise ValueError(f"success is {self.success}, but it must lie above 0 and up to 1")
        if self.episodes is not None and self.episodes < 1:
            raise ValueError(f"episodes is {self.episodes}, but a rate needs at least 1")


@dataclass(frozen=True)
class Suite:
    """Environments x depth sources x devices x refresh policies x agents, all on the same seeds.

    Args:
        name: What the report calls it; two suites that differ by it alone are the same.
        environments: At least one.
        depth: At least one source. ``oracle`` is run in any case where something is compared with it.
        devices: Latency profiles: built-in names or JSON files, or traces (.parquet).
        refresh: Refresh policies of the sources with a memory.
        agents: Agents by name, or learned policies by path; none is each environment's usual one.
        seeds: The episodes.
        loss_split: Whether to run what divides the loss of success into error and delay.
        safe_speed: The search for the highest safe top speed; none is run if it is None.
        gpus_per_run: Share of a GPU that one episode needs.
    """

    name: str = field(compare=False)
    environments: tuple[Environment, ...]
    depth: tuple[Depth, ...]
    seeds: Seeds
    devices: tuple[str, ...] = ("orin-trt",)
    refresh: tuple[str, ...] = ("free",)
    agents: tuple[str, ...] = ()
    loss_split: bool = False
    safe_speed: SafeSpeed | None = None
    gpus_per_run: float = 0.0

    def __post_init__(self) -> None:
        for name in ("environments", "depth", "devices", "refresh"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty, so there is nothing to run: name at least one")
        labels = {
            "environments": [e.label for e in self.environments],
            "depth sources": [d.label for d in self.depth],
            "devices": [Path(d).stem for d in self.devices],
            "refresh policies": self.refresh,
            "agents": self.agents,
        }
        for what, names in labels.items():
            twice = duplicate(names)
            if twice is not None:
                raise ValueError(f"two {what} are called {twice!r}: leave one out, or give one another label")
        if not (math.isfinite(self.gpus_per_run) and self.gpus_per_run >= 0):
            raise ValueError(f"gpus_per_run is {self.gpus_per_run}, but it must be finite and not negative")
        if self.safe_speed is not None and (self.safe_speed.episodes or 0) > self.seeds.count:
            raise ValueError(
                f"safe_speed takes {self.safe_speed.episodes} episodes at each speed, but the suite has "
                f"{self.seeds.count} seeds: give at most as many"
            )

    @property
    def speed_seeds(self) -> range:
        """Seeds of the search for the safe speed."""
        count = (self.safe_speed and self.safe_speed.episodes) or self.seeds.count
        return range(self.seeds.start, self.seeds.start + count)

    def as_dict(self) -> dict[str, Any]:
        """What ``parse_suite`` reads."""
        return dataclasses.asdict(self)


def parse_suite(values: Any, name: str = "suite") -> Suite:
    """A suite from what its YAML file holds.

    Args:
        values: The mapping.
        name: The suite's name where it gives none.

    Raises:
        ValueError: A key is unknown or missing, or a value is out of bounds; the message says which.
    """
    parts = {
        "environments": lambda v: from_mappings(Environment, v, "environments", short="env"),
        "depth": lambda v: from_mappings(Depth, v, "depth", short="source"),
        "seeds": lambda v: from_mapping(Seeds, v, "seeds", short="count"),
        "safe_speed": lambda v: None if v is None else from_mapping(SafeSpeed, v, "safe_speed"),
    }
    suite: Suite = from_mapping(Suite, values, "the suite", parts=parts, defaults={"name": name})
    return suite


def load_suite(name_or_path: str | Path) -> Suite:
    """A suite that comes with the package, by name, or one in a YAML file.

    Raises:
        ValueError: There is none, or it is not valid; the message says why.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if text in builtin_suites():
        content = (resources.files(__package__) / "suites" / f"{text}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        content = path.read_text(encoding="utf-8")
    else:
        raise ValueError(f"no suite {text!r}: give a YAML file, or one of {', '.join(builtin_suites())}")
    try:
        values = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(f"{text} is not YAML: {error}") from error
    try:
        return parse_suite(values, path.stem)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error


def suite_text(suite: Suite) -> str:
    """The suite as YAML."""
    plain = _lists(suite.as_dict())
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def builtin_suites() -> tuple[str, ...]:
    """Names of the suites that come with the package."""
    folder = resources.files(__package__) / "suites"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
