"""Results of several machines brought together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from asyncmde_sim.evaluation.suite.results import Results, load_results
from asyncmde_sim.evaluation.suite.store import Store, check_store
from asyncmde_sim.evaluation.suite.suite import Suite


def read_parts(folder: Path, suite: Suite, parts: Sequence[Path]) -> list[Results]:
    """The results in several folders, which belong together and with those in ``folder``, if there are any.

    Raises:
        ValueError: A part is of another suite, code version or weights, or has other results for an episode
            that two have.
        OSError: A file cannot be read.
    """
    check_store(folder, suite)
    found = [load_results(folder)] if (folder / "cells.json").is_file() else []
    for part in parts:
        if not part.is_dir():
            raise ValueError(f"cannot merge {part}: there is no such folder")
        check_store(part, suite)
        found.append(load_results(part))
    for index, results in enumerate(found):
        for other in found[:index]:
            _check_pair(other, results)
    return found


def merge(parts: Sequence[Results], store: Store) -> None:
    """Bring results that belong together into one folder. Episodes that are there stay.

    Raises:
        OSError: A file cannot be read or written.
    """
    for results in parts:
        store.take_over(results)
    if parts:
        store.fold()


def _check_pair(first: Results, second: Results) -> None:
    places = {cell.place: key for key, cell in first.cells.items()}
    for key, cell in second.cells.items():
        if places.get(cell.place, key) != key:
            raise ValueError(
                f"{first.folder} and {second.folder} do not belong together: {cell.name} ran with other "
                "weights or files, run one of them again"
            )
    theirs = first.episodes.filter(_shared(first, second))
    ours = second.episodes.filter(_shared(second, first))
    for row, other in zip(theirs.to_pylist(), ours.to_pylist(), strict=True):
        if row != other:
            cell = first.cells[row["cell"]]
            raise ValueError(
                f"{first.folder} and {second.folder} do not belong together: {cell.name}, seed {row['seed']} "
                "ended otherwise in the two, which another processor or other libraries can do: give each "
                "machine seeds of its own with --shard"
            )


def _shared(results: Results, other: Results) -> pa.Array:
    names = ("cell", "seed")
    pairs = set(zip(*(other.episodes[name].to_pylist() for name in names), strict=True))
    own = zip(*(results.episodes[name].to_pylist() for name in names), strict=True)
    return pa.array([pair in pairs for pair in own], pa.bool_())
