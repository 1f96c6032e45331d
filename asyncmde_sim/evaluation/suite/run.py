"""Runs a suite into its folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from asyncmde_sim.evaluation.suite.plan import Plan
from asyncmde_sim.evaluation.suite.progress import SuiteProgress
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.work import Runner


def run_suite(
    store: Store,
    plan: Plan,
    runner: Runner,
    progress: SuiteProgress,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run what is left of a suite; every episode is kept as it ends.

    Args:
        store: Where to.
        plan: What is left.
        runner: Where the episodes are run.
        progress: Is told of everything.
        should_stop: Asked all the time; when true, what is running is given up.

    Raises:
        OSError: An episode cannot be kept; those before it are.
    """
    store.plan(plan.wanted)
    with closing(runner.run(plan.take)) as outcomes:
        for outcome in outcomes:
            if outcome is not None:
                job = outcome.job
                if outcome.row is None or outcome.steps is None:
                    store.fail(job.cell.key, outcome.traceback or "")
                    plan.failed(job)
                else:
                    store.add(job.cell.key, outcome.row, outcome.steps)
                    plan.ended(job, bool(outcome.row["success"]))
                    store.plan(plan.wanted)
                progress.ended(outcome)
            progress.show(plan.left)
            if should_stop():
                return
