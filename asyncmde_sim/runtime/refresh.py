"""Refresh policies: when the slow path, being free, starts again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RefreshView:
    """What a policy may look at when the slow path is free and a frame is waiting for it.

    Args:
        newest_index: Number of the waiting frame, the newest one; an episode's first frame is 0.
        last_index: Number of the frame that the last slow run started from; None before the first.
        turned_rad: Angle between the camera at those two frames; None where odometry is not known, or before
            the first run.
    """

    newest_index: int
    last_index: int | None
    turned_rad: float | None = None


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


@dataclass(frozen=True)
class WhenTurned:
    """Starts when the camera has turned since the last start's frame, and at the latest after some frames.

    Args:
        degrees: Angle from which it starts.
        most_frames: Camera frames after which it starts in any case.
    """

    degrees: float
    most_frames: int = 30

    def __post_init__(self) -> None:
        if not 0 < self.degrees <= 180:
            raise ValueError(f"the angle is {self.degrees} degrees, but it must lie above 0 and up to 180")

    def due(self, view: RefreshView) -> bool:
        """Whether it has turned enough, or is due in any case.

        Raises:
            ValueError: The frames do not say where they were taken from.
        """
        if view.last_index is None:
            return True
        if view.turned_rad is None:
            raise ValueError(
                "the refresh policy 'turned-D' needs to know how the camera turns, but the environment gives "
                "no info['T_odometry_camera']: use 'free' or 'every-N'"
            )
        late = view.newest_index - view.last_index >= self.most_frames
        return late or math.degrees(view.turned_rad) >= self.degrees


def parse_refresh(text: str) -> RefreshPolicy:
    """The policy called ``free``, ``every-N`` or ``turned-D``, such as ``every-10`` or ``turned-15``.

    Raises:
        ValueError: None of them.
    """
    if text == "free":
        return FreeRunning()
    match = re.fullmatch(r"(every|turned)-(\d+)", text)
    if match is None or int(match[2]) < 1:
        raise ValueError(
            f"unknown refresh policy {text!r}: use 'free' (whenever the slow path is free), 'every-N' with N "
            "at least 1 camera frame, such as 'every-10', or 'turned-D' with D at least 1 degree that the "
            "camera has turned, such as 'turned-15'"
        )
    return EveryN(int(match[2])) if match[1] == "every" else WhenTurned(float(match[2]))
