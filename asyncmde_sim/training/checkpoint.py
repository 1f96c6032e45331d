"""Where a training stands, in a file from which it can go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asyncmde_sim.files import write_whole

Log = Callable[[str, int, Mapping[str, float]], None]


def tensorboard_log(folder: Path) -> Log:
    """Writes scalars where TensorBoard reads them, one curve for each phase and measure.

    The folder is made with the first of them: a training that is refused leaves none.

    Raises:
        ValueError: The extra ``tensorboard`` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "logs for TensorBoard need the extra 'tensorboard': pip install 'asyncmde-sim[tensorboard]'"
        ) from error

    @cache
    def writer() -> SummaryWriter:
        return SummaryWriter(str(folder))

    def log(phase: str, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            writer().add_scalar(f"{phase}/{name}", value, step)
        writer().flush()

    return log


@dataclass(frozen=True)
class Position:
    """How far a phase of a training is.

    Args:
        step: Steps made.
        elapsed_s: Time that they took.
        done: Whether the phase is over.
    """

    step: int = 0
    elapsed_s: float = 0.0
    done: bool = False


class Checkpoint:
    """The state of some networks that are trained in phases, one after another.

    Args:
        networks: The networks, by name.
        file: Where the state is kept; None keeps none.
        resume: Whether to go on from the file.
        save_weights: Writes the networks for use, with every ``save`` and when it goes on from the file.
        log: Told the phase, its step and what was measured there, with every ``report``.

    Raises:
        FileNotFoundError: There is nothing to go on from.
        ValueError: The file is no checkpoint of these networks.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        file: Path | None = None,
        resume: bool = False,
        save_weights: Callable[[], None] = lambda: None,
        log: Log = lambda phase, step, scalars: None,
    ) -> None:
        self._networks = networks
        self._file = file
        self._save_weights = save_weights
        self._log = log
        self._phase = ""
        self._done: list[str] = []
        self._state = _read(file, networks) if resume and file is not None else None

    def enter(self, phase: str, optimiser: torch.optim.Optimizer) -> Position:
        """Begin a phase; if it was interrupted, put networks, optimiser and weights where they were.

        Raises:
            ValueError: The file is of another sequence of phases.
        """
        self._phase, state = phase, self._state
        if state is None:
            return Position()
        if phase != state["phase"]:
            if phase not in state["done"]:
                raise ValueError(
                    f"{self._file} knows no phase {phase!r}: go on with the recipe it was made by"
                )
            self._done.append(phase)
            return Position(done=True)
        for name, network in self._networks.items():
            network.load_state_dict(state["networks"][name])
        self._save_weights()
        position = Position(**state["position"])
        if position.done:
            self._done.append(phase)
        else:
            optimiser.load_state_dict(state["optimiser"])
        self._state = None
        return position

    def report(self, step: int, **scalars: float) -> None:
        """Log what was measured at a step of the present phase."""
        self._log(self._phase, step, scalars)

    def save(self, position: Position, optimiser: torch.optim.Optimizer) -> None:
        """Write state and weights, each file whole or not at all.

        The state comes first: a training that is killed in between has its weights written by ``enter``.
        """
        if position.done:
            self._done.append(self._phase)
        if self._file is not None:
            self._write(self._file, position, optimiser)
        self._save_weights()

    def _write(self, file: Path, position: Position, optimiser: torch.optim.Optimizer) -> None:
        state = {
            "phase": self._phase,
            "done": list(self._done),
            "position": vars(position),
            "networks": {name: network.state_dict() for name, network in self._networks.items()},
            "optimiser": {} if position.done else optimiser.state_dict(),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda path: torch.save(state, path))


def _read(file: Path, networks: Mapping[str, nn.Module]) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"there is no {file} to go on from: leave out --resume to start afresh")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{file} cannot be read ({error}): remove it and start afresh") from error
    if not isinstance(state, dict) or set(state.get("networks", ())) != set(networks):
        raise ValueError(f"{file} is no checkpoint of {', '.join(networks)}: remove it and start afresh")
    return state
