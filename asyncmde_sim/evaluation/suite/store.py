"""Writes the folder of a suite's results: whole episodes in files of their own, folded into two tables."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.records import Row, write_json, write_table
from asyncmde_sim.evaluation.suite.cells import Cell, in_order
from asyncmde_sim.evaluation.suite.identity import code_version, machine
from asyncmde_sim.evaluation.suite.results import (
    EPISODES,
    FOLD,
    FORMAT,
    PARTS,
    STEPS,
    STEPS_SUFFIX,
    Results,
    load_results,
    part_files,
    read_description,
    step_files,
    steps_in,
)
from asyncmde_sim.evaluation.suite.suite import Suite, load_suite, suite_text
from asyncmde_sim.files import write_whole

LOCK = ".lock"
UNFINISHED = re.compile(r"\..+-.{8}\..+")
"""Names of the files that ``write_whole`` leaves where it is killed."""


def lock(folder: Path) -> IO[str]:
    """Make a folder, if it is not there, and keep other processes from writing into it.

    Returns:
        A file that holds the lock while it is open.

    Raises:
        ValueError: Another process has it.
        OSError: It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ValueError(
            f"another process writes into {folder}: wait for it, or use another folder"
        ) from error
    return file


def check_store(folder: Path, suite: Suite) -> None:
    """Check that a suite's results can go into a folder, which need not exist; changes nothing.

    Raises:
        ValueError: It is not a folder or holds something else, or results of another suite or version.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: use another folder")
    if not folder.is_dir():
        return
    begun = {LOCK, PARTS, "suite.yaml", "machine.json"}
    if all(path.name in begun or UNFINISHED.fullmatch(path.name) for path in folder.iterdir()):
        return
    found = read_description(folder)["code_version"]
    if found != code_version():
        raise ValueError(
            f"{folder} holds results of the code {found}, but this is {code_version()}: use another "
            "folder, or that version"
        )
    before = load_suite(folder / "suite.yaml")
    if before != suite:
        names = [f.name for f in dataclasses.fields(Suite) if f.compare]
        other = next(name for name in names if getattr(before, name) != getattr(suite, name))
        raise ValueError(
            f"{folder} holds results of another suite (other {other}): use another folder, or that suite"
        )


class Store:
    """The folder while it grows; ``load_results`` reads it at any time.

    An episode is two files in ``parts/``, its steps and then its row, each whole or not there; the second is
    what counts. ``fold`` brings all of them into ``episodes.parquet`` and ``steps.parquet``.

    Args:
        folder: The folder; made if it is not there.
        suite: The suite.

    Raises:
        ValueError: See ``check_store``.
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path, suite: Suite) -> None:
        check_store(folder, suite)
        self.folder, self.suite = folder, suite
        self.cells: dict[str, Cell] = {}
        self.wanted: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.episodes = 0
        machines: list[dict[str, Any]] = []
        parts = folder / PARTS
        parts.mkdir(parents=True, exist_ok=True)
        if (folder / "cells.json").is_file():
            before = load_results(folder)
            self.cells, self.wanted = dict(before.cells), dict(before.wanted)
            self.failures, self.episodes = dict(before.failures), before.episodes.num_rows
            machines += before.machines
        for path in [*folder.iterdir(), *parts.iterdir()]:
            if UNFINISHED.fullmatch(path.name):
                path.unlink()
        write_whole(folder / "suite.yaml", lambda path: path.write_text(suite_text(suite), encoding="utf-8"))
        self._write_machines([*machines, machine()])
        self._describe()

    def plan(self, wanted: Mapping[Cell, int]) -> None:
        """Say which cells there are, and how many episodes each is to have at least."""
        before = dict(self.wanted)
        for cell, episodes in wanted.items():
            self.cells.setdefault(cell.key, cell)
            self.wanted[cell.key] = max(episodes, self.wanted.get(cell.key, 0))
        self.cells = {cell.key: cell for cell in in_order(self.cells.values())}
        if self.wanted != before:
            self._describe()

    def add(self, key: str, row: Row, steps: pa.Table) -> None:
        """Keep an episode of a cell: its row of ``EPISODE_SCHEMA``, and a table with ``STEP_SCHEMA``.

        Raises:
            OSError: It cannot be written; everything kept before is still there.
        """
        path = self.folder / PARTS / f"{key}-{row['seed']}.parquet"
        column = pa.array([key] * steps.num_rows, pa.string())
        own = steps.replace_schema_metadata(None).add_column(0, STEPS.field("cell"), column)
        write_table(own, path.with_name(path.stem + STEPS_SUFFIX))
        write_table(pa.Table.from_pylist([{"cell": key, **row}], EPISODES), path)
        self.episodes += 1

    def fail(self, key: str, traceback: str) -> None:
        """Keep what a cell raised."""
        self.failures[key] = traceback
        self._describe()

    def forget_failures(self) -> None:
        """Let failed cells be run again."""
        self.failures.clear()
        self._describe()

    def take_over(self, results: Results) -> None:
        """Add the cells, failures, machines and episodes of another folder that this one has not."""
        own = load_results(self.folder)
        self._write_machines([*own.machines, *results.machines])
        self.failures |= {key: text for key, text in results.failures.items() if key not in self.failures}
        self.plan({cell: results.wanted[key] for key, cell in results.cells.items()})
        for key, cell in results.cells.items():
            steps = results.steps.to_table(filter=pc.field("cell") == key).drop_columns(["cell"])
            for row in results.episodes_of(cell).drop_columns(["cell"]).to_pylist():
                if row["seed"] not in own.done.get(key, ()):
                    self.add(key, row, steps.filter(pc.equal(steps["episode"], row["episode"])))

    def fold(self) -> None:
        """Bring all episodes into the two tables, in the order of the cells and seeds.

        Raises:
            OSError: They cannot be written; every episode is still there.
        """
        episodes = load_results(self.folder).episodes
        if not part_files(self.folder):
            return
        pairs = list(zip(episodes["cell"].to_pylist(), episodes["seed"].to_pylist(), strict=True))
        fold = {FOLD: hashlib.sha256(repr(pairs).encode()).hexdigest()}

        files = step_files(self.folder)

        def write_steps(path: Path) -> None:
            with pq.ParquetWriter(path, STEPS.with_metadata(fold)) as writer:
                for key in self.cells:
                    own = steps_in([*files[None], *files.get(key, [])]).to_table(
                        filter=pc.field("cell") == key
                    )
                    if own.num_rows:
                        own = own.sort_by([("episode", "ascending"), ("step", "ascending")])
                        writer.write_table(own.replace_schema_metadata(fold), row_group_size=own.num_rows)

        write_whole(self.folder / "steps.parquet", write_steps)
        write_table(episodes.replace_schema_metadata(fold), self.folder / "episodes.parquet")
        for part in (self.folder / PARTS).iterdir():
            part.unlink()

    def _write_machines(self, machines: Sequence[dict[str, Any]]) -> None:
        once = [m for i, m in enumerate(machines) if m not in machines[:i]]
        write_json({"machines": once}, self.folder / "machine.json")

    def _describe(self) -> None:
        cells = {
            key: {
                **{k: v for k, v in dataclasses.asdict(cell).items() if k != "key"},
                "wanted": self.wanted[key],
                "traceback": self.failures.get(key),
            }
            for key, cell in self.cells.items()
        }
        values = {"format": FORMAT, "code_version": code_version(), "cells": cells}
        write_json(values, self.folder / "cells.json")
