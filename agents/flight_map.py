"""What a flying robot has seen in an episode: a coarse map, and the way to the goal through it."""

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
HIT, PASS, MOST = 1.0, 1.0, 4.0
"""Evidence that a cell is occupied: gained by a point in it, lost by seeing through its middle; its most."""
BLOCKED_PACE = 0.02
"""Speed through an occupied cell, of full speed: nothing has no way, but a wall is worth a long detour."""
BESIDE_PACE = 0.4
"""Speed through a cell beside an occupied one."""
CLIMB_COST = 1.5
"""A metre up or down counts as this many: a camera that looks ahead does not see a steep way."""
VIEW_M = 6.0
"""Cells beyond this are not marked as passed: a view sees them too coarsely."""
ROOM_M, ROOM_BELOW_M = 1.0, 0.3
"""Start and goal have this much room around them and above, and below, seen or not."""
BEARINGS = np.radians(np.arange(0, 360, 2))
HEIGHT_M = 10.0
"""The floor is looked for this far below the start."""
FLOOR_SHARE, FLOOR_BIN_M = 0.02, 0.05
"""Of all near points ever seen, so many lie below the floor, by their error; heights are counted in bins."""


class Extent:
    """How far the seen world reaches: in every horizontal direction, down and up.

    The floor is not the lowest point: a floor that is estimated too far looks deeper than it is. It is where
    ``FLOOR_SHARE`` of the points lie below, but under everything that the robot has flown through.

    Args:
        places: Places (N, 3) that it certainly holds, with some room around them.
    """

    def __init__(self, places: Array) -> None:
        self._across = np.stack([np.cos(BEARINGS), np.sin(BEARINGS)])
        self._reach = (places[:, :2] @ self._across).max(0) + ROOM_M
        self._lowest_m = float(places[:, 2].min()) - ROOM_BELOW_M
        self._top_m = float(places[:, 2].max()) + ROOM_M
        self._heights = np.zeros(round(2 * HEIGHT_M / FLOOR_BIN_M))
        self._zero_m = float(places[0, 2]) - HEIGHT_M

    @property
    def floor_m(self) -> float:
        """Height of the floor, as far as it has been seen."""
        count = np.cumsum(self._heights)
        floor_m = self._zero_m + FLOOR_BIN_M * int(np.searchsorted(count, FLOOR_SHARE * count[-1], "right"))
        return min(floor_m, self._lowest_m)

    def add(self, points: Array, near: Array, position: Array) -> None:
        """Reach as far as ``points`` (N, 3); near ones (M, 3) show the floor; ``position`` is the robot."""
        self._lowest_m = min(self._lowest_m, float(position[2]) - ROOM_BELOW_M)
        bins = ((near[:, 2] - self._zero_m) / FLOOR_BIN_M).astype(int)
        count = len(self._heights)
        self._heights += np.bincount(np.clip(bins, 0, count - 1), minlength=count)
        if len(points):
            self._reach = np.maximum(self._reach, (points[:, :2] @ self._across).max(0))
            self._top_m = max(self._top_m, float(points[:, 2].max()))

    def holds(self, grid: Array) -> NDArray[np.bool_]:
        """Which of the points (X, Y, Z, 3) of an upright grid lie within it, (X, Y, Z)."""
        across = (grid[:, :, 0, :2] @ self._across <= self._reach).all(-1)
        height = grid[0, 0, :, 2]
        return across[..., None] & ((height >= self.floor_m) & (height <= self._top_m))


class CourseMap:
    """Which cells were seen free, which are occupied, and how far it is to the goal from anywhere.

    Cells beyond everything that was seen count as occupied: a way there would lead out of the room.

    Args:
        start: Where the robot is, (3,) in the odometry frame.
        goal: Where it has to go, (3,).
    """

    def __init__(self, start: Array, goal: Array) -> None:
        low, high = np.minimum(start, goal) - AROUND_M, np.maximum(start, goal) + AROUND_M
        self._origin = low
        self._shape = np.ceil((high - low) / CELL_M).astype(int)
        self._evidence = np.zeros(self._shape, dtype=np.float32)
        self._seen = np.zeros(self._shape, dtype=bool)
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in self._shape), indexing="ij"), axis=-1)
        self._centres = low + (grid + 0.5) * CELL_M
        self._front = np.linalg.norm(self._centres - goal, axis=-1) - CELL_M
        self._extent = Extent(np.array([start, goal]))
        self.refresh()

    def add(self, view: View, spread: float = 0.0) -> None:
        """Count cells with a view's near points as hit, those that it sees through as passed and seen.

        Near is where a depth that is off by ``spread``, in proportion to depth, is off by less than a cell.
        """
        eye = np.array([view.state.position - VIEW_M, view.state.position + VIEW_M])
        low, high = np.clip(self._index(eye), 0, self._shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        centres = self._centres[box]
        z, measured = (x.reshape(centres.shape[:3]) for x in view.depth_at(centres.reshape(-1, 3)))
        here = self._index(view.state.position)
        if ((here >= 0) & (here < self._shape)).all():
            self._seen[tuple(here)] = True
        self._seen[box] |= z + CELL_M / 2 < measured
        error_m = spread * np.linalg.norm(view.points - view.state.position, axis=1)
        near = view.points[error_m < CELL_M]
        cells = np.unique(self._index(near), axis=0)
        cells = cells[((cells >= 0) & (cells < self._shape)).all(axis=1)]
        hit = np.zeros(self._shape, dtype=bool)
        hit[tuple(cells.T)] = True
        passed = (z + CELL_M < measured) & (self._evidence[box] > 0) & ~hit[box]
        self._evidence[box] -= PASS * passed
        self._evidence[hit] = np.minimum(self._evidence[hit] + HIT, MOST)
        self._extent.add(np.concatenate([view.points, view.beyond]), near, view.state.position)

    @property
    def floor_m(self) -> float:
        """Height of the floor in the odometry frame, as far as it has been seen."""
        return self._extent.floor_m

    def refresh(self) -> None:
        """Recompute the travel times; what has not been seen counts as free."""
        occupied = self._evidence > 0
        pace = np.ones(self._shape)
        pace[binary_dilation(occupied, np.ones((3, 3, 3)))] = BESIDE_PACE
        pace[occupied | ~self._extent.holds(self._centres)] = BLOCKED_PACE
        spacing = CELL_M * np.array([1.0, 1.0, CLIMB_COST])
        to_front = np.asarray(skfmm.travel_time(self._front, pace, dx=spacing))
        self._to_go = CELL_M + np.where(self._front > 0, to_front, self._front)

    def seen_free(self, points: Array) -> NDArray[np.bool_]:
        """Whether the cells of ``points`` (N, 3) have been seen free, (N,)."""
        index = self._index(points)
        inside = ((index >= 0) & (index < self._shape)).all(axis=1)
        seen = np.zeros(len(points), dtype=bool)
        seen[inside] = self._seen[tuple(index[inside].T)]
        return seen

    def _index(self, points: Array) -> NDArray[np.intp]:
        return np.floor((points - self._origin) / CELL_M).astype(np.intp)

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
