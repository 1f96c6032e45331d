# ruff: noqa: E402
"""Agents on depth sources: what a policy trained on true depth loses on estimates, and one trained on them.

Examples:

    python scripts/compare_agents.py --out runs/agents                   # the shipped policies, 100 episodes
    python scripts/compare_agents.py --agents mine=runs/mine/policy avoid=avoid --out runs/mine-too

Episodes are the same for all, by seed. Results are kept as they come: what was interrupted goes on.
"""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS", "MKL"):  # one thread a worker; read when numpy loads
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from asyncmde_sim.evaluation.agent_comparison import (
    Cell,
    cell_figures,
    loss_difference,
    make_cells,
    rows_of,
    run_cells,
)
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.records import Row, write_json
from asyncmde_sim.evaluation.rollout import prepare
from asyncmde_sim.training.agents.jobs import progress_bar


@dataclass(frozen=True)
class CompareAgents:
    """Run every agent on every depth source on the same episodes of test scenes.

    Args:
        out: Folder of the results; what is there already is not run again.
        agents: Agents, each NAME=AGENT: a name for the table, and an agent's name or a policy's folder.
        sources: Depth sources, each DEPTH, or DEPTH@DEVICE where it runs on one. The first is what losses are
            counted from.
        episodes: Episodes of each cell.
        env: Environment.
        difficulty: Density of obstacles, 0 to 1.
        scene: One scene instead of the split's: a name, or a GLB, PLY or OBJ file.
        split: Scenes to draw from.
        image_size: Width and height of the camera's image, pixels.
        seed: Episode i of every cell is reset with seed + i.
        workers: Processes.
    """

    out: Path
    agents: tuple[str, ...] = ("oracle=learned-oracle", "async=learned-async", "avoid=avoid")
    sources: tuple[str, ...] = (
        "oracle",
        "async@orin-trt",
        "async@orin-torch-contended",
        "foundation@orin-trt",
    )
    episodes: int = 100
    env: str = "IndoorStatic-v0"
    difficulty: float = 0.0
    scene: str | None = None
    split: str = "test"
    image_size: tuple[int, int] = (128, 96)
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        for name in ("episodes", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be 1 or more")
        for text in self.agents:
            if len(text.split("=")) != 2 or not all(text.split("=")):
                raise ValueError(f"agent {text!r} is not NAME=AGENT: give such as mine=runs/mine/policy")
        if not self.sources:
            raise ValueError("sources is empty, but at least one is needed")

    @property
    def cells(self) -> list[Cell]:
        """Every agent on every source."""
        base = RolloutConfig(
            env=self.env,
            scene=self.scene,
            split=self.split,
            difficulty=self.difficulty,
            image_size=self.image_size,
            seed=self.seed,
        )
        agents = dict(text.split("=") for text in self.agents)
        parts = [text.partition("@") for text in self.sources]
        sources = [(depth, device or "orin-trt") for depth, _, device in parts]
        return make_cells(base, agents, sources)

    def run(self) -> None:
        """Run what is missing and print the table."""
        cells = self.cells
        for cell in {**{c.agent: c for c in cells}, **{c.source: c for c in cells}}.values():
            prepare(cell.config, self.seed).env.close()  # what is wrong shows before anything runs
        with progress_bar(Console(stderr=True)) as bar:
            task = bar.add_task("episodes", total=self.episodes * len(cells))
            for rows in run_cells(cells, self.episodes, self.out, self.workers):
                bar.update(task, completed=sum(map(len, rows.values())))
                self._write(cells, rows)
        rows = rows_of(cells, self.out, self.episodes)
        print_table(cells, rows, f"{self.env}, difficulty {self.difficulty:g}, {self.split} scenes")
        for line in self._write(cells, rows):
            print(line)
        print(f"Results: {self.out}")

    def _write(self, cells: Sequence[Cell], rows: Mapping[str, Sequence[Row]]) -> list[str]:
        figures = [cell_figures(cell, rows[cell.key]) for cell in cells if rows[cell.key]]
        told, differences = [], []
        agents, sources = (list(dict.fromkeys(getattr(c, n) for c in cells)) for n in ("agent", "source"))
        by = {(cell.agent, cell.source): cell for cell in cells}
        for source in sources[1:]:
            for other in agents[1:]:
                first, second = ((by[a, sources[0]], by[a, source]) for a in (agents[0], other))
                found = loss_difference(rows, first, second)
                if found is None:
                    continue
                differences.append({"source": source, "agents": [agents[0], other], **asdict(found)})
                told.append(
                    f"{source}: {agents[0]} loses {found.mean:+.2f} more success than {other} "
                    f"({found.low:+.2f} to {found.high:+.2f}, {found.pairs} episodes)"
                )
        write_json({"cells": figures, "loss_differences": differences}, self.out / "summary.json")
        return told


def print_table(cells: Sequence[Cell], rows: Mapping[str, Sequence[Row]], title: str) -> None:
    """One row for each agent; success with its interval, and the share of episodes that collided."""
    sources = list(dict.fromkeys(cell.source for cell in cells))
    table = Table("agent", *sources, title=f"success (95 %), collided: {title}")
    for agent in dict.fromkeys(cell.agent for cell in cells):
        shown = []
        for cell in (c for c in cells if c.agent == agent):
            if not rows[cell.key]:
                shown.append("-")
                continue
            figures = cell_figures(cell, rows[cell.key])
            low, high = figures["success_ci"]
            shown.append(
                f"{figures['success_rate']:.2f} ({low:.2f}-{high:.2f}), {figures['collision_rate']:.2f}"
                f"  n={figures['episodes']}"
            )
        table.add_row(agent, *shown)
    Console(width=150).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(CompareAgents, CompareAgents.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
