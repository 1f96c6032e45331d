"""The parent's side of a worker process: its start, its requests, its shared memory and its end."""

from __future__ import annotations

import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.habitat.worker import HEADER_BYTES, frame_bytes, frame_views, receive, send

PYTHON_VARIABLE = "ASYNCMDE_HABITAT_PYTHON"
WORKER_FILE = Path(__file__).with_name("worker.py")
SILENCE_S = 30.0
"""A worker that neither answers nor beats for so long is given up ..."""
LOADING_S = 900.0
"""... and for so long where Habitat-Sim computes without a pause: loading, navigation meshes."""
_POLL_S = 0.25
_END_S = 2.0
_ERRORS: dict[str, type[Exception]] = {"value": ValueError, "import": ImportError, "runtime": RuntimeError}
_ALIVE: weakref.WeakSet[Worker] = weakref.WeakSet()


class WorkerLostError(ConnectionError):
    """The worker process died or hangs; its scene is gone, and a new worker has to take over."""


def default_python() -> str:
    """The interpreter that has Habitat-Sim: ``$ASYNCMDE_HABITAT_PYTHON``, or this one."""
    return os.environ.get(PYTHON_VARIABLE) or sys.executable


class Worker:
    """A worker process, ready for requests. It ends with this object, or with this process.

    Args:
        python: Interpreter that has Habitat-Sim.
        file: What it runs instead of ``worker.py``, by the same protocol.

    Raises:
        FileNotFoundError: There is no such interpreter.
        ImportError: It has no ``habitat_sim``.
        WorkerLostError: The process ended before it was ready.
    """

    def __init__(self, python: str | None = None, file: Path | None = None) -> None:
        self.python = python or default_python()
        self.scene: str | None = None
        """What it has loaded; for who uses it to note."""
        self._lost: str | None = None
        self._block = _shared_memory()
        os.ftruncate(self._block, HEADER_BYTES)
        self._memory: mmap.mmap | None = mmap.mmap(self._block, HEADER_BYTES)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._channel, theirs = socket.socketpair()
        arguments = [str(n) for n in (theirs.fileno(), self._block, os.getpid())]
        try:
            # Isolated: PYTHONPATH and the packages of the user's home are another interpreter's.
            self._process = subprocess.Popen(
                [self.python, "-I", str(file or WORKER_FILE), *arguments],
                pass_fds=(theirs.fileno(), self._block),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )
        except OSError as error:
            self._release()
            raise FileNotFoundError(
                f"{self.python} cannot be run ({error.strerror}): name the interpreter that has Habitat-Sim "
                f"with {PYTHON_VARIABLE}"
            ) from error
        finally:
            theirs.close()
        self._end = weakref.finalize(self, _stop, self._process)
        _ALIVE.add(self)
        try:
            self.about: dict[str, Any] = self._answer("started", LOADING_S)
        except ImportError as error:
            self.close()
            raise ImportError(
                f"{error}: install Habitat-Sim for it (see the README), or name an interpreter that has it "
                f"with {PYTHON_VARIABLE}"
            ) from error
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def lost(self) -> bool:
        """Whether it can answer no more."""
        return self._lost is not None

    def check(self) -> None:
        """Check that the worker can answer.

        Raises:
            WorkerLostError: It cannot; the message says why.
        """
        if self._lost is not None:
            raise WorkerLostError(self._lost)

    def request(self, op: str, patience_s: float = SILENCE_S, **arguments: Any) -> Any:
        """Ask the worker and wait for its answer.

        Args:
            op: A request of ``worker.HabitatSimulator``.
            patience_s: It is given up when it neither answers nor beats for so long.
            **arguments: The request's arguments, as JSON takes them.

        Raises:
            ValueError: The worker refuses the request; the message says why.
            RuntimeError: Habitat-Sim failed.
            WorkerLostError: The process died or hangs.
        """
        self.check()
        try:
            send(self._channel, {"op": op, **arguments})
        except OSError:
            self._give_up(op)
        return self._answer(op, patience_s)

    def frames(self, width: int, height: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Shared memory for ``count`` colour images and a depth image; see ``worker.frame_views``."""
        self.check()
        assert self._memory is not None
        size = frame_bytes(width, height, count)
        if size > len(self._memory):
            os.ftruncate(self._block, size)
            self._memory = mmap.mmap(self._block, size)
            self.request("map")
        return frame_views(self._memory, width, height, count)

    def close(self) -> None:
        """End the process and free what it held."""
        self._lost = self._lost or "the Habitat worker is closed: load the scene again"
        self._release()
        self._end()

    def _answer(self, op: str, patience_s: float) -> Any:
        beats, heard = self._beats(), time.monotonic()
        while not select.select([self._channel], [], [], _POLL_S)[0]:
            if self._beats() != beats:
                beats, heard = self._beats(), time.monotonic()
            elif time.monotonic() - heard > patience_s:
                self._give_up(op, f"has been silent for {patience_s:g} s")
        try:
            answer = receive(self._channel)
        except (EOFError, OSError):
            self._give_up(op)
        if "error" in answer:
            raise _ERRORS[answer["kind"]](answer["error"])
        return answer["ok"]

    def _beats(self) -> int:
        assert self._memory is not None
        return int.from_bytes(self._memory[:8], sys.byteorder)

    def _give_up(self, op: str, how: str | None = None) -> None:
        """Note that the worker is lost, clean up after it, and raise."""
        if how is None:
            try:
                how = _ending(self._process.wait(_END_S), self._last_line())
            except subprocess.TimeoutExpired:
                how = "closed its channel"
        self._lost = f"the Habitat worker (process {self.pid}) was lost at {op!r}: it {how}"
        self.close()
        raise WorkerLostError(self._lost)

    def _last_line(self) -> str:
        """What the process said last."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")

    def _release(self) -> None:
        _ALIVE.discard(self)
        self._channel.close()
        self._log.close()
        self._memory = None
        if self._block >= 0:
            os.close(self._block)
            self._block = -1


def _ending(code: int, said: str) -> str:
    """How a process ended, with what it said last unless it was killed."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"was killed ({name})" if name in ("SIGKILL", "SIGTERM") else f"crashed ({name}): {said}"
    return f"ended with exit code {code}: {said}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, by force if it does not end by itself. Nothing of it is worth keeping."""
    process.kill()
    process.wait()


def _shared_memory() -> int:
    """A file descriptor of memory without a name, which is gone with the last process that holds it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("asyncmde-frames")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _forget() -> None:
    """In a forked process: the workers are the parent's, and must not live as long as this copy does."""
    for worker in list(_ALIVE):
        worker._end.detach()
        worker._lost = "the Habitat worker belongs to the process that started it: load the scene again here"
        worker._release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
