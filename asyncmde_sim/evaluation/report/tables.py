"""The tables of a report, as its page and its Markdown show them alike."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.compute as pc

from asyncmde_sim.evaluation.report.gather import Findings
from asyncmde_sim.evaluation.suite import Cell
from asyncmde_sim.evaluation.suite.findings import HeadlineRow, Rate
from asyncmde_sim.metrics.statistics import PairedDifference

NONE = "–"
LOSS_PARTS = {
    "error": ("error alone", "#0072b2"),
    "delay": ("delay alone", "#d55e00"),
    "both": ("only both together", "#94a3b8"),
}
"""Parts of a loss, what they are called, and their colours."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Args:
        cell: The cell that it is about.
        texts: What it says, in each column.
        rate: A rate to be drawn in the second column.
    """

    cell: Cell
    texts: tuple[str, ...]
    rate: Rate | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names a cell within its environment.

    Args:
        columns: Titles.
        rows: As long as ``columns`` each.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def groups(self) -> dict[str, list[Row]]:
        """The rows of each environment."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.cell.environment, []).append(row)
        return found


def headline_table(found: Findings) -> Table:
    """Success, collisions, accuracy and ages of every cell, without columns of nothing."""
    texts = [(row, _headline_texts(found, row)) for row in found.headline]
    titles = texts[0][1] if texts else {}
    columns = [title for title in titles if any(own[title] != NONE for _, own in texts)]
    rows = [
        Row(row.cell, (found.short(row.cell), *(own[c] for c in columns)), row.success) for row, own in texts
    ]
    return Table(("", *columns), tuple(rows))


def _headline_texts(found: Findings, row: HeadlineRow) -> dict[str, str]:
    means = row.means
    coverage = pc.mean(found.results.episodes_of(row.cell)["coverage"]).as_py()
    return {
        "success": rate_text(row.success),
        "against true depth": NONE if row.versus_oracle is None else difference_text(row.versus_oracle),
        "collided": f"{row.collided.value:.2f}",
        "SPL": number(row.spl, ".2f"),
        "coverage": number(coverage, ".2f"),
        "δ1": number(means["delta1"], ".3f"),
        "δ1 now": number(means["streaming_delta1"], ".3f"),
        "AbsRel now": number(means["streaming_abs_rel"], ".3f"),
        "obstacles now": number(means["streaming_obstacle_abs_rel"], ".3f"),
        "depth age": milliseconds(means["depth_age_s"]),
        "content age": milliseconds(means["content_age_s"]),
        "lag": milliseconds(means["refresh_age_s"]),
        "slow runs": NONE if row.cell.device is None else f"{row.slow_runs_per_s:.1f} /s",
    }


def speed_table(found: Findings) -> Table:
    """The safe speeds."""
    rows = []
    for row in found.speeds:
        tried = ", ".join(f"{speed:.2f}: {rate.value:.2f}" for speed, rate in row.tried)
        episodes = str(row.tried[0][1].episodes)
        texts = (speed_text(row.speed_mps, row.unsafe_mps), f"{row.low_mps:.2f} to {row.high_mps:.2f}")
        rows.append(Row(row.cell, (found.short(row.cell), *texts, episodes, tried)))
    columns = ("safe speed, m/s", "95 % interval", "episodes at each", "tried, m/s: success")
    return Table(("", *columns), tuple(rows))


def loss_table(found: Findings) -> Table:
    """Where success was lost."""
    rows = []
    for row in found.losses:
        losses = (row.lost, row.error, row.delay, row.both)
        texts = (f"{row.oracle.value:.2f}", f"{row.success.value:.2f}", *map(difference_text, losses))
        rows.append(Row(row.cell, (found.short(row.cell), *texts, str(row.lost.pairs))))
    parts = (title for title, _ in LOSS_PARTS.values())
    columns = ("true depth", "success", "lost", *parts, "episodes")
    return Table(("", *columns), tuple(rows))


def rate_text(rate: Rate) -> str:
    """A rate with its interval and its number of episodes."""
    return f"{rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f}) of {rate.episodes}"


def difference_text(difference: PairedDifference) -> str:
    """A difference with its interval."""
    value, low, high = map(_signed, (difference.mean, difference.low, difference.high))
    return f"{value} ({low} to {high})"


def speed_text(speed_mps: float, unsafe_mps: float | None) -> str:
    """A safe speed; one that is only a bound says so."""
    if speed_mps == 0:
        return f"below {unsafe_mps:.2f}"
    return f"{speed_mps:.2f}" if unsafe_mps is not None else f"{speed_mps:.2f} or more"


def number(value: float | None, form: str) -> str:
    """A number in a format, or a dash."""
    return NONE if value is None else format(value, form)


def milliseconds(seconds: float | None) -> str:
    """A time in milliseconds, or a dash."""
    return NONE if seconds is None else f"{1e3 * seconds:.0f} ms"


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")
