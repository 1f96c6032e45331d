"""The way to the goal around everything seen so far: a coarse map of the episode and its travel times."""

from __future__ import annotations

import numpy as np
import skfmm
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, map_coordinates

from asyncmde_sim.agents.flight_memory import View

Array = NDArray[np.float64]

CELL_M = 0.35
AROUND_M = np.array([3.0, 5.0, 3.5])
"""The map reaches this far beyond start and goal."""
BLOCKED_PACE = 0.02
"""Speed through an occupied cell, of full speed: nothing has no way, but a wall is worth a long detour."""
BESIDE_PACE = 0.4
"""Speed through a cell beside an occupied one."""


class Guide:
    """Says how far it is to the goal from anywhere; what has not been seen counts as free.

    Args:
        start: Where the robot is, (3,) in the odometry frame.
        goal: Where it has to go, (3,).
    """

    def __init__(self, start: Array, goal: Array) -> None:
        low, high = np.minimum(start, goal) - AROUND_M, np.maximum(start, goal) + AROUND_M
        self._origin = low
        self._shape = np.ceil((high - low) / CELL_M).astype(int)
        self._occupied = np.zeros(self._shape, dtype=bool)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in self._shape), indexing="ij"), axis=-1)
        self._front = np.linalg.norm(low + (grid + 0.5) * CELL_M - goal, axis=-1) - CELL_M
        self.refresh()

    def add(self, view: View) -> None:
        """Mark the cells that a view's points lie in; unmark those that it sees through."""
        marked = np.argwhere(self._occupied)
        z, measured = view.depth_at(self._origin + (marked + 0.5) * CELL_M)
        through = marked[z + CELL_M < measured]
        self._occupied[tuple(through.T)] = False
        cells = np.floor((view.points - self._origin) / CELL_M).astype(int)
        cells = cells[((cells >= 0) & (cells < self._shape)).all(axis=1)]
        self._occupied[tuple(cells.T)] = True

    def refresh(self) -> None:
        """Recompute the travel times."""
        pace = np.ones(self._shape)
        pace[binary_dilation(self._occupied, np.ones((3, 3, 3)))] = BESIDE_PACE
        pace[self._occupied] = BLOCKED_PACE
        to_front = np.asarray(skfmm.travel_time(self._front, pace, dx=CELL_M))
        self._to_go = CELL_M + np.where(self._front > 0, to_front, self._front)

    def to_go(self, points: Array) -> Array:
        """Metres (N,) of unhindered flight that the way to the goal is worth, from ``points`` (N, 3)."""
        index = (points - self._origin) / CELL_M - 0.5
        inside = np.clip(index, 0, self._shape - 1)
        outside_m = CELL_M * np.linalg.norm(index - inside, axis=1)
        return map_coordinates(self._to_go, inside.T, order=1) + outside_m

    def direction(self, position: Array, reach_m: float = 2.0) -> Array:
        """Unit direction (3,) from ``position`` to where the best way is after ``reach_m``."""
        here = position
        for _ in range(round(reach_m / CELL_M)):
            around = here + CELL_M * NEIGHBOURS
            here = around[int(np.argmin(self.to_go(around)))]
        offset = here - position
        return offset / max(float(np.linalg.norm(offset)), 1e-9)


_GRID = np.stack(np.meshgrid(*([-1.0, 0.0, 1.0],) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
NEIGHBOURS = _GRID[_GRID.any(axis=1)] / np.linalg.norm(_GRID[_GRID.any(axis=1)], axis=1)[:, None]
"""Unit directions (26, 3) to the cells around a cell."""
