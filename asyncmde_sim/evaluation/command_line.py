"""How the scripts take their options: every refusal is one sentence on stderr and exit code 2."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import tyro

REFUSED = 2
INTERRUPTED = 128 + signal.SIGINT

Options = TypeVar("Options")


def parse(
    options: Callable[..., Options], description: str | None, arguments: Sequence[str] | None
) -> Options:
    """Options from a command line (the process's own if ``arguments`` is None).

    Args:
        options: A dataclass whose docstring has a section ``Args:``.
        description: Shown by ``--help``.
        arguments: See above.

    Raises:
        ValueError: The dataclass refuses a value.
    """

    return tyro.cli(errors_through(options), args=arguments, description=description)


def errors_through(options: Callable[..., Options]) -> Callable[..., Options]:
    """A dataclass as a function: tyro lets its errors through instead of drawing a box around them."""

    @functools.wraps(options)
    def make(*args: Any, **kwargs: Any) -> Options:
        return options(*args, **kwargs)

    return make


def run_command(
    options: Callable[..., Options],
    run: Callable[[Options], None],
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run what a command line asks for and return the exit code."""
    return exit_code(lambda: run(parse(options, description, arguments)))


def exit_code(run: Callable[[], None]) -> int:
    """Run a script to its exit code: a refusal is one sentence, and so is Ctrl-C."""
    try:
        run()
    except (ValueError, OSError, ImportError) as error:
        if isinstance(error, ImportError) and error.name:
            raise  # a broken installation, not a missing extra that the message names
        print(sentence(error), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print("Interrupted: what is written so far is whole.", file=sys.stderr)
        return INTERRUPTED
    return 0


def sentence(error: Exception) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM is noted in the list, for the next step to see; the second interrupts."""
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        if len(noted) == 2:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
