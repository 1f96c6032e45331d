"""Which episodes are the hardest: where most fail, or come closest to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyncmde_sim.evaluation.records import Row
from asyncmde_sim.evaluation.suite import Cell, Results
from asyncmde_sim.evaluation.suite.findings import oracle_of

CONTROL_DEPTH, CONTROL_AGENT = "blind", "straight"
"""Those fail everywhere, and say nothing about an episode."""


@dataclass(frozen=True)
class HardEpisode:
    """An episode that many cells have run.

    Args:
        environment: Label of the environment.
        seed: Its seed.
        failed: In how many cells the robot did not arrive ...
        ran: ... of how many that have run it; controls are not counted.
        truth_arrived: Whether it arrived on true depth; None where that was not run.
        cell: The cell that is shown: of those where it failed (or came closest to it) and that ran on a
            device, the one with the highest success.
        row: Its row of the episode table in that cell.
    """

    environment: str
    seed: int
    failed: int
    ran: int
    truth_arrived: bool | None
    cell: Cell
    row: Row


def hardest_episodes(results: Results, most: int, most_steps: int) -> list[HardEpisode]:
    """The hardest episodes of each environment in turn, the hardest first.

    Those that fail in the largest share of cells come first, and among equals those with the least clearance.

    Args:
        results: The results.
        most: No more than this number ...
        most_steps: ... nor more steps together: what is too long is passed over.
    """
    ranked = [_ranked(results, environment.label) for environment in results.suite.environments]
    chosen: list[HardEpisode] = []
    left = most_steps
    while len(chosen) < most and any(ranked):
        for episodes in ranked:
            fitting = next((e for e in episodes if e.row["steps"] <= left), None)
            episodes[:] = [] if fitting is None else episodes[episodes.index(fitting) + 1 :]
            if fitting is not None and len(chosen) < most:
                chosen.append(fitting)
                left -= fitting.row["steps"]
    return chosen


def _ranked(results: Results, environment: str) -> list[HardEpisode]:
    by_seed: dict[int, list[tuple[Cell, float, Row]]] = {}
    for cell, success, row in _runs(results, environment):
        by_seed.setdefault(row["seed"], []).append((cell, success, row))
    ranked = sorted(by_seed.items(), key=lambda item: (_hardness(item[1]), -item[0]), reverse=True)
    return [_hard_episode(results, environment, seed, runs) for seed, runs in ranked]


def _runs(results: Results, environment: str) -> Iterator[tuple[Cell, float, Row]]:
    for cell in results.product:
        control = cell.config.depth == CONTROL_DEPTH or cell.agent == CONTROL_AGENT
        if cell.environment == environment and not control:
            rows = results.episodes_of(cell).to_pylist()
            arrived = sum(row["success"] for row in rows)
            yield from ((cell, arrived / len(rows), row) for row in rows)


def _hardness(runs: Sequence[tuple[Cell, float, Row]]) -> tuple[float, float]:
    failed = sum(not row["success"] for *_, row in runs) / len(runs)
    clearances = [row["min_clearance"] for *_, row in runs if row["min_clearance"] is not None]
    return failed, -min(clearances, default=math.inf)


def _hard_episode(
    results: Results, environment: str, seed: int, runs: Sequence[tuple[Cell, float, Row]]
) -> HardEpisode:
    failing = [run for run in runs if not run[2]["success"]]
    shown = [run for run in failing or runs if run[0].device is not None] or failing or list(runs)
    cell, _, row = max(shown, key=lambda run: (run[1], _hardness([run])))
    truth = oracle_of(results, cell)
    arrived = next((own["success"] for other, _, own in runs if other == truth), None)
    return HardEpisode(environment, seed, len(failing), len(runs), arrived, cell, row)
