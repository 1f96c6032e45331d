"""How well a robot got there. Lengths in metres, times in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def spl(success: bool, shortest_path_m: float, path_m: float) -> float:
    """Success weighted by path length, S l / max(l, p) (Anderson et al. 2018).

    Args:
        success: S.
        shortest_path_m: l, geodesic from start to goal.
        path_m: p, the length of the path driven.

    Raises:
        ValueError: A shortest path that is not finite and positive, or a path that is negative or not finite.
    """
    return float(success) * _path_efficiency(shortest_path_m, path_m)


def soft_spl(distance_to_goal_m: float, shortest_path_m: float, path_m: float) -> float:
    """SPL with the progress max(0, 1 - d_T / d_0) in place of success (habitat-lab).

    Args:
        distance_to_goal_m: d_T, geodesic at the end; ``inf`` (no way left) is no progress.
        shortest_path_m: d_0 = l, geodesic from start to goal.
        path_m: p, the length of the path driven.

    Raises:
        ValueError: As for ``spl``, or a distance that is negative or NaN.
    """
    if math.isnan(distance_to_goal_m) or distance_to_goal_m < 0:
        raise ValueError(f"distance_to_goal_m is {distance_to_goal_m}, but a distance is 0 or more")
    efficiency = _path_efficiency(shortest_path_m, path_m)
    return max(0.0, 1 - distance_to_goal_m / shortest_path_m) * efficiency


def path_excess(shortest_path_m: float, path_m: float) -> float:
    """How much longer than the shortest path the path was, p / l - 1; negative if it ended early.

    Raises:
        ValueError: As for ``spl``.
    """
    _path_efficiency(shortest_path_m, path_m)
    return path_m / shortest_path_m - 1


def _path_efficiency(shortest_path_m: float, path_m: float) -> float:
    if not (math.isfinite(shortest_path_m) and shortest_path_m > 0):
        raise ValueError(
            f"the shortest path is {shortest_path_m} m, but it must be finite and positive: "
            "refuse the episode when it is generated"
        )
    if not (math.isfinite(path_m) and path_m >= 0):
        raise ValueError(f"the path driven is {path_m} m, but it must be finite and 0 or more")
    return shortest_path_m / max(shortest_path_m, path_m)


def rate(outcomes: Sequence[bool]) -> float:
    """The share of episodes that succeeded, or that ended in a collision.

    Raises:
        ValueError: No episodes.
    """
    if len(outcomes) == 0:
        raise ValueError("a rate over 0 episodes is undefined: run at least one")
    return float(np.mean(np.asarray(outcomes, dtype=bool)))


def collisions_per_metre(collisions: int, path_m: float) -> float | None:
    """Collisions per metre driven over all episodes together; None if nothing moved.

    Raises:
        ValueError: A negative number of collisions, or a path that is not finite and 0 or more.
    """
    if collisions < 0:
        raise ValueError(f"the number of collisions is {collisions}, but it must be 0 or more")
    if not (math.isfinite(path_m) and path_m >= 0):
        raise ValueError(f"the path driven is {path_m} m, but it must be finite and 0 or more")
    return collisions / path_m if path_m > 0 else None


def min_time_to_collision(times_s: ArrayLike) -> float:
    """The smallest of an episode's times to collision (N,).

    Raises:
        ValueError: No times.
    """
    return float(np.min(_times(times_s)))


def time_under_ttc(times_s: ArrayLike, step_s: float, threshold_s: float = 1.0) -> float:
    """Seconds spent with a time to collision (N,), one per step of ``step_s``, under the threshold.

    Raises:
        ValueError: No times.
    """
    return float(np.count_nonzero(_times(times_s) < threshold_s) * step_s)


def _times(times_s: ArrayLike) -> np.ndarray:
    times = np.asarray(times_s, dtype=np.float64)
    if times.size == 0:
        raise ValueError("an episode without steps has no time to collision: take at least one step")
    return times
