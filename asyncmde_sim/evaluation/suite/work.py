"""One episode of a suite, wherever it is run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from asyncmde_sim.evaluation.records import Row
from asyncmde_sim.evaluation.rollout import Results, prepare, run_episode
from asyncmde_sim.evaluation.suite.cells import Cell

MOST_LOSSES = 3
"""A cell fails when its workers have died so often over one episode."""


@dataclass(frozen=True)
class Job:
    """An episode to run.

    Args:
        cell: Its cell.
        episode: Its number: that of its seed, from the suite's first on.
        seed: Its seed.
    """

    cell: Cell
    episode: int
    seed: int

    @property
    def scene(self) -> tuple[str, int]:
        """What jobs share that see the same scene, which their worker then has in memory."""
        return self.cell.environment, self.seed


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        job: The job.
        host_s: How long it took.
        row: Row of the episode table, and ...
        steps: ... table of its steps; or
        traceback: what it raised.
    """

    job: Job
    host_s: float = 0.0
    row: Row | None = None
    steps: pa.Table | None = None
    traceback: str | None = None


Take = Callable[[Job | None], Job | None]
"""Gives a worker its next job, given its last one; None while there is none."""


class Runner(Protocol):
    """Runs jobs, several at a time."""

    def run(self, take: Take) -> Generator[Outcome | None]:
        """The outcomes as they come, and None now and then while there are none.

        Ends when nothing is running and ``take`` has nothing. Closing the iterator gives up what is running.
        A job whose worker is lost is run again, up to ``MOST_LOSSES`` times in all.
        """
        ...


def run_job(job: Job) -> Outcome:
    """Run an episode. What it raises is its outcome."""
    begun = time.monotonic()
    results = Results()
    try:
        rollout = prepare(job.cell.config, job.seed)
        try:
            run_episode(rollout, rollout.first, job.episode, job.seed, results)
        finally:
            rollout.env.close()
    except Exception:  # a depth source of the user's own may raise anything
        return Outcome(job, time.monotonic() - begun, traceback=traceback.format_exc())
    return Outcome(job, time.monotonic() - begun, results.episode_rows[0], results.step_tables[0])


def lost(job: Job, reason: str) -> Outcome:
    """The outcome of a job that no worker has survived."""
    return Outcome(job, traceback=f"{MOST_LOSSES} workers died over seed {job.seed}, the last one: {reason}")
