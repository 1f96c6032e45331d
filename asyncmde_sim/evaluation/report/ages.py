"""Accuracy of depth by its age, from the rows of all steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import t as student

from asyncmde_sim.evaluation.records import AGES, SCORES
from asyncmde_sim.evaluation.suite import Results

EDGES_S = np.concatenate(
    [np.arange(0, 0.2, 0.02), np.arange(0.2, 0.5, 0.05), np.arange(0.5, 1.01, 0.1), [np.inf]]
)
"""Bins of age: 20 ms wide up to 0.2 s, 50 ms up to 0.5 s, 100 ms up to 1 s, and all above."""
FEWEST_EPISODES = 3
"""A bin with steps from fewer episodes is left out: it has no interval worth the name."""
PART_ROWS = 100_000
"""Steps that are summed at once, at least."""


@dataclass(frozen=True)
class AgePoint:
    """Accuracy in one bin of age, the mean over episodes of each one's mean over its steps in the bin.

    Args:
        cell: Key of the cell.
        age: One of ``AGES``.
        age_s: Mean age.
        episodes: Episodes with steps in the bin.
        steps: Those steps.
        means: Mean of each of ``SCORES``, by name.
        halves: Half the width of its 95 % interval (Student's t over the episodes).
    """

    cell: str
    age: str
    age_s: float
    episodes: int
    steps: int
    means: dict[str, float]
    halves: dict[str, float]


def accuracy_by_age(results: Results, keys: Sequence[str]) -> list[AgePoint]:
    """Points of the cells in ``keys``, in the order of keys, ages and bins.

    The steps are read a part at a time, so that memory does not grow with their number.
    """
    columns = ["cell", "episode", *AGES, *SCORES]
    wanted = pc.field("cell").isin(pa.array(keys, pa.string()))
    batches = results.steps.to_batches(columns=columns, filter=wanted)
    sums = [_sums(part, age) for part in _gathered(batches) for age in AGES]
    if not sums:
        return []
    names = ("age_s", *SCORES)
    by_episode = _renamed(
        pa.concat_tables(sums)
        .group_by(["age", "cell", "bin", "episode"])
        .aggregate([(name, "sum") for name in ("steps", *names)])
    )
    for name in names:
        mean = pc.divide(by_episode[name], by_episode["steps"])
        by_episode = by_episode.set_column(by_episode.column_names.index(name), name, mean)
    spread = pc.VarianceOptions(ddof=1)
    rows = (
        by_episode.group_by(["age", "cell", "bin"])
        .aggregate(
            [("steps", "count"), ("steps", "sum")]
            + [(name, "mean") for name in names]
            + [(score, "stddev", spread) for score in SCORES]
        )
        .to_pylist()
    )
    order = {key: index for index, key in enumerate(keys)}
    rows.sort(key=lambda row: (order[row["cell"]], AGES.index(row["age"]), row["bin"]))
    return [_point(row) for row in rows if row["steps_count"] >= FEWEST_EPISODES]


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together until a part has enough rows: each episode may be a batch of its own."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= PART_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _sums(part: pa.Table, age: str) -> pa.Table:
    """For each episode and bin of one age the number of steps with depth, and the sums over them."""
    table = part.select(["cell", "episode", age, *SCORES]).drop_null()
    table = table.rename_columns(["cell", "episode", "age_s", *SCORES])
    bins = np.digitize(table["age_s"].to_numpy(), EDGES_S) - 1
    summed = _renamed(
        table.append_column("bin", pa.array(bins))
        .group_by(["cell", "episode", "bin"])
        .aggregate([("age_s", "count"), *((name, "sum") for name in ("age_s", *SCORES))])
    )
    return summed.append_column("age", pa.array([age] * summed.num_rows, pa.string()))


def _renamed(summed: pa.Table) -> pa.Table:
    """Sums under the names of what was summed, and the count as ``steps``."""
    names = ("steps" if n == "age_s_count" else n.removesuffix("_sum") for n in summed.column_names)
    return summed.rename_columns(list(names))


def _point(row: dict[str, Any]) -> AgePoint:
    count = row["steps_count"]
    reach = float(student.ppf(0.975, count - 1)) / math.sqrt(count)
    return AgePoint(
        cell=row["cell"],
        age=row["age"],
        age_s=row["age_s_mean"],
        episodes=count,
        steps=row["steps_sum"],
        means={score: row[f"{score}_mean"] for score in SCORES},
        halves={score: reach * row[f"{score}_stddev"] for score in SCORES},
    )
