"""What a rollout shows in the terminal: live progress, and one table at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.video import outcome


class Progress:
    """A live line with episode, step, speed, success so far and time left; one lasting line per episode.

    Args:
        console: Where to; the live line is left out where it is not a terminal.
        episodes: How many there will be.
    """

    def __init__(self, console: Console, episodes: int) -> None:
        self._console = console
        self._episodes = episodes
        self._ended = self._arrived = self._steps = self._all_steps = 0
        self._begun = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, transient=True, refresh_per_second=4)
            self._live.start()

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Start an episode."""
        self._episode, self._steps = episode, 0

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Show a step."""
        self._steps += 1
        self._all_steps += 1
        self._outcome = outcome(info)
        if self._live is None:
            return
        rate = self._all_steps / max(time.monotonic() - self._begun, 1e-9)
        so_far = f"{self._arrived} of {self._ended} arrived" if self._ended else "none ended yet"
        self._live.update(
            Text(
                f"episode {self._episode + 1}/{self._episodes}  step {self._steps}  {rate:.1f} steps/s  "
                f"{info['speed']:.1f} m/s  {so_far}  {self._time_left()}"
            )
        )

    def end(self, row: Mapping[str, Any]) -> None:
        """Leave a line about the episode."""
        self._ended += 1
        self._arrived += row["success"]
        self._console.print(
            f"episode {row['episode'] + 1}/{self._episodes}  {self._outcome:8}  "
            f"{row['duration_s']:5.1f} s  {row['steps']:4d} steps  {_task_figure(row)}  {row['scene']}",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()

    def _time_left(self) -> str:
        if not self._ended:
            return ""
        each = (time.monotonic() - self._begun) * self._ended / (self._ended + 0.5) / self._ended
        return f"about {math.ceil(each * (self._episodes - self._ended))} s left"


def summary_table(config: RolloutConfig, summary: Mapping[str, Any]) -> Table:
    """The table at the end; it fits 80 columns."""
    title = f"{config.env}: {config.depth} depth on {config.charged}, agent {config.agent}"
    table = Table(title=title, title_style="bold", show_header=False, min_width=60)
    table.add_column(style="cyan")
    table.add_column()
    table.add_column()
    episodes = summary["episodes"]

    def rate_row(name: str, rate: str, interval: str) -> None:
        low, high = summary[interval]
        count = round(summary[rate] * episodes)
        table.add_row(
            name, f"{summary[rate]:.2f}  ({count} of {episodes})", f"95 % in [{low:.2f}, {high:.2f}]"
        )

    rate_row("success", "success_rate", "success_ci")
    rate_row("collisions", "collision_rate", "collision_ci")
    if summary["coverage"] is None:
        table.add_row("SPL", _figure(summary["spl"], ".2f"), f"SoftSPL {_figure(summary['soft_spl'], '.2f')}")
    else:
        over_time = f"over time {_figure(summary['mean_coverage'], '.2f')}"
        table.add_row("coverage", _figure(summary["coverage"], ".2f"), over_time)
    clearance = f"least clearance {_figure(summary['min_clearance_m'], '.2f')} m"
    table.add_row("time", f"{_figure(summary['duration_s'], '.1f')} s", clearance)
    table.add_section()
    for name, key in (("AbsRel", "abs_rel"), ("delta1", "delta1"), ("obstacles", "obstacle_abs_rel")):
        now = f"streaming {_figure(summary[f'streaming_{key}'], '.3f')}"
        table.add_row(name, f"model {_figure(summary[key], '.3f')}", now)
    ages = {name: _figure(summary[f"{name}_age_ms"], ".0f") for name in ("depth", "content", "refresh")}
    table.add_row("depth", f"{ages['depth']} ms old", "")
    table.add_row("memory", f"content {ages['content']} ms old", f"refresh {ages['refresh']} ms ago")
    table.add_section()
    table.add_row("frames", f"{summary['frames_seen']} seen", f"{summary['frames_dropped']} dropped")
    table.add_row("runs", f"{summary['slow_runs']} slow path", f"{summary['fast_runs']} fast path")
    table.add_row("host", f"{_figure(summary['steps_per_s'], '.1f')} steps/s", f"{summary['steps']} steps")
    return table


def _task_figure(row: Mapping[str, Any]) -> str:
    return f"SPL {row['spl']:.2f}" if row["coverage"] is None else f"coverage {row['coverage']:.2f}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)
