"""Export an episode of a rollout or of a suite for other tools.

Examples:

    python scripts/export_run.py runs/IndoorStatic-v0-async-orin-trt-seed0
    python scripts/export_run.py runs/IndoorStatic-v0-async-orin-trt-seed0 --seed 3 --formats mcap rgbd
    python scripts/export_run.py runs/quick --cell 1f3a --seed 3 --formats trajectory
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.exports import FILES, check_formats, export_episode
from asyncmde_sim.evaluation.replay import PastEpisode, past_episode, past_episode_of
from asyncmde_sim.evaluation.suite import load_results


@dataclass(frozen=True)
class ExportRun:
    """Write what an episode's camera saw and where it was.

    Args:
        results: Folder of a rollout's or a suite's results.
        cell: Which cell of a suite: the beginning of its key, as the report's setup has it.
        seed: Seed of the episode; by default the first one.
        formats: trajectory (true path, TUM format, as evo reads it), rgbd (images, true depth and poses, TUM
            RGB-D layout), mcap (messages of ROS 2), rerun, video. All but the first run the episode again and
            write its path by odometry, too.
        out: Folder in which the episode's files become a folder; it must not be there already.
    """

    results: Annotated[Path, tyro.conf.Positional]
    cell: str | None = None
    seed: int | None = None
    formats: tuple[str, ...] = ("trajectory", "rgbd", "video")
    out: Path = Path("exports")

    def __post_init__(self) -> None:
        check_formats(self.formats)

    def run(self) -> None:
        """Write the files and say where they are."""
        past = self._past()
        folder = self.out / past.name
        changed = export_episode(past, folder, self.formats)
        for name in self.formats:
            print(f"{name}: {folder / FILES[name]}")
        if changed is not None:
            print(f"Not the same episode: {changed}.", file=sys.stderr)

    def _past(self) -> PastEpisode:
        if not (self.results / "cells.json").is_file():
            if self.cell is not None:
                raise ValueError(f"cell is {self.cell!r}, but {self.results} is not of a suite: leave it out")
            return past_episode(self.results, self.seed)
        results = load_results(self.results)
        fitting = [cell for key, cell in results.cells.items() if key.startswith(self.cell or "")]
        if len(fitting) != 1:
            cells = "; ".join(f"{key[:6]} ({cell.name})" for key, cell in results.cells.items())
            raise ValueError(
                f"cell is {self.cell!r}, with which {len(fitting)} of {len(results.cells)} keys begin: give "
                f"the beginning of one, {cells}"
            )
        return past_episode_of(results, fitting[0], self.seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(ExportRun, ExportRun.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
