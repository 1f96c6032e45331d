"""Reads the folder of a suite's results, finished or not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.config import EpisodeConfig
from asyncmde_sim.evaluation.records import EPISODE_SCHEMA, STEP_SCHEMA
from asyncmde_sim.evaluation.suite.cells import Cell, Place
from asyncmde_sim.evaluation.suite.suite import Suite, load_suite

FORMAT = "asyncmde-sim suite 1"
"""Changes when a folder can no longer be read by what read the last one."""

EPISODES = pa.schema([("cell", pa.string()), *EPISODE_SCHEMA])
STEPS = pa.schema([("cell", pa.string()), *STEP_SCHEMA])

PARTS = "parts"
"""Folder of the episodes that are not yet in the two tables, two files each."""
STEPS_SUFFIX = ".steps.parquet"
FOLD = b"asyncmde-sim fold"
"""Metadata of both tables: equal where they were written together."""


@dataclass(frozen=True)
class Results:
    """What a suite has found so far.

    Args:
        folder: Where it was read.
        suite: The suite.
        code_version: Of the code that ran it.
        cells: Every cell by its key: those of the product, of the loss split, and of the safe speed so far.
        wanted: Number of episodes that each cell is to have.
        failures: Traceback of each cell that failed, by its key; its episodes before that are kept.
        machines: Hardware and versions of every machine that took part.
        episodes: Table with ``EPISODES``, in the order of the cells and seeds.
        steps: Data set with ``STEPS``, read when asked: ``steps.to_table(columns, filter=...)``. A cell and
            the number ``episode`` (of its seed, from the suite's first) name an episode.
    """

    folder: Path
    suite: Suite
    code_version: str
    cells: Mapping[str, Cell]
    wanted: Mapping[str, int]
    failures: Mapping[str, str]
    machines: tuple[dict[str, Any], ...]
    episodes: pa.Table
    steps: ds.Dataset

    @property
    def done(self) -> dict[str, set[int]]:
        """Seeds of the finished episodes of each cell."""
        seeds: dict[str, set[int]] = {key: set() for key in self.cells}
        pairs = zip(self.episodes["cell"].to_pylist(), self.episodes["seed"].to_pylist(), strict=True)
        for key, seed in pairs:
            seeds.setdefault(key, set()).add(seed)
        return seeds

    def status(self, key: str) -> str:
        """``done``, ``running`` (or interrupted) or ``failed``."""
        if key in self.failures:
            return "failed"
        found = pc.sum(pc.equal(self.episodes["cell"], key)).as_py() or 0
        return "done" if found >= self.wanted[key] else "running"

    @property
    def product(self) -> list[Cell]:
        """The cells of the suite's product, in its order."""
        return [cell for cell in self.cells.values() if cell.is_product]

    def at(self, place: Place) -> Cell | None:
        """The cell in a place."""
        return next((cell for cell in self.cells.values() if cell.place == place), None)

    def episodes_of(self, cell: Cell) -> pa.Table:
        """The finished episodes of a cell, by seed."""
        return self.episodes.filter(pc.equal(self.episodes["cell"], cell.key))


def load_results(folder: str | Path) -> Results:
    """Read a folder of results.

    Raises:
        ValueError: It is none, or of another format.
        OSError: It cannot be read.
    """
    folder = Path(folder)
    described = read_description(folder)
    cells = {key: _cell(key, values) for key, values in described["cells"].items()}
    episodes = _in_order(read_episodes(folder), list(cells))
    return Results(
        folder=folder,
        suite=load_suite(folder / "suite.yaml"),
        code_version=described["code_version"],
        cells=cells,
        wanted={key: values["wanted"] for key, values in described["cells"].items()},
        failures={k: v["traceback"] for k, v in described["cells"].items() if v["traceback"] is not None},
        machines=tuple(json.loads((folder / "machine.json").read_text(encoding="utf-8"))["machines"]),
        episodes=episodes,
        steps=steps_in([path for paths in step_files(folder).values() for path in paths]),
    )


def read_description(folder: Path) -> dict[str, Any]:
    """The content of ``cells.json``.

    Raises:
        ValueError: There is none, or of another format.
    """
    path = folder / "cells.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        found = described.get("format")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder} holds no results of a suite: {path} cannot be read") from error
    if found != FORMAT:
        raise ValueError(
            f"{folder} holds results in the format {found!r}, but this version reads {FORMAT!r}: give "
            "another folder, or use the version that wrote it"
        )
    return dict(described)


def read_episodes(folder: Path) -> pa.Table:
    """Every finished episode once, in any order."""
    table, parts = _folded_episodes(folder), part_files(folder)
    known = set(zip(table["cell"].to_pylist(), table["seed"].to_pylist(), strict=True))
    new = [pq.read_table(path, schema=EPISODES) for episode, path in parts.items() if episode not in known]
    return pa.concat_tables([table, *new]).combine_chunks()


def part_files(folder: Path) -> dict[tuple[str, int], Path]:
    """The row's file of every episode in ``parts/``, by cell and seed."""
    found: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / PARTS).glob("*.parquet")):
        if not path.name.startswith(".") and not path.name.endswith(STEPS_SUFFIX):
            key, _, seed = path.stem.rpartition("-")
            found[key, int(seed)] = path
    return found


def step_files(folder: Path) -> dict[str | None, list[Path]]:
    """The files with the steps of all finished episodes, each step once.

    Those of ``parts/`` are under the key of their cell, and ``steps.parquet``, with any cell, under None.
    """
    whole, rows = folder / "steps.parquet", folder / "episodes.parquet"
    files: dict[str | None, list[Path]] = {None: [whole] if whole.is_file() else []}
    if _fold(whole) != _fold(rows):  # killed between the two: the steps hold those of every part
        return files
    known = _folded_episodes(folder)
    pairs = set(zip(known["cell"].to_pylist(), known["seed"].to_pylist(), strict=True))
    for (key, seed), path in part_files(folder).items():
        if (key, seed) not in pairs:
            files.setdefault(key, []).append(path.with_name(path.stem + STEPS_SUFFIX))
    return files


def steps_in(files: list[Path]) -> ds.Dataset:
    """A data set of files with ``STEPS``."""
    if not files:
        return ds.dataset(STEPS.empty_table())
    return ds.dataset([str(path) for path in files], schema=STEPS, format="parquet")


def _folded_episodes(folder: Path) -> pa.Table:
    path = folder / "episodes.parquet"
    if not path.is_file():
        return EPISODES.empty_table()
    return pq.read_table(path, schema=EPISODES).replace_schema_metadata(None)


def _fold(path: Path) -> bytes | None:
    return (pq.read_schema(path).metadata or {}).get(FOLD) if path.is_file() else None


def _in_order(episodes: pa.Table, keys: list[str]) -> pa.Table:
    index = pc.index_in(episodes["cell"], value_set=pa.array(keys, pa.string()))
    ordered = episodes.append_column("order", index)
    return ordered.sort_by([("order", "ascending"), ("seed", "ascending")]).drop_columns(["order"])


def _cell(key: str, values: Mapping[str, Any]) -> Cell:
    config = dict(values["config"])
    if config["image_size"] is not None:
        config["image_size"] = tuple(config["image_size"])
    fields = {field.name for field in dataclasses.fields(Cell)} - {"key", "config"}
    return Cell(key=key, config=EpisodeConfig(**config), **{name: values[name] for name in fields})
