"""Episodes side by side in worker processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

Job = TypeVar("Job")
Result = TypeVar("Result")


class Workers:
    """Runs jobs in this process, or in several others that keep what they have loaded.

    Args:
        count: Processes; 1 is this one.
        console: Where the progress bar is shown.
    """

    def __init__(self, count: int, console: Console) -> None:
        if count < 1:
            raise ValueError(f"workers is {count}, but it must be 1 or more")
        self._console = console
        self._pool: ProcessPoolExecutor | None = None
        if count > 1:
            self._pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))

    def run(self, what: str, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """What the function returns for each job, as they end."""
        with progress_bar(self._console) as bar:
            task = bar.add_task(what, total=len(jobs))
            if self._pool is None:
                for job in jobs:
                    result = function(job)
                    bar.advance(task)
                    yield result
                return
            futures = [self._pool.submit(function, job) for job in jobs]
            try:
                for future in as_completed(futures):
                    bar.advance(task)
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def progress_bar(console: Console) -> Iterator[Progress]:
    """A bar with counts, time gone by and time left; it is taken away at the end."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        yield bar
