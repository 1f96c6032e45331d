"""Paths through free space: geodesic descent, smoothing, positions along a way."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.backend import DistanceField, RobotBody, SceneBackend

TOUCH_M = 0.01
"""A path is free where the body keeps more than this from every surface."""


def _directions(flies: bool) -> NDArray[np.float64]:
    if not flies:
        angles = np.arange(32) * (2 * math.pi / 32)
        return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    k = np.arange(96)
    z = 1 - (2 * k + 1) / len(k)
    angles = math.pi * (3 - math.sqrt(5)) * k
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(angles), flat * np.sin(angles), z], axis=1)


_STEPS = {flies: _directions(flies) for flies in (False, True)}


def geodesic_path(
    field: DistanceField,
    start: NDArray[np.float64],
    goal: NDArray[np.float64],
    flies: bool,
    step_m: float = 0.15,
) -> NDArray[np.float64] | None:
    """Points (N, 3) that descend a distance field from ``start`` to ``goal``; None if they get stuck."""
    here = np.asarray(start, dtype=np.float64)
    points = [here]
    left = float(field(here[None])[0])
    if not math.isfinite(left):
        return None
    for _ in range(int(3 * left / step_m) + 20):
        if np.linalg.norm(goal - here) <= 1.5 * step_m:
            return np.array([*points, goal])
        around = here + step_m * _STEPS[flies]
        ways = field(around)
        best = int(np.argmin(ways))
        if not ways[best] < left:
            return None
        here, left = around[best], float(ways[best])
        points.append(here)
    return None


def smooth_path(
    points: NDArray[np.float64], backend: SceneBackend, body: RobotBody, rounds: int = 4
) -> NDArray[np.float64] | None:
    """The path with its corners rounded wherever that keeps it free; None if it is not free even as it was.

    The ends stay. Points are close together, so that a path whose points are free is free.
    """
    smooth = points
    for _ in range(rounds):
        smooth = np.concatenate([points[:1], (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4, points[-1:]])
    touches = backend.clearance(smooth, body) <= TOUCH_M
    smooth[touches] = points[touches]
    if touches.any() and (backend.clearance(points[touches], body) <= TOUCH_M).any():
        return None
    return smooth


class Way:
    """Positions along a polyline (N, 3) by the distance walked from its start."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
        keep = np.concatenate([[True], lengths > 1e-9])
        self._points = points[keep]
        self._at = np.concatenate([[0.0], np.cumsum(lengths[lengths > 1e-9])])
        if len(self._points) < 2:
            raise ValueError("a way needs at least two different points")

    @property
    def length(self) -> float:
        """Length in metres."""
        return float(self._at[-1])

    def position(self, distance: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Positions (..., 3) at distances (...) from the start, clamped to the way."""
        return np.stack([np.interp(distance, self._at, self._points[:, k]) for k in range(3)], axis=-1)

    def direction(self, distance: float, span_m: float = 0.3) -> NDArray[np.float64]:
        """Unit direction (3,) of the way, averaged over ``span_m`` around a distance."""
        behind, beyond = self.position(np.array([distance - span_m / 2, distance + span_m / 2]))
        chord = beyond - behind
        return chord / max(float(np.linalg.norm(chord)), 1e-9)
