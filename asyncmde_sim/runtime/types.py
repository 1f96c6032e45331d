"""Frames, estimates and the interface of a depth source. Time is integer nanoseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics


@dataclass(frozen=True)
class View:
    """Where an image was taken from.

    Args:
        pose: 4x4 ``T_odometry_camera``, camera x right, y down, z forward, in any frame that drifts little
            within a second; z up, for ``FloorAlignment``.
        camera: The camera, for images of any size.
    """

    pose: NDArray[np.float64]
    camera: Intrinsics

    def __post_init__(self) -> None:
        if self.pose.shape != (4, 4) or not np.isfinite(self.pose).all():
            raise ValueError(f"pose is {self.pose.tolist()}, but a finite 4x4 matrix is needed")


@dataclass(frozen=True)
class RangeReadings:
    """Distances that a range sensor measured at some pixels of an image.

    Args:
        columns: (N,) pixels, 0 at the centre of the first column.
        rows: (N,) pixels.
        depth_m: (N,) metres along the camera's optical axis, 0 for none.
    """

    columns: NDArray[np.float64]
    rows: NDArray[np.float64]
    depth_m: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = {values.shape for values in (self.columns, self.rows, self.depth_m)}
        if len(shapes) > 1 or self.depth_m.ndim != 1:
            raise ValueError(
                f"range readings have shapes {self.columns.shape}, {self.rows.shape} and "
                f"{self.depth_m.shape}, but each has a column, a row and a depth: give three arrays (N,)"
            )
        if not (np.isfinite(self.columns).all() and np.isfinite(self.rows).all()):
            raise ValueError("the pixel of a range reading is not finite: leave such a reading out")
        bad = ~(np.isfinite(self.depth_m) & (self.depth_m >= 0))
        if bad.any():
            raise ValueError(
                f"a range reading is {self.depth_m[bad][0]} m, but it must be finite and not negative: give "
                "0 where nothing was measured"
            )

    @classmethod
    def from_rows(cls, rows: NDArray[np.floating]) -> RangeReadings:
        """Readings (N, 3) of column, row and depth.

        Raises:
            ValueError: The shape is another, or a reading is no good.
        """
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ValueError(
                f"range readings have shape {rows.shape}, but (N, 3) is needed: column, row, metres"
            )
        return cls(*np.array(rows.T, dtype=np.float64))


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Args:
        image: (H, W, 3) uint8.
        time_ns: Capture time.
        true_depth: (H, W) float32 metres, 0 for none; for the oracle and for scoring only.
        view: Where it was taken from, as the robot's odometry says; None where it has none.
        camera_height_m: Height of the camera above the floor, metres; None where the robot does not know it.
        ranges: What a range sensor measured at the same time; None where the robot has none.
    """

    image: NDArray[np.uint8]
    time_ns: int
    true_depth: NDArray[np.float32] | None = None
    view: View | None = None
    camera_height_m: float | None = None
    ranges: RangeReadings | None = None

    def __post_init__(self) -> None:
        height = self.camera_height_m
        if height is not None and not (math.isfinite(height) and height > 0):
            raise ValueError(
                f"camera_height_m is {height}, but a camera is above the floor it sees: give a finite, "
                "positive height, or None where it is unknown"
            )


@dataclass(frozen=True)
class Estimate:
    """A depth map and its times.

    Args:
        depth: (H, W) float32 metres along the optical axis, 0 for none.
        capture_ns: Capture time of the frame that it describes.
        available_ns: When it became available.
        memory_capture_ns: Capture time of the frame behind the memory's last refresh (without a memory:
            the frame that it describes).
        refresh_landed_ns: When that refresh landed (without a memory: ``available_ns``).
        trust: (h, w) float32 in [0, 1], the memory trust T of level 1, near 1 where the memory was kept;
            None for a source without a memory.
    """

    depth: NDArray[np.float32]
    capture_ns: int
    available_ns: int
    memory_capture_ns: int
    refresh_landed_ns: int
    trust: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class SourceCounts:
    """What a source has done since its last reset, up to the last time it was asked.

    Args:
        frames_seen: Frames that have arrived.
        frames_dropped: Frames that never get an estimate: the path that makes them (for ``async`` the fast
            path) was busy until a newer one came. ``seen = runs of that path + dropped + waiting (0 or 1)``.
        fast_runs: Runs of the fast path started.
        slow_runs: Runs of the slow path started.
    """

    frames_seen: int = 0
    frames_dropped: int = 0
    fast_runs: int = 0
    slow_runs: int = 0


class DepthSource(Protocol):
    """Takes frames and gives estimates, in simulated time."""

    def reset(self, seed: int | None = None) -> None:
        """Forget everything: memory, frames in flight, estimates, counts. ``seed`` draws latencies."""
        ...

    def offer(self, frame: Frame) -> None:
        """Take a frame at its capture time; times must increase."""
        ...

    def newest(self, now_ns: int) -> Estimate | None:
        """The newest estimate available at ``now_ns``, None before the first; ``now_ns`` never decreases."""
        ...

    @property
    def counts(self) -> SourceCounts:
        """Counts up to the last ``newest``."""
        ...
