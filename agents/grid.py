"""An occupancy grid of the floor plan in the odometry frame, built from depth alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.envs.robots import RobotSpec

CELL_M = 0.05
SIZE = 960
"""Cells along each side: 24 m to each side of the start."""

LOW_M, LOW_SLOPE = 0.025, 0.012
"""What lies higher than this above the floor counts, more so with distance: depth errors grow with it."""

RANGE_M = 4.5
"""Farther hits are not entered: one pixel is then wider than a cell."""

NEAR_TOP_M = 0.32
"""Things at least this high show right in front of the robot; lower ones only from farther away."""

HIT, MISS, MOST, LEAST = 1.2, -0.5, 3.5, -2.0
"""Log-odds for a hit and a free view, and their bounds."""

SURELY_FREE, SURELY_M = -1.0, 2.5
"""A cell with these log-odds, seen from no farther, was free: what is in it later has moved there."""

FADE_PER_S, FADE_REACH_M = 0.5, 4.0
"""Log-odds that moved obstacles lose while they are not seen, around the robot: they may have gone on."""

ROBUST_RANK = 2
"""The third nearest pixel of a column is its obstacle: one stray pixel is not."""


class Scan:
    """The nearest obstacle in every image column, from one depth map.

    Args:
        depth: (H, W) planar depth in metres, 0 for none.
        rays: (H, W, 3) ray of each pixel in the camera frame, z = 1.
        T_body_camera: 4x4 pose of the camera in the body, whose origin is on the floor.
        top_m: Obstacles higher above the floor than this pass over the robot.
    """

    def __init__(
        self,
        depth: NDArray[np.float32],
        rays: NDArray[np.float32],
        T_body_camera: NDArray[np.float64],
        top_m: float,
    ) -> None:
        up = (rays @ T_body_camera[2, :3].astype(np.float32)).astype(np.float32)
        height = up * depth + np.float32(T_body_camera[2, 3])
        low = np.float32(LOW_M) + np.float32(LOW_SLOPE) * depth
        solid = (depth > 0) & (height > low) & (height < np.float32(top_m))
        ranges = np.where(solid, depth, np.float32(np.inf))
        self.depth = np.partition(ranges, ROBUST_RANK, axis=0)[ROBUST_RANK]
        """Planar depth (W,) of each column's obstacle; inf for none, 0 where the column says nothing."""
        near = solid & (depth < self.depth + np.float32(0.15))
        self.top = np.where(near, height, np.float32(0.0)).max(axis=0)
        """Height (W,) above the floor up to which that obstacle is seen."""
        self.depth[(depth > 0).mean(axis=0) < 0.1] = 0.0


