"""Suites that need no run: what their cells would have found is made up."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from asyncmde_sim.evaluation.records import EPISODE_SCHEMA, STEP_SCHEMA, Row
from asyncmde_sim.evaluation.suite.cells import Cell
from asyncmde_sim.evaluation.suite.suite import Suite, parse_suite
from asyncmde_sim.evaluation.suite.work import Job, Outcome

SMALL = {
    "environments": ["IndoorStatic-v0"],
    "depth": ["oracle", "foundation", "async", "async-odometry"],
    "devices": ["orin-trt", "orin-torch"],
    "seeds": 4,
}
STEPS = 3


def made_up(job: Job, success: bool) -> tuple[Row, pa.Table]:
    """Row and steps of an episode."""
    row = {
        **dict.fromkeys(EPISODE_SCHEMA.names),
        "episode": job.episode,
        "seed": job.seed,
        "scene": f"scene-{job.seed}",
        "steps": STEPS,
        "success": success,
        "collided": not success,
        "duration_s": 2.0 + job.seed,
        "depth_age_s": 0.01 * job.seed,
        "frames_seen": STEPS + 1,
        "frames_dropped": 0,
        "slow_runs": 4,
        "fast_runs": 8,
    }
    steps = [
        {"episode": job.episode, "step": step + 1, "time_ns": step, "speed_mps": float(job.seed + step)}
        for step in range(STEPS)
    ]
    return row, pa.Table.from_pylist(steps, STEP_SCHEMA)


class FakeRunner:
    """Makes up outcomes, ``width`` at a time, those taken last first."""

    def __init__(self, success: Callable[[Cell, int], bool], width: int = 1) -> None:
        self.success, self.width = success, width
        self.ran: list[Job] = []

    def run(self, take):
        running: list[Job] = []
        while True:
            while len(running) < self.width and (job := take(None)) is not None:
                running.append(job)
            if not running:
                return
            job = running.pop()
            self.ran.append(job)
            try:
                row, steps = made_up(job, self.success(job.cell, job.seed))
            except RuntimeError as error:
                yield Outcome(job, traceback=f"Traceback\nRuntimeError: {error}")
                continue
            yield Outcome(job, 1.0, row, steps)


@pytest.fixture
def make_suite() -> Callable[..., Suite]:
    """A small suite, with other values of some keys."""
    return lambda **values: parse_suite({**SMALL, **values}, "small")
