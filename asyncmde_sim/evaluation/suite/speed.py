"""The safe speed: the highest top speed at which success stays high enough, by bisection on paired seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.evaluation.suite.cells import Cell
from asyncmde_sim.evaluation.suite.findings import Rate, paired_success, rate
from asyncmde_sim.evaluation.suite.results import Results
from asyncmde_sim.evaluation.suite.suite import SafeSpeed
from asyncmde_sim.metrics.statistics import PairedDifference

RESAMPLES = 10_000
ROUNDING = 1e-9


@dataclass(frozen=True)
class SafeSpeedRow:
    """The safe speed of one cell of the product.

    Args:
        cell: The cell.
        speed_mps: The highest top speed tried with enough success; 0 if the lowest has not.
        low_mps: 95 % interval, by bootstrap of the seeds, among the speeds that were tried ...
        high_mps: ... so it cannot reach beyond these.
        unsafe_mps: The lowest top speed tried without enough success; None if there is none, so that
            ``speed_mps`` is a lower bound.
        tried: Top speed and success, from the lowest up.
        finished: Whether nothing is left to try.
    """

    cell: Cell
    speed_mps: float
    low_mps: float
    high_mps: float
    unsafe_mps: float | None
    tried: tuple[tuple[float, Rate], ...]
    finished: bool


def shares(search: SafeSpeed) -> tuple[float, ...]:
    """The speeds that may be tried, as shares of the environment's, from the lowest up."""
    steps = math.ceil((search.highest - search.lowest) / search.resolution - ROUNDING)
    width = (search.highest - search.lowest) / steps
    return tuple(round(search.lowest + i * width, 6) for i in range(steps + 1))


def next_share(search: SafeSpeed, success: Mapping[float, float]) -> float | None:
    """The share to try next, given the success at those tried; None when the search is over.

    The environment's own speed is tried first, where it is among them; then the middle of what is open.
    """
    grid = shares(search)
    if 1.0 in grid and 1.0 not in success:
        return 1.0
    low, high = _bracket(search, success)
    return None if high - low == 1 else grid[(low + high) // 2]


def safe_speed(results: Results) -> list[SafeSpeedRow]:
    """A row for each cell of the product with a speed that was tried, in the suite's order."""
    search = results.suite.safe_speed
    if search is None:
        return []
    rows = []
    for cell in results.product:
        tried = tried_cells(results, cell)
        if not tried:
            continue
        speeds, outcomes = _outcomes(results, tried)
        success = outcomes.mean(axis=1)
        low, high = np.quantile(_resampled(speeds, outcomes, search), [0.025, 0.975], method="nearest")
        unsafe = speeds[~_enough(success, search)]
        open_ = next_share(search, dict(zip(tried, success.tolist(), strict=True)))
        rows.append(
            SafeSpeedRow(
                cell,
                float(_safe(speeds, success[None], search)[0]),
                float(low),
                float(high),
                float(unsafe[0]) if len(unsafe) else None,
                tuple((float(s), rate(o)) for s, o in zip(speeds, outcomes, strict=True)),
                open_ is None,
            )
        )
    return rows


def safe_speed_difference(results: Results, cell: Cell, other: Cell) -> PairedDifference | None:
    """Safe speed of a cell minus that of another, m/s, on the same resamples of the same seeds.

    None while one has no speed that was tried.
    """
    search, tried = results.suite.safe_speed, [tried_cells(results, c) for c in (cell, other)]
    if search is None or not all(tried):
        return None
    found = [_outcomes(results, t) for t in tried]
    ours, theirs = (_safe(s, o.mean(axis=1)[None], search)[0] for s, o in found)
    first, second = (_resampled(s, o, search) for s, o in found)
    low, high = np.quantile(first - second, [0.025, 0.975])
    return PairedDifference(float(ours - theirs), float(low), float(high), found[0][1].shape[1])


def tried_cells(results: Results, cell: Cell) -> dict[float, Cell]:
    """The cells at the speeds that were tried in full beside a cell of the product, by their share."""
    search = results.suite.safe_speed
    assert search is not None
    beside = {
        c.speed_share: c
        for c in results.cells.values()
        if c.place == cell.place._replace(max_speed=c.max_speed)
    }
    seeds = set(results.suite.speed_seeds)
    done = results.done
    return {s: beside[s] for s in shares(search) if s in beside and seeds <= done[beside[s].key]}


def _outcomes(
    results: Results, tried: Mapping[float, Cell]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Speeds (S,) in m/s, and success (S, N) on the search's seeds."""
    seeds = len(results.suite.speed_seeds)
    success = [values[:seeds] for cell in tried.values() for values in paired_success(results, [cell])]
    return np.array([cell.max_speed for cell in tried.values()]), np.array(success)


def _enough(success: NDArray[np.float64], search: SafeSpeed) -> NDArray[np.bool_]:
    enough: NDArray[np.bool_] = success >= search.success - ROUNDING
    return enough


def _safe(
    speeds: NDArray[np.float64], success: NDArray[np.float64], search: SafeSpeed
) -> NDArray[np.float64]:
    """The highest of the speeds (S,) up to which success (R, S) is enough, (R,); 0 if there is none."""
    up_to = np.cumprod(_enough(success, search), axis=1).sum(axis=1)
    safe: NDArray[np.float64] = np.concatenate([[0.0], speeds])[up_to]
    return safe


def _resampled(
    speeds: NDArray[np.float64], outcomes: NDArray[np.float64], search: SafeSpeed
) -> NDArray[np.float64]:
    """Safe speeds (R,) of resamples of the seeds, which are the same for every cell."""
    count = outcomes.shape[1]
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return _safe(speeds, drawn @ outcomes.T / count, search)


def _bracket(search: SafeSpeed, success: Mapping[float, float]) -> tuple[int, int]:
    """Index of the highest safe share and of the lowest unsafe one; -1 and the number of shares are open."""
    grid = shares(search)
    unsafe = [i for i, s in enumerate(grid) if s in success and success[s] < search.success - ROUNDING]
    high = min(unsafe, default=len(grid))
    safe = [i for i, s in enumerate(grid) if s in success and i < high]
    return max(safe, default=-1), high
