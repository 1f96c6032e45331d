"""Episodes that were run before, run once more: the same config and seed give the same steps."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.records import Row
from asyncmde_sim.evaluation.rollout import Results, Rollout, Watcher, prepare, run
from asyncmde_sim.evaluation.suite import Cell
from asyncmde_sim.evaluation.suite import Results as SuiteResults

SAME = ("scene", "steps", "success", "collided")
"""Columns of the episode table that tell whether an episode went as before."""


@dataclass(frozen=True)
class PastEpisode:
    """An episode as the tables of its results have it.

    Args:
        name: What files call it.
        config: What it was run with, its seed among it.
        row: Its row of the episode table.
        steps: Its rows of the step table, in order.
    """

    name: str
    config: RolloutConfig
    row: Row
    steps: pa.Table


def past_episode(folder: Path, seed: int | None = None) -> PastEpisode:
    """An episode in the folder of a rollout.

    Args:
        folder: The folder.
        seed: The episode's seed; the first episode's if none is given.

    Raises:
        ValueError: There is no such episode, or the folder is from another version.
        OSError: A file is missing.
    """
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    episodes = pq.read_table(folder / "episodes.parquet")
    row = episode_of(episodes, seed, str(folder))
    steps = pq.read_table(folder / "steps.parquet", filters=[("episode", "=", row["episode"])])
    config = _config(described.get("config"), row["seed"], folder)
    return PastEpisode(config.out_dir.name, config, row, steps)


def past_episode_of(results: SuiteResults, cell: Cell, seed: int | None = None) -> PastEpisode:
    """An episode of a cell of a suite, like ``past_episode``.

    Raises:
        ValueError: There is no such episode.
    """
    row = episode_of(results.episodes_of(cell), seed, cell.name)
    own = (pc.field("cell") == cell.key) & (pc.field("episode") == row["episode"])
    steps = results.steps.to_table(filter=own).sort_by("step")
    config = RolloutConfig(**dataclasses.asdict(cell.config), seed=row["seed"])
    return PastEpisode(f"{config.out_dir.name}-{cell.key[:6]}", config, row, steps)


def episode_of(episodes: pa.Table, seed: int | None, where: str) -> Row:
    """The row of the episode with a seed, or the first one.

    Raises:
        ValueError: There is none.
    """
    found = episodes if seed is None else episodes.filter(pc.field("seed") == seed)
    if not found.num_rows:
        there = sorted(set(episodes["seed"].to_pylist()))
        seeds = f"its seeds are {there[0]} to {there[-1]}" if there else "it has no episodes"
        raise ValueError(f"seed is {seed}, but there is no such episode in {where}: {seeds}")
    row: Row = found.slice(0, 1).to_pylist()[0]
    return row


def replay(past: PastEpisode, watchers: Callable[[Rollout], Sequence[Watcher]]) -> str | None:
    """Run an episode again, and say what went otherwise, if anything did.

    Args:
        past: The episode.
        watchers: Makes those who follow it.

    Raises:
        ValueError: It cannot be run again.
        OSError: A file that it needs is missing.
    """
    if past.config.clock != "simulated":
        raise ValueError(
            f"clock is {past.config.clock!r}, but only episodes in simulated time can be run again: replay "
            "the run's trace.parquet with scripts/rollout.py --device"
        )
    rollout, results = prepare(dataclasses.replace(past.config, restart=False), past.config.seed), Results()
    try:
        run(rollout, 1, past.config.seed, results, watchers(rollout))
    finally:
        rollout.env.close()
    row = results.episode_rows[0]
    changed = [f"{name} {row[name]}, not {past.row[name]}" for name in SAME if row[name] != past.row[name]]
    if not changed:
        return None
    return f"it went otherwise ({', '.join(changed)}): code, weights or the kind of processor differ"


def _config(values: Any, seed: int, folder: Path) -> RolloutConfig:
    try:
        size = values["image_size"]
        given = {**values, "out": None, "seed": seed, "image_size": size and tuple(size)}
        return RolloutConfig(**given)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"{folder} is from another version of this project: run its rollout again"
        ) from error
