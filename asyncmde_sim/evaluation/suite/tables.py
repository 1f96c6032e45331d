"""A suite's findings as tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.table import Column, Table

from asyncmde_sim.evaluation.suite.cells import Cell
from asyncmde_sim.evaluation.suite.findings import HeadlineRow, LossRow, Rate, headline, loss_split
from asyncmde_sim.evaluation.suite.results import Results
from asyncmde_sim.evaluation.suite.speed import SafeSpeedRow, safe_speed
from asyncmde_sim.metrics.statistics import PairedDifference

HEADLINE = ("success", "hit", "SPL", "δ1 now", "ms old")
LOSSES = ("lost", "by error", "by delay", "by both")
SPEEDS = ("m/s", "95 %", "unsafe", "tried")


def tables(results: Results) -> Iterator[Table]:
    """The headline, the loss split and the safe speeds of each environment."""
    found: list[tuple[Sequence[Any], str, tuple[str, ...], Callable[[Any], tuple[str, ...]]]] = [
        (headline(results), "", HEADLINE, _headline),
        (loss_split(results), ": success lost against true depth", LOSSES, _losses),
        (safe_speed(results), ": highest safe top speed", SPEEDS, _speeds),
    ]
    for label in dict.fromkeys(cell.environment for cell in results.product):
        for every, title, columns, values in found:
            rows = [row for row in every if row.cell.environment == label]
            if rows:
                yield _table(label + title, rows, columns, values)


def _table(
    title: str, rows: Sequence[Any], columns: tuple[str, ...], values: Callable[[Any], tuple[str, ...]]
) -> Table:
    names = _names([row.cell for row in rows])
    fixed = (Column(name, no_wrap=True) for name in columns)
    table = Table(*names, *fixed, title=title, title_style="bold")
    for row in rows:
        table.add_row(*(str(getattr(row.cell, name) or "-") for name in names), *values(row))
    return table


def _names(cells: Sequence[Cell]) -> list[str]:
    """What the cells differ by, the depth source in any case."""
    varied = [n for n in ("device", "refresh", "agent") if len({getattr(c, n) for c in cells} - {None}) > 1]
    return ["depth", *varied]


def _headline(row: HeadlineRow) -> tuple[str, ...]:
    age = row.means["depth_age_s"]
    return (
        _rate(row.success),
        f"{row.collided.value:.2f}",
        _figure(row.spl, ".2f"),
        _figure(row.means["streaming_delta1"], ".3f"),
        _figure(None if age is None else 1e3 * age, ".0f"),
    )


def _losses(row: LossRow) -> tuple[str, ...]:
    return tuple(_difference(part) for part in (row.lost, row.error, row.delay, row.both))


def _speeds(row: SafeSpeedRow) -> tuple[str, ...]:
    speed = f"{'>= ' if row.unsafe_mps is None else ''}{row.speed_mps:.2f}"
    if not row.speed_mps:
        speed = f"< {_figure(row.unsafe_mps, '.2f')}"
    return (
        speed if row.finished else f"{speed} (searching)",
        f"{row.low_mps:.2f} to {row.high_mps:.2f}",
        _figure(row.unsafe_mps, ".2f"),
        f"{len(row.tried)} x {row.tried[0][1].episodes}",
    )


def _rate(rate: Rate) -> str:
    return f"{rate.value:.2f} ({rate.low:.2f}-{rate.high:.2f})"


def _difference(difference: PairedDifference) -> str:
    return f"{difference.mean:+.2f}\n{difference.low:+.2f} {difference.high:+.2f}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
