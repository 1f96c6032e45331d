"""Runs episodes in processes of this machine, each on cores of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from asyncmde_sim.evaluation.suite.work import MOST_LOSSES, Job, Outcome, Take, lost, run_job

TICK_S = 0.25


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None
    last: Job | None = None


class LocalRunner:
    """Processes that share the machine's cores evenly: one has ``cores / workers`` of them, at least one.

    A library's threads stay on the cores of their process. ``OPENBLAS_NUM_THREADS`` and the like should be 1
    in this one, which they are read from.

    Args:
        workers: How many processes.
        gpus_per_run: Share of a GPU that one episode needs.

    Raises:
        ValueError: There are not so many workers or GPUs.
    """

    def __init__(self, workers: int, gpus_per_run: float = 0.0) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, but it must be 1 or more")
        self._gpus = _gpus(workers, gpus_per_run)
        self._cores = cores_of(workers, sorted(os.sched_getaffinity(0)))
        self._context = multiprocessing.get_context("spawn")

    def run(self, take: Take) -> Generator[Outcome | None]:
        """See ``work.Runner``."""
        losses: Counter[tuple[str, int]] = Counter()
        again: list[Job] = []
        workers: list[_Worker | None] = [None] * len(self._cores)
        try:
            while True:
                for index, worker in enumerate(workers):
                    if worker is None or worker.job is None:
                        job = again.pop() if again else take(None if worker is None else worker.last)
                        if job is not None:
                            workers[index] = self._give(job, worker, index)
                busy = {w.pipe: w for w in workers if w is not None and w.job is not None}
                if not busy:
                    return
                ready = [busy[pipe] for pipe in wait(list(busy), TICK_S) if isinstance(pipe, Connection)]
                if not ready:
                    yield None
                for worker in ready:
                    job, worker.job = worker.job, None
                    assert job is not None
                    try:
                        yield worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join()
                        workers[workers.index(worker)] = None
                        losses[job.cell.key, job.seed] += 1
                        if losses[job.cell.key, job.seed] < MOST_LOSSES:
                            again.append(job)
                        else:
                            yield lost(job, f"exit code {worker.process.exitcode}")
        finally:
            left = [worker.process for worker in workers if worker is not None]
            for process in left:
                process.kill()
            for process in left:
                process.join()

    def _give(self, job: Job, worker: _Worker | None, index: int) -> _Worker:
        if worker is None or not worker.process.is_alive():
            worker = self._start(index)
        worker.job = worker.last = job
        with contextlib.suppress(OSError):  # it has just died, which reading from it will tell
            worker.pipe.send(job)
        return worker

    def _start(self, index: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._gpus[index]), daemon=True)
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self._cores[index])
        try:
            process.start()
        finally:
            os.sched_setaffinity(0, before)
        theirs.close()
        return _Worker(process, ours)


def cores_of(workers: int, cores: list[int]) -> list[set[int]]:
    """The cores of each worker: all have as many, and none shares one with another where there are enough."""
    share = max(1, len(cores) // workers)
    return [{cores[(index * share + i) % len(cores)] for i in range(share)} for index in range(workers)]


def _serve(pipe: Connection, gpu: int | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one decides
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    try:
        while True:
            pipe.send(run_job(pipe.recv()))
    except (EOFError, BrokenPipeError):
        pass  # the first process is gone


def _gpus(workers: int, share: float) -> list[int | None]:
    if not share:
        return [None] * workers
    import torch

    there = torch.cuda.device_count()
    most = int(there / share + 1e-9)
    if most < workers:
        raise ValueError(
            f"gpus_per_run is {share:g} and this machine has {there} GPUs, which is enough for {most} "
            f"workers, not {workers}: give fewer --workers, or another gpus_per_run"
        )
    return [int(index * share + 1e-9) for index in range(workers)]
