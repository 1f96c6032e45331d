"""Runs episodes on a Ray cluster (extra ``ray``)."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Generator
from typing import Any

from asyncmde_sim.evaluation.suite.work import MOST_LOSSES, Job, Outcome, Take, lost, run_job

TICK_S = 0.25


class RayRunner:
    """Each episode is a task of one core and a share of a GPU; Ray runs it again where its worker is lost.

    Args:
        address: Of the cluster, such as ``auto`` or ``ray://HOST:10001``.
        gpus_per_run: Share of a GPU that one episode needs.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: There is no cluster at the address.
        ValueError: It has no core, or not enough of a GPU, for one episode.
    """

    def __init__(self, address: str, gpus_per_run: float = 0.0) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("--ray needs the extra ray: pip install 'asyncmde-sim[ray]'") from error
        self._ray = ray
        self._gpus = gpus_per_run
        paths = (os.getcwd(), os.environ.get("PYTHONPATH"))  # where models of the user's own are looked for
        variables = {
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
        _check_reachable(address)
        environment = {"env_vars": variables}
        ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.WARNING)
        there = ray.cluster_resources()
        most = int(there.get("CPU", 0))
        if gpus_per_run:
            most = min(most, int(there.get("GPU", 0) / gpus_per_run + 1e-9))
        if most < 1:
            raise ValueError(
                f"the Ray cluster at {address} has {there.get('CPU', 0):g} cores and {there.get('GPU', 0):g} "
                f"GPUs, but an episode needs 1 core and {gpus_per_run:g} GPUs: add a node, or give another "
                "gpus_per_run"
            )
        self.workers = most

    def run(self, take: Take) -> Generator[Outcome | None]:
        """See ``work.Runner``."""
        ray = self._ray
        task = ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=MOST_LOSSES - 1)(run_job)
        running: dict[Any, Job] = {}
        try:
            while True:
                while len(running) < self.workers and (job := take(None)) is not None:
                    running[task.remote(job)] = job
                if not running:
                    return
                ended, _ = ray.wait(list(running), timeout=TICK_S)
                if not ended:
                    yield None
                for reference in ended:
                    job = running.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        outcome = lost(job, str(error).splitlines()[0])
                    yield outcome
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=5).close()
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster at {address} ({error.strerror or error}): start one with ray start --head, or "
            "give another address"
        ) from error
