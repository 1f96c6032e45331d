"""Where a robot can drive, as a map shows it: a floor plan with distances to obstacles."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.mapping.tsdf import BLOCK, MIN_WEIGHT, TsdfMap

LOW_M = 0.1
"""What lies lower than this above the floor counts as floor: estimated floors are that uneven."""

SOLID_VOXELS = 0.5
"""A voxel whose signed distance is below so many voxels counts as solid."""

FAR_M = 10.0
"""Distance to obstacles where there are none."""


@dataclass(frozen=True)
class FloorPlan:
    """A grid of the floor. A cell is occupied, free, or neither: not seen.

    Args:
        origin: (2,) x and y of the centre of the first cell, metres.
        cell_m: Side of a cell.
        occupied: (X, Y) whether something solid is there between the floor and the robot's height.
        free: (X, Y) whether the floor was seen, or driven on, and nothing stands there.
    """

    origin: NDArray[np.float64]
    cell_m: float
    occupied: NDArray[np.bool_]
    free: NDArray[np.bool_]
    _room: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.occupied.shape != self.free.shape or (self.occupied & self.free).any():
            raise ValueError("a cell cannot be both occupied and free")
        if self.occupied.any():
            room = ndimage.distance_transform_edt(~self.occupied) * self.cell_m
        else:
            room = np.full(self.occupied.shape, FAR_M)
        object.__setattr__(self, "_room", room)

    @property
    def room_m(self) -> NDArray[np.float64]:
        """(X, Y) distance from each cell's centre to the nearest occupied one's: the plan's ESDF, metres."""
        return self._room

    def index(self, points: NDArray[np.float64]) -> NDArray[np.intp]:
        """Cells (..., 2) of points (..., 2), clamped to the plan."""
        cells = np.rint((points - self.origin) / self.cell_m).astype(np.intp)
        return np.clip(cells, 0, np.array(self.occupied.shape) - 1)

    def centre(self, cells: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centres (..., 2) of cells (..., 2)."""
        return np.asarray(self.origin + cells * self.cell_m, dtype=np.float64)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centres (X, Y, 2) of all cells."""
        x, y = (np.arange(n) for n in self.occupied.shape)
        return self.centre(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))


def floor_plan(
    tsdf: TsdfMap,
    floor_m: float,
    height_m: float,
    driven: NDArray[np.float64],
    radius_m: float,
    goal: NDArray[np.float64] | None = None,
    margin_m: float = 1.0,
) -> FloorPlan:
    """The plan of the floor that a map shows, for a robot on it.

    Args:
        tsdf: The map, z up.
        floor_m: Height of the floor in the map.
        height_m: Height of the robot.
        driven: (N, 2), at least one, places where the robot has been: free within ``radius_m``.
        radius_m: Radius of the robot.
        goal: (2,) place that the plan must include, seen or not.
        margin_m: The plan reaches so far beyond what was seen.
    """
    voxel = tsdf.config.voxel_m
    keys, distance, weights = tsdf.voxels(floor_m - 2 * voxel, floor_m + height_m)
    places = driven if goal is None else np.concatenate([driven, goal[None]])
    near = np.concatenate([keys[:, :2] * BLOCK, np.floor(places / voxel).astype(int)])
    margin = round((margin_m + radius_m) / voxel)
    low = near.min(axis=0) // BLOCK * BLOCK - margin
    shape = near.max(axis=0) + BLOCK + margin - low
    occupied, seen = np.zeros(shape, bool), np.zeros(shape, bool)

    heights = (keys[:, 2, None] * BLOCK + np.arange(BLOCK)) * voxel - floor_m
    known = weights >= MIN_WEIGHT
    tall = ((heights > LOW_M) & (heights < height_m))[:, :, None, None]
    flat = (np.abs(heights) <= LOW_M)[:, :, None, None]
    solid = (known & tall & (distance < SOLID_VOXELS * voxel)).any(axis=1)
    floor = (known & flat).any(axis=1)
    for values, grid in ((solid, occupied), (floor, seen)):
        block, y, x = np.nonzero(values)
        cells = keys[block, :2] * BLOCK + np.stack([x, y], axis=1) - low
        grid[cells[:, 0], cells[:, 1]] = True

    cells = np.rint(driven / voxel).astype(int) - low
    there = np.zeros(shape, bool)
    there[cells[:, 0], cells[:, 1]] = True
    been = ndimage.distance_transform_edt(~there) * voxel <= radius_m
    occupied &= ~been
    return FloorPlan(low * voxel, voxel, occupied, (seen | been) & ~occupied)
