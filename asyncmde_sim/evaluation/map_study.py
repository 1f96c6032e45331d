"""What depth is worth to a map and to a robot that explores with one, over many scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.map_log import MapLog
from asyncmde_sim.evaluation.map_runs import Setup
from asyncmde_sim.evaluation.records import Row, write_json
from asyncmde_sim.evaluation.rollout import Results, prepare, run
from asyncmde_sim.files import write_whole
from asyncmde_sim.metrics.statistics import PairedDifference, paired_bootstrap, wilson_interval
from asyncmde_sim.runtime.registry import DEVICELESS

KEY = ("seed", "depth", "device", "weighting")


class StudyFile:
    """Rows in a JSON file, rewritten whole after each, to be gone on with later.

    Args:
        file: The file; what is in it is kept.
        options: What all rows have in common.

    Raises:
        ValueError: The file's rows were made with other options, or it is not such a file.
    """

    def __init__(self, file: Path, options: Mapping[str, Any]) -> None:
        self._file = file
        self._options = dict(options)
        self.rows: list[Row] = []
        if not file.exists():
            return
        try:
            there = json.loads(file.read_text(encoding="utf-8"))
            before, self.rows = dict(there["options"]), list(there["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not a study's file: remove it, or give another --out") from error
        for name in sorted(before.keys() | self._options.keys()):
            if before.get(name) != self._options.get(name):
                raise ValueError(
                    f"{file} was made with {name} {before.get(name)!r}, not {self._options.get(name)!r}: "
                    "give another --out"
                )

    def has(self, **key: Any) -> bool:
        """Whether the row of a ``KEY`` is there."""
        return any(all(row[name] == key[name] for name in KEY) for row in self.rows)

    def add(self, row: Row) -> None:
        """Add a row, which holds its ``KEY``, and write the file."""
        self.rows.append(row)
        write_json({"options": self._options, "rows": self.rows}, self._file)


def explore(setup: Setup, config: RolloutConfig, folder: Path) -> Row:
    """One exploring episode: its metrics, the scores of the map, and the coverage at each second.

    Args:
        setup: The depth source and its device.
        config: Environment, agent and seed.
        folder: The map's files go there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rollout, results = prepare(config, config.seed), Results()
    maps = MapLog(folder, rollout.env, rollout.agent)
    try:
        run(rollout, 1, config.seed, results, [maps])
    finally:
        rollout.env.close()
    episode, steps = results.episode_rows[0], results.steps
    times_s = np.asarray(steps["time_ns"]) / 1e9
    seconds = np.arange(1, int(times_s[-1]) + 1)
    curve = np.asarray(steps["coverage"])[np.searchsorted(times_s, seconds - 1e-6)]
    names = ("scene", "success", "collided", "coverage", "mean_coverage", "duration_s")
    return {
        "seed": config.seed,
        "depth": setup.depth,
        "device": setup.device,
        **{name: episode[name] for name in names},
        **{name: maps.rows[0][name] for name in ("f_5cm", "f_10cm", "accuracy_m")},
        "coverage_by_second": curve.tolist(),
    }


@dataclass(frozen=True)
class Mean:
    """A mean over scenes with a 95 % bootstrap interval; ``missing`` scenes had no value."""

    value: float
    low: float
    high: float
    missing: int = 0


def mean_over(values: Iterable[float | None], resamples: int = 2000) -> Mean | None:
    """The mean over scenes of what is there; None if nothing is."""
    everything = list(values)
    there = np.array([value for value in everything if value is not None], dtype=np.float64)
    if not len(there):
        return None
    picks = np.random.default_rng(0).integers(len(there), size=(resamples, len(there)))
    low, high = np.quantile(there[picks].mean(axis=1), [0.025, 0.975])
    return Mean(float(there.mean()), float(low), float(high), len(everything) - len(there))


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by source, device and, where there are several, weighting, in order of appearance."""
    several = len({row["weighting"] for row in rows}) > 1
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        label = Setup(row["depth"], row["device"]).label
        grouped.setdefault(f"{label}, {row['weighting']}" if several else label, []).append(row)
    return grouped


def against(rows: Sequence[Row], name: str, **baseline: str) -> dict[str, PairedDifference]:
    """How much higher a score is than the baseline's in the same scenes, by group; none without pairs.

    Args:
        rows: What was measured.
        name: The score.
        baseline: What its key has instead, such as ``depth="foundation"``; the rest of the key is the same.
    """
    values = {tuple(row[part] for part in KEY): row[name] for row in rows}
    differences = {}
    for label, group in groups(rows).items():
        own = [row for row in group if any(row[part] != value for part, value in baseline.items())]
        keys = [tuple({**row, **baseline}[part] for part in KEY) for row in own]
        pairs = [(row[name], values.get(key)) for row, key in zip(own, keys, strict=True)]
        there = [(a, b) for a, b in pairs if a is not None and b is not None]
        if there:
            differences[label] = paired_bootstrap([a for a, _ in there], [b for _, b in there])
    return differences


def success(rows: Sequence[Row]) -> tuple[int, tuple[float, float]]:
    """Successes among exploring episodes, and their rate's 95 % interval (Wilson)."""
    count = sum(row["success"] for row in rows)
    return count, wilson_interval(count, len(rows))


def mean_curve(rows: Sequence[Row], seconds: int) -> NDArray[np.float64]:
    """Mean coverage (seconds + 1,) by time; after an episode's end it stays as it was."""
    curves = np.zeros((len(rows), seconds + 1))
    for curve, row in zip(curves, rows, strict=True):
        known = row["coverage_by_second"][:seconds]
        curve[1 : len(known) + 1] = known
        curve[len(known) + 1 :] = row["coverage"]
    return curves.mean(axis=0)


def plot_study(maps: Sequence[Row], explored: Sequence[Row], seconds: int, file: Path) -> None:
    """Draw map quality against lag, and coverage over time, and write the picture whole; needs ``plot``.

    Args:
        maps: Rows of the comparison of maps.
        explored: Rows of exploring episodes.
        seconds: How far the curves of coverage go.
        file: PNG, PDF or SVG.
    """
    from matplotlib.figure import Figure

    depths = list(dict.fromkeys(row["depth"] for row in (*maps, *explored)))
    devices = list(
        dict.fromkeys(row["device"] for row in (*maps, *explored) if row["depth"] not in DEVICELESS)
    )
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, group in groups(maps).items():
        depth, device = group[0]["depth"], group[0]["device"]
        f = mean_over(row["f_5cm"] for row in group)
        age = mean_over(row["content_age_ms"] for row in group)
        if f is None or age is None:
            continue
        mark = "*" if depth in DEVICELESS else "os^D"[devices.index(device) % 4]
        error = ([f.value - f.low], [f.high - f.value])
        colour = f"C{depths.index(depth)}"
        left.errorbar([age.value], [f.value], error, fmt=mark, color=colour, capsize=3, label=label)
    left.set(xlabel="content age of what is mapped, ms", ylabel="F-score at 5 cm")
    left.set_title("the same way, mapped")
    for group in groups(explored).values():
        depth, device = group[0]["depth"], group[0]["device"]
        style = "-" if depth in DEVICELESS else ("-", "--", ":", "-.")[devices.index(device) % 4]
        right.plot(
            mean_curve(group, seconds),
            style,
            color=f"C{depths.index(depth)}",
            label=Setup(depth, device).label,
        )
    right.set(xlabel="time, s", ylabel="floor truly seen, share", ylim=(0, 1), title="exploring")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    write_whole(file, lambda path: figure.savefig(path, dpi=150))
