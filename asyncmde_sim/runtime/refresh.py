"""Refresh policies: when the slow path, being free, starts again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RefreshView:
    """What a policy may look at when the slow path is free and a frame is waiting for it.

    Args:
        newest_index: Number of the waiting frame, the newest one; an episode's first frame is 0.
        last_index: Number of the frame that the last slow run started from; None before the first.
    """

    newest_index: int
    last_index: int | None


class RefreshPolicy(Protocol):
    """Decides whether the free slow path starts on the newest frame now. Asked at every arrival and landing.

    It must be a function of the view alone, so that an episode leaks nothing into the next.
    """

    def due(self, view: RefreshView) -> bool:
        """Whether to start."""
        ...


@dataclass(frozen=True)
class FreeRunning:
    """Starts on the newest frame whenever the slow path is free."""

    def due(self, view: RefreshView) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class EveryN:
    """Starts on frames 0, N, 2N, ...; if busy then, on the newest frame when it becomes free.

    Args:
        frames: N, counted in camera frames, at least 1.
    """

    frames: int

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"the refresh interval is {self.frames} frames, but it must be at least 1")

    def due(self, view: RefreshView) -> bool:
        """Whether a multiple of N has arrived since the frame of the last start."""
        return view.last_index is None or view.newest_index // self.frames > view.last_index // self.frames


def parse_refresh(text: str) -> RefreshPolicy:
    """The policy called ``free`` or ``every-N``, such as ``every-10``.

    Raises:
        ValueError: Neither of them.
    """
    if text == "free":
        return FreeRunning()
    match = re.fullmatch(r"every-(\d+)", text)
    if match is None or int(match[1]) < 1:
        raise ValueError(
            f"unknown refresh policy {text!r}: use 'free' (whenever the slow path is free) or 'every-N' "
            "with N at least 1 camera frame, such as 'every-10'"
        )
    return EveryN(int(match[1]))
