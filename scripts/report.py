"""Write the report of a suite's results: report.html, one page for a browser, and report.md.

Examples:

    python scripts/report.py runs/quick
    python scripts/report.py runs/full --hardest 6          # more of the hardest episodes, with videos
    python scripts/report.py runs/full --no-rerun           # none of them is run again
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its matrices are small: threads would wait

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.report import check_report, write_report
from asyncmde_sim.evaluation.suite import load_results


@dataclass(frozen=True)
class Report:
    """Write a report, of a suite that is finished or not.

    Args:
        results: Folder of a suite's results.
        hardest: How many of the hardest episodes to show.
        rerun: Run these again, for their videos and what was seen when they failed.
        out: Folder for the report; that of the results if none is given.
    """

    results: Annotated[Path, tyro.conf.Positional]
    hardest: int = 3
    rerun: bool = True
    out: Path | None = None

    def __post_init__(self) -> None:
        check_report()
        if self.hardest < 0:
            raise ValueError(f"hardest is {self.hardest}, but it must not be negative")

    def run(self) -> None:
        """Write the report."""
        folder = self.out or self.results
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}: make it first, or give another one")
        with Console(stderr=True).status("the report") as status:
            write_report(load_results(self.results), folder, self.hardest, self.rerun, status.update)
        print(f"Report: {folder / 'report.html'}, {folder / 'report.md'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(Report, Report.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
