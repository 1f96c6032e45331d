"""What a suite's results say: pure functions from results to rows, each rate with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.evaluation.records import MEANS
from asyncmde_sim.evaluation.suite.cells import Cell, treated_place
from asyncmde_sim.evaluation.suite.results import Results
from asyncmde_sim.metrics.statistics import PairedDifference, paired_bootstrap, wilson_interval
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY


@dataclass(frozen=True)
class Rate:
    """A share of episodes with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class HeadlineRow:
    """One whole cell of the product.

    Args:
        cell: The cell.
        success: Share of the episodes in which the robot arrived.
        collided: Share of those in which it collided.
        versus_oracle: Success minus that of true depth on the same seeds; None for true depth itself.
        versus_foundation: Success minus that of the source ``foundation`` on the same device and seeds; None
            where there is none.
        spl: Mean; None for a task without a way.
        means: Mean over the episodes of each of ``MEANS``, by name; None without depth.
        slow_runs_per_s: Runs of the slow path in a second of simulated time.
        fast_runs_per_s: Runs of the fast path.
    """

    cell: Cell
    success: Rate
    collided: Rate
    versus_oracle: PairedDifference | None
    versus_foundation: PairedDifference | None
    spl: float | None
    means: dict[str, float | None]
    slow_runs_per_s: float
    fast_runs_per_s: float


@dataclass(frozen=True)
class LossRow:
    """Where the success of true depth was lost, on the seeds that all four cells have run.

    ``lost = error + delay + both`` holds for the means: what neither does alone, both do together.

    Args:
        cell: The whole cell.
        oracle: Success of true depth.
        success: Success of the cell.
        lost: Success of true depth minus that of the cell.
        error: Success of true depth minus that of the source without delay.
        delay: Success of true depth minus that of true depth with the source's delay.
        both: What is left.
    """

    cell: Cell
    oracle: Rate
    success: Rate
    lost: PairedDifference
    error: PairedDifference
    delay: PairedDifference
    both: PairedDifference


def headline(results: Results) -> list[HeadlineRow]:
    """A row for each whole cell of the product that has an episode, in the suite's order."""
    rows = []
    for cell in results.product:
        table = results.episodes_of(cell).to_pydict()
        if not table["seed"]:
            continue
        seconds = math.fsum(table["duration_s"])
        rows.append(
            HeadlineRow(
                cell,
                rate(table["success"]),
                rate(table["collided"]),
                versus(results, cell, oracle_of(results, cell)),
                versus(results, cell, foundation_of(results, cell)),
                _mean(table["spl"]),
                {name: _mean(table[name]) for name in MEANS},
                sum(table["slow_runs"]) / seconds,
                sum(table["fast_runs"]) / seconds,
            )
        )
    return rows


def loss_split(results: Results) -> list[LossRow]:
    """A row for each whole cell of the product whose three partners share seeds with it."""
    rows = []
    for cell in results.product:
        if cell.device is None:
            continue
        places = (treated_place(cell, ERROR_ONLY), treated_place(cell, DELAY_ONLY))
        partners = [oracle_of(results, cell), *(results.at(place) for place in places)]
        cells = [cell, *(partner for partner in partners if partner is not None)]
        if len(cells) < 4:
            continue
        whole, oracle, error_only, delay_only = paired_success(results, cells)
        if not len(whole):
            continue
        rows.append(
            LossRow(
                cell,
                rate(oracle),
                rate(whole),
                paired_bootstrap(oracle, whole),
                paired_bootstrap(oracle, error_only),
                paired_bootstrap(oracle, delay_only),
                paired_bootstrap(error_only + delay_only, oracle + whole),
            )
        )
    return rows


def oracle_of(results: Results, cell: Cell) -> Cell | None:
    """The cell with true depth beside a cell of the product."""
    beside = (c for c in results.product if c.is_oracle and c.environment == cell.environment)
    return next((c for c in beside if c.agent == cell.agent), None)


def foundation_of(results: Results, cell: Cell) -> Cell | None:
    """The cell of the shipped slow path alone on the same device, beside a cell of the product."""
    place = cell.place._replace(depth="foundation", refresh=None)
    return None if cell.device is None else results.at(place)


def paired_success(results: Results, cells: Sequence[Cell]) -> list[NDArray[np.float64]]:
    """Success (N,), 0 or 1, of each cell on the seeds that all have run."""
    found = []
    for cell in cells:
        table = results.episodes_of(cell)
        found.append(dict(zip(table["seed"].to_pylist(), table["success"].to_pylist(), strict=True)))
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found)))
    return [np.array([by_seed[seed] for seed in seeds], dtype=np.float64) for by_seed in found]


def versus(results: Results, cell: Cell, other: Cell | None) -> PairedDifference | None:
    """Success of a cell minus that of another, on the seeds that both have run."""
    if other is None or other == cell:
        return None
    own, theirs = paired_success(results, [cell, other])
    return paired_bootstrap(own, theirs) if len(own) else None


def rate(outcomes: Iterable[bool]) -> Rate:
    """The share of true ones.

    Raises:
        ValueError: There are none.
    """
    values = [bool(outcome) for outcome in outcomes]
    low, high = wilson_interval(sum(values), len(values))
    return Rate(sum(values) / len(values), low, high, len(values))


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
