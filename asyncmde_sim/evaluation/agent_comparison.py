"""The same episodes by several agents on several depth sources: what each loses on estimated depth."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.records import EPISODE_SCHEMA, Row, write_json, write_table
from asyncmde_sim.evaluation.rollout import Results, prepare, run
from asyncmde_sim.metrics.statistics import PairedDifference, paired_bootstrap, wilson_interval

CHUNK = 5
"""Episodes that a worker runs at a time, and that are written together."""

CELLS_FILE = "cells.json"


@dataclass(frozen=True)
class Cell:
    """One agent on one depth source and device.

    Args:
        agent: What a table calls the agent.
        depth: Depth source ...
        device: ... and device; ignored by what runs on none.
        config: How its episodes are run.
    """

    agent: str
    depth: str
    device: str
    config: RolloutConfig

    @property
    def source(self) -> str:
        """What a table calls the depth."""
        return self.depth if self.depth in ("oracle", "blind") else f"{self.depth}, {self.device}"

    @property
    def key(self) -> str:
        """Name of its files."""
        return f"{self.agent}-{self.source}".replace(", ", "-").replace("/", "_")


@dataclass(frozen=True)
class _Chunk:
    cell: int
    config: RolloutConfig
    file: Path

    def run(self) -> None:
        results = Results()
        rollout = prepare(self.config, self.config.seed)
        try:
            run(rollout, self.config.episodes, self.config.seed, results)
        finally:
            rollout.env.close()
        write_table(results.episodes, self.file)


def make_cells(
    base: RolloutConfig, agents: Mapping[str, str], sources: Sequence[tuple[str, str]]
) -> list[Cell]:
    """Every agent on every source.

    Args:
        base: Environment, scenes, camera.
        agents: For each name in the table, an agent's name or a policy's folder.
        sources: Depth source and device of each.
    """
    return [
        Cell(name, depth, device, replace(base, agent=agent, depth=depth, device=device, video=False))
        for name, agent in agents.items()
        for depth, device in sources
    ]


def run_cells(
    cells: Sequence[Cell], episodes: int, folder: Path, workers: int
) -> Iterator[dict[str, list[Row]]]:
    """Run what is not yet in the folder, and yield the rows of each cell, by key, whenever some are added.

    Episode i of every cell is reset with its config's seed + i. All cells advance together, so that
    what is there when it is interrupted is paired.

    Args:
        cells: What to run.
        episodes: Of each cell.
        folder: For one file of each chunk of episodes.
        workers: Processes.

    Raises:
        ValueError: The folder holds another comparison.
    """
    _claim(folder, cells)
    chunks = []
    for first in range(0, episodes, CHUNK):
        for index, cell in enumerate(cells):
            count = min(CHUNK, episodes - first)
            config = replace(cell.config, seed=cell.config.seed + first, episodes=count)
            chunks.append(_Chunk(index, config, folder / cell.key / f"{first:04d}-{count}.parquet"))
    yield rows_of(cells, folder, episodes)
    todo = [chunk for chunk in chunks if not chunk.file.is_file()]
    for cell in cells:
        (folder / cell.key).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(_Chunk.run, chunk) for chunk in todo]
        try:
            for job in as_completed(jobs):
                job.result()
                yield rows_of(cells, folder, episodes)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def rows_of(cells: Sequence[Cell], folder: Path, episodes: int) -> dict[str, list[Row]]:
    """The rows of each cell so far, by key, in the order of their seeds."""
    found: dict[str, list[Row]] = {}
    for cell in cells:
        tables = [pq.read_table(path) for path in sorted((folder / cell.key).glob("*.parquet"))]
        rows = pa.concat_tables([EPISODE_SCHEMA.empty_table(), *tables]).to_pylist()
        by_seed = {row["seed"]: row for row in rows if row["seed"] < cell.config.seed + episodes}
        found[cell.key] = [by_seed[seed] for seed in sorted(by_seed)]
    return found


def cell_figures(cell: Cell, rows: Sequence[Row]) -> Row:
    """Success and collisions of a cell with their 95 % intervals, at least one episode."""
    count = len(rows)
    figures: Row = {"agent": cell.agent, "source": cell.source, "episodes": count}
    for name, column in (("success", "success"), ("collision", "collided")):
        hits = sum(row[column] for row in rows)
        figures |= {f"{name}_rate": hits / count, f"{name}_ci": list(wilson_interval(hits, count))}
    return {**figures, "spl": sum(row["spl"] for row in rows) / count}


def loss_difference(
    rows: Mapping[str, Sequence[Row]], first: tuple[Cell, Cell], second: tuple[Cell, Cell]
) -> PairedDifference | None:
    """How much more success one agent loses from one source to another than a second agent, on shared seeds.

    Args:
        rows: Of each cell, by key.
        first: The first agent's cells on the two sources.
        second: The second agent's.

    Returns:
        The mean of (loss of the first) - (loss of the second); None without a seed that all four have.
    """
    success = [{row["seed"]: float(row["success"]) for row in rows[cell.key]} for cell in (*first, *second)]
    shared = sorted(set.intersection(*(set(each) for each in success)))
    if not shared:
        return None
    mine, others = ([success[i][seed] - success[i + 1][seed] for seed in shared] for i in (0, 2))
    return paired_bootstrap(mine, others)


def _claim(folder: Path, cells: Sequence[Cell]) -> None:
    """Write what the folder is for, or check that it is for this."""
    mine = json.loads(json.dumps({cell.key: _options(cell.config) for cell in cells}))
    file = folder / CELLS_FILE
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        if any(mine[key] != there[key] for key in mine.keys() & there.keys()):
            raise ValueError(f"{folder} holds a comparison with other options: give another --out")
        mine = {**there, **mine}
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds other files: give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(mine, file)


def _options(config: RolloutConfig) -> Row:
    left_out = ("out", "episodes", "overwrite", "video", "rerun")
    return {name: value for name, value in asdict(config).items() if name not in left_out}
