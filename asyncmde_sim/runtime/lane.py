"""Computing ahead: what will be asked for later is computed while the simulation goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


class Lane:
    """A thread that runs what it is given, one after the other. Only results are ever waited for.

    A pickled copy has nothing to do.
    """

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run a function after all that was submitted before."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "depth")
        return self._executor.submit(function, *arguments)

    def wait(self) -> None:
        """Return when all that was submitted is done."""
        if self._executor is not None:
            self._executor.submit(lambda: None).result()

    def __getstate__(self) -> dict[str, Any]:
        return {"_executor": None}


class Done(Future[Result]):
    """A future whose result is there: what is left of any other in a pickle."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.set_result(result)

    def __reduce__(self) -> Any:
        return Done, (self.result(),)
