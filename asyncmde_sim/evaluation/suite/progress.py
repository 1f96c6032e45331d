"""What a suite shows while it runs: one live line, or a line now and then where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from asyncmde_sim.evaluation.suite.cells import Cell
from asyncmde_sim.evaluation.suite.work import Job, Outcome

EVERY_S = 30.0
"""Time between two lines where there is no terminal."""


class SuiteProgress:
    """Episodes so far, how many arrived, and the time left, from how long episodes like those left took.

    Args:
        console: Where to.
        done: Episodes that were there already.
        workers: How many episodes run at once.
    """

    def __init__(self, console: Console, done: int, workers: int) -> None:
        self._console, self._workers = console, workers
        self._before = done
        self._ended = self._arrived = self._failed = 0
        self._costs: dict[tuple[str, str, str], list[float]] = {}
        self._begun = self._shown = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, transient=True, refresh_per_second=4)
            self._live.start()

    def ended(self, outcome: Outcome) -> None:
        """An episode has ended, or failed, which is told of."""
        if outcome.row is None:
            self._failed += 1
            last = (outcome.traceback or "").strip().splitlines()[-1]
            self.tell(f"failed: {outcome.job.cell.name}, seed {outcome.job.seed}: {last}")
            return
        self._ended += 1
        self._arrived += bool(outcome.row["success"])
        self._costs.setdefault(_kind(outcome.job.cell), []).append(outcome.host_s)

    def show(self, left: Sequence[Job]) -> None:
        """Show how far it is; ``left`` are the episodes that have not ended."""
        if self._live is None and time.monotonic() - self._shown < EVERY_S:
            return
        self._shown = time.monotonic()
        done = self._before + self._ended
        parts = [f"{done} of {done + len(left)} episodes"]
        if self._ended:
            parts.append(f"{self._arrived} of {self._ended} arrived")
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._costs:
            parts.append(f"about {_duration(self.left_s(left))} left")
        line = "  ".join(parts)
        if self._live is None:
            self.tell(line)
        else:
            self._live.update(Text(line))

    def left_s(self, left: Sequence[Job]) -> float:
        """Time that these episodes will take, seconds."""
        every = [cost for costs in self._costs.values() for cost in costs]
        mean = sum(every) / len(every) if every else 0.0
        kinds = {kind: sum(costs) / len(costs) for kind, costs in self._costs.items()}
        return sum(kinds.get(_kind(job.cell), mean) for job in left) / self._workers

    @property
    def pace(self) -> str:
        """How many episodes have been run, and how fast; empty if none has."""
        if not self._ended:
            return ""
        seconds = time.monotonic() - self._begun
        hourly, workers = 3600 * self._ended / seconds, f"{self._workers} worker{'s' * (self._workers > 1)}"
        return f"{self._ended} episodes in {_duration(seconds)}, {hourly:.0f} an hour on {workers}"

    def tell(self, line: str) -> None:
        """A lasting line."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()


def _kind(cell: Cell) -> tuple[str, str, str]:
    return cell.environment, cell.depth, cell.treatment


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
