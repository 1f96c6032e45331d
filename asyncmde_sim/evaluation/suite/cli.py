"""The command line of a suite: every refusal is one sentence on stderr and exit code 2."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import gymnasium as gym
import tyro
from rich.console import Console

from asyncmde_sim.evaluation.command_line import INTERRUPTED, REFUSED, parse, sentence, stop_signals
from asyncmde_sim.evaluation.suite.cells import Cell, check_cell
from asyncmde_sim.evaluation.suite.local import LocalRunner
from asyncmde_sim.evaluation.suite.merge import merge, read_parts
from asyncmde_sim.evaluation.suite.plan import Plan, fixed_cells
from asyncmde_sim.evaluation.suite.progress import SuiteProgress
from asyncmde_sim.evaluation.suite.results import Results, load_results
from asyncmde_sim.evaluation.suite.run import run_suite
from asyncmde_sim.evaluation.suite.store import Store, check_store, lock
from asyncmde_sim.evaluation.suite.suite import Suite, load_suite
from asyncmde_sim.evaluation.suite.tables import tables
from asyncmde_sim.evaluation.suite.work import Runner

FAILED = 1
"""Exit code when a cell has failed, or an episode could not be written."""

DESCRIPTION = """Run environments, depth sources, devices and agents on the same seeds, and compare them.

The same command goes on with a suite that was interrupted.

examples:

  python scripts/evaluate.py quick
      a first look: few seeds
  python scripts/evaluate.py my_suite.yaml --out results --workers 8
      a suite of your own
  python scripts/evaluate.py full --out part1 --shard 1/2
  python scripts/evaluate.py full --out whole --merge part1 part2
      on two machines, and their results together
"""


@dataclass(frozen=True)
class Evaluation:
    """Options of the command line.

    Args:
        suite: A YAML file, or the name of one of the package: quick, devices, indoor, extreme or full.
        out: Folder for the results; runs/SUITE if none is given.
        workers: Processes, which share the cores evenly; as many as cores if none is given.
        ray: Run on a Ray cluster instead: its address, such as auto or ray://HOST:10001 (extra ray).
        shard: Run only part I of N of the seeds, as I/N, to be merged with those of other machines.
        merge: Folders whose results go into --out first; they must be of this suite, code and weights.
        retry_failed: Run cells again that have failed.
    """

    suite: Annotated[str, tyro.conf.Positional]
    out: Path | None = None
    workers: int | None = None
    ray: str | None = None
    shard: str = "1/1"
    merge: tuple[Path, ...] = ()
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers is {self.workers}, but it must be 1 or more")
        _ = self.part

    @property
    def part(self) -> tuple[int, int]:
        """Index and number of the shards.

        Raises:
            ValueError: ``shard`` does not say them.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", self.shard)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"shard is {self.shard!r}, but it must be I/N with I from 1 to N, such as 1/2")
        return int(match[1]) - 1, int(match[2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    That is 0, 2 for a refusal, 1 when a cell has failed or an episode could not be written, 130 after Ctrl-C.
    """
    try:
        options = parse(Evaluation, DESCRIPTION, arguments)
        suite = load_suite(options.suite)
        folder = options.out or Path("runs") / suite.name
        check_store(folder, suite)
        fixed = fixed_cells(suite)
        for cell in unfinished(fixed, folder):
            check_cell(cell)
        runner, workers = _runner(options, suite)
        parts = read_parts(folder, suite, options.merge) if options.merge else []
        writing = lock(folder)
        store = Store(folder, suite)
        merge(parts, store)
        if options.retry_failed:
            store.forget_failures()
        plan = Plan(suite, fixed, load_results(folder), options.part)
    except (ValueError, OSError, ImportError, gym.error.Error) as error:
        if isinstance(error, ImportError) and error.name:
            raise  # a broken installation, not a missing extra that the message names
        print(sentence(error), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Interrupted before the first episode.", file=sys.stderr)
        return INTERRUPTED
    with writing:
        return _run(store, plan, runner, workers)


def unfinished(cells: Iterable[Cell], folder: Path) -> list[Cell]:
    """The cells whose episodes are not all in the folder, which need not exist."""
    if not (folder / "cells.json").is_file():
        return list(cells)
    results = load_results(folder)
    return [c for c in cells if c.key not in results.cells or results.status(c.key) != "done"]


def _runner(options: Evaluation, suite: Suite) -> tuple[Runner, int]:
    if options.ray is not None:
        from asyncmde_sim.evaluation.suite.on_ray import RayRunner

        runner = RayRunner(options.ray, suite.gpus_per_run)
        return runner, runner.workers
    workers = options.workers or len(os.sched_getaffinity(0))
    return LocalRunner(workers, suite.gpus_per_run), workers


def _run(store: Store, plan: Plan, runner: Runner, workers: int) -> int:
    folder, problem = store.folder, ""
    progress = SuiteProgress(Console(stderr=True), store.episodes, workers)
    with stop_signals() as stops:
        try:
            run_suite(store, plan, runner, progress, lambda: bool(stops))
            store.fold()
        except OSError as error:
            problem = f"{folder}: {os.strerror(error.errno)}" if error.errno else sentence(error)
        except KeyboardInterrupt:
            pass  # the second signal: the parts are read as they are
        finally:
            progress.close()
    results = load_results(folder)
    _tell(results, progress.pace)
    if problem or stops:
        ended = f"{results.episodes.num_rows} episodes are kept, and the same command goes on from there"
        print(f"{problem or 'Interrupted'}: {ended}.", file=sys.stderr)
        return 128 + stops[0] if stops else FAILED
    for key, text in results.failures.items():
        last = text.strip().splitlines()[-1]
        print(f"Failed: {results.cells[key].name}: {last} (traceback in cells.json)", file=sys.stderr)
    if progress.pace or not (folder / "report.html").is_file():
        try:
            _report(results)
        except OSError as error:
            print(f"No report: {sentence(error)}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print(f"Interrupted: all results are there, python scripts/report.py {folder} reports on them.")
            return INTERRUPTED
    return FAILED if results.failures else 0


def _report(results: Results) -> None:
    from asyncmde_sim.evaluation.report import check_report, write_report  # only where there is something new

    try:
        check_report()
    except ValueError as error:
        print(f"{error}, and then python scripts/report.py {results.folder}", file=sys.stderr)
        return
    write_report(results, results.folder)
    print(f"Report: {results.folder / 'report.html'}")


def _tell(results: Results, pace: str) -> None:
    console = Console()
    for table in tables(results):
        console.print(table)
    if pace:
        print(pace)
    print(f"Results: {results.folder}", flush=True)
