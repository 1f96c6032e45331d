"""Score the depth networks by lag on test scenes of the three environments.

python scripts/evaluate_depth.py
python scripts/evaluate_depth.py --weights runs/weights --json-file figures.json
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from asyncmde_sim.depth import load_engines
from asyncmde_sim.evaluation.depth_accuracy import SOURCES, score_by_lag
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.training.clips import read_shards
from asyncmde_sim.training.render import REGIMES, render_all, render_jobs

CYCLE = 10


@dataclass(frozen=True)
class EvaluateDepth:
    """Score the slow path, the fast path without memory and the asynchronous system, without alignment."""

    weights: str | None = None
    """Name or folder of weights; the shipped ones by default."""
    split: str = "test"
    """Split of the scenes."""
    scenes: int = 10
    """Scenes of each environment."""
    clips: int = 5
    """Clips a scene; each is one refresh cycle of 10 frames."""
    clip_folder: Path | None = None
    """Where to keep the rendered clips for another run; nowhere by default."""
    json_file: Path | None = None
    """File for the figures."""
    seed: int = 1

    def run(self) -> None:
        """Render, score, print a table, and write the figures."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.clip_folder or Path(temporary)
            jobs = render_jobs(self.split, self.scenes, self.clips, CYCLE, self.seed, folder)
            render_all(jobs, workers=2)
            engines = load_engines(self.weights)
            figures: dict[str, dict] = {}
            for regime in REGIMES:
                shards = read_shards(folder, prefix=f"{regime}-")
                figures[regime] = score_by_lag(shards, engines, max_range_m=20.0).summary()
        recoveries = [f["recovery"] for f in figures.values()]
        mean = sum(recoveries) / len(recoveries) if None not in recoveries else None
        _print(figures)
        if self.json_file:
            report = {"recovery": mean, "split": self.split, "cycle": CYCLE, "regimes": figures}
            write_json(report, self.json_file)


def _print(figures: dict[str, dict]) -> None:
    table = Table("environment", "source", "delta1", "AbsRel", "delta1 at lag 0", "at lag 9", "recovery")
    for regime, figure in figures.items():
        for source in SOURCES:
            by_lag = figure["delta1_by_lag"][source]
            recovery = figure["recovery"] if source == "async" else None
            table.add_row(
                regime,
                source,
                f"{figure['delta1'][source]:.3f}",
                f"{figure['abs_rel'][source]:.3f}",
                f"{by_lag[0]:.3f}",
                f"{by_lag[-1]:.3f}",
                "" if recovery is None else f"{recovery:.0%}",
            )
    Console(width=98).print(table)


if __name__ == "__main__":
    tyro.cli(EvaluateDepth, description=__doc__).run()