class OccupancyGrid:
    """What the robot believes about the floor around its start.

    Args:
        robot: The robot; its camera must look ahead.
        rays: (H, W, 3) ray of each pixel in the camera frame, z = 1.
    """

    def __init__(self, robot: RobotSpec, rays: NDArray[np.float32]) -> None:
        self._rays = rays
        self._mount = robot.T_body_camera
        self._top_m = robot.body.height_m + 0.05
        self._columns = rays[rays.shape[0] // 2, :, 0].astype(np.float64)
        self._lowest_slope = -float((rays @ self._mount[2, :3].astype(np.float32)).min())
        self.log_odds = np.zeros((SIZE, SIZE), np.float32)
        self.seen = np.zeros((SIZE, SIZE), bool)
        self._was_free = np.zeros((SIZE, SIZE), bool)
        self._top = np.zeros((SIZE, SIZE), np.float32)

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Cells (SIZE, SIZE) that are believed to hold an obstacle, indexed by x and y."""
        return self.log_odds > 0

    @staticmethod
    def index(points: NDArray[np.float64]) -> NDArray[np.intp]:
        """Cells (..., 2) of points (..., 2), clamped to the grid."""
        return np.clip(np.floor(points / CELL_M).astype(np.intp) + SIZE // 2, 0, SIZE - 1)

    @staticmethod
    def centre(cells: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centres (..., 2) of cells (..., 2), metres."""
        return np.asarray((cells - SIZE // 2 + 0.5) * CELL_M, dtype=np.float64)

    def integrate(self, depth: NDArray[np.float32], pose: NDArray[np.float64]) -> None:
        """Enter one depth map, taken with the body at ``pose`` (4, 4) in the grid's frame."""
        scan = Scan(depth, self._rays, self._mount, self._top_m)
        camera = pose @ self._mount
        forward, right, eye = camera[:2, 2], camera[:2, 0], camera[:2, 3]
        hit = np.isfinite(scan.depth) & (scan.depth > 0) & (scan.depth < RANGE_M)
        reach = scan.depth[hit].astype(np.float64)
        points = eye + reach[:, None] * (forward + self._columns[hit][:, None] * right)
        cells = self.index(points)
        view = self._window(eye + forward * RANGE_M / 2, RANGE_M / 2 + 0.3)
        held = np.zeros((SIZE, SIZE), bool)
        held[cells[:, 0], cells[:, 1]] = True
        self._clear(scan, view, held[view], camera)
        x, y = cells.T
        self.log_odds[x, y] = np.minimum(self.log_odds[x, y] + HIT, MOST)
        self.seen[x, y] = True
        np.maximum.at(self._top, (x, y), scan.top[hit])

    def visit(self, position: NDArray[np.float64], radius_m: float) -> None:
        """Where the body is, is free."""
        view = self._window(position, radius_m + CELL_M)
        offsets = self._centres(view) - position
        inside = (offsets**2).sum(axis=-1) < radius_m**2
        self.log_odds[view][inside] = LEAST
        self.seen[view] |= inside
        self._was_free[view] |= inside

    def fade(self, position: NDArray[np.float64], duration_s: float) -> None:
        """Let what has moved to where it is, around ``position`` (2,), become uncertain with time."""
        view = self._window(position, FADE_REACH_M)
        grid = self.log_odds[view]
        moved = self._was_free[view] & (grid > 0)
        grid[moved] = np.maximum(grid[moved] - FADE_PER_S * duration_s, 0.0)
        self._top[view][moved & (grid <= 0)] = 0.0

    def forget(self, position: NDArray[np.float64], keep_m: float) -> None:
        """Drop every belief farther than ``keep_m`` from ``position`` (2,)."""
        view = self._window(position, keep_m)
        grids = (self.log_odds, self.seen, self._top)
        kept = [grid[view].copy() for grid in grids]
        self._was_free[...] = False
        for grid, values in zip(grids, kept, strict=True):
            grid[...] = 0
            grid[view] = values

    def room(self, position: NDArray[np.float64], reach_m: float) -> LocalRoom:
        """Distances to obstacles around ``position`` (2,), out to ``reach_m``."""
        return LocalRoom(self, self._window(position, reach_m))

    def _clear(
        self,
        scan: Scan,
        view: tuple[slice, slice],
        held: NDArray[np.bool_],
        camera: NDArray[np.float64],
    ) -> None:
        """Cells that a column sees past are free, as far as an obstacle of their height would show."""
        offsets = self._centres(view) - camera[:2, 3]
        ahead = offsets @ camera[:2, 2]
        aside = offsets @ camera[:2, 0]
        width = len(scan.depth)
        slope = aside / np.maximum(ahead, 1e-6)
        step = (self._columns[-1] - self._columns[0]) / (width - 1)
        column = np.rint((slope - self._columns[0]) / step).astype(np.intp)
        inside = (ahead > 0.1) & (ahead < RANGE_M) & (column >= 0) & (column < width)
        reach = scan.depth[np.where(inside, column, 0)]
        passed = inside & (ahead < reach - CELL_M) & ~held
        lowest = float(camera[2, 3]) - self._lowest_slope * ahead
        grid = self.log_odds[view]
        visible = passed & (lowest < np.where(grid > 0, self._top[view], NEAR_TOP_M) - 0.03)
        grid[visible] = np.maximum(grid[visible] + MISS, LEAST)
        self.seen[view] |= visible
        self._was_free[view] |= visible & (grid <= SURELY_FREE) & (ahead < SURELY_M)
        self._top[view][visible & (grid < 0)] = 0.0

    def _window(self, centre: NDArray[np.float64], reach_m: float) -> tuple[slice, slice]:
        low = self.index(centre - reach_m)
        high = self.index(centre + reach_m)
        return slice(low[0], high[0] + 1), slice(low[1], high[1] + 1)

    @staticmethod
    def _centres(view: tuple[slice, slice]) -> NDArray[np.float64]:
        x = (np.arange(view[0].start, view[0].stop) - SIZE // 2 + 0.5) * CELL_M
        y = (np.arange(view[1].start, view[1].stop) - SIZE // 2 + 0.5) * CELL_M
        return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)


class LocalRoom:
    """Distance to the nearest obstacle, and whether a place was seen, in one window of the grid."""

    def __init__(self, grid: OccupancyGrid, view: tuple[slice, slice]) -> None:
        self._low = np.array([view[0].start, view[1].start])
        occupied = grid.log_odds[view] > 0
        self._shape = occupied.shape
        self._seen = grid.seen[view]
        if occupied.any():
            self._room = ndimage.distance_transform_edt(~occupied) * CELL_M
        else:
            self._room = np.full(occupied.shape, 10.0)

    def at(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Distances (...) from points (..., 2) to the nearest obstacle's cell, and whether seen (...)."""
        cells = np.clip(OccupancyGrid.index(points) - self._low, 0, np.array(self._shape) - 1)
        x, y = cells[..., 0], cells[..., 1]
        return self._room[x, y], self._seen[x, y]
