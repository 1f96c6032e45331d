"""Where a body can be in a scene, and how far it is from there to a goal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skfmm
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.clearance import Triangles, clip_slab, sample_surface

FLOOR_SKIN_M = 0.02
"""What lies lower than this above the floor counts as floor."""

MAX_SLAB_M = 0.3
"""The largest thickness of a floor."""

_LEVEL_M = 0.04

GROUND_CELL_M = 0.05
FLIGHT_CELL_M = 0.1
MAX_FLIGHT_CELLS = 400_000

CastDown = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Distance (N,) from points (N, 3) straight down to the first surface, ``inf`` where there is none."""


def find_floor(triangles: Triangles) -> float:
    """Height of the floor: the lowest level whose horizontal area is half the largest level's or more.

    Where a second such level lies just above, the two are the sides of a slab and the upper one counts.

    Raises:
        ValueError: The scene has no horizontal surface.
    """
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(normal, axis=1) / 2
    flat = (np.abs(normal[:, 2]) > 0.99 * 2 * area) & (area > 0)
    if not flat.any():
        raise ValueError("no horizontal surface can be the floor: give a scene with z up (GLB: y up)")
    height, area = triangles[flat, :, 2].mean(axis=1), area[flat]
    level = np.floor((height - height.min()) / _LEVEL_M + 0.5).astype(int)
    areas = np.bincount(level, weights=area)
    wide = np.flatnonzero(areas >= areas.max() / 2)
    floor = level == wide[wide * _LEVEL_M <= wide[0] * _LEVEL_M + MAX_SLAB_M][-1]
    return float(np.average(height[floor], weights=area[floor]))


@dataclass(frozen=True)
class FreeSpace:
    """The largest connected space of one body on a grid; a cell is free if the body fits at its centre.

    Args:
        origin: (D,) corner of the grid, D = 2 on the floor and 3 in the air.
        cell_m: Side of a cell.
        floor_m: Height of the floor.
        room_m: Grid of distances from the cell's centre to the nearest obstacle; 0 where not free.
        gap_m: Grid of distances to the nearest free cell; 0 where free.
        passable: Grid of the cells that ways lead through: the free ones, and those beside them where the
            body fits somewhere in the cell (without these, ways around corners come out too long).
        nearest: Flat index of that cell.
        reach_m: A point farther than this from a free cell has no way anywhere.
    """

    origin: NDArray[np.float64]
    cell_m: float
    floor_m: float
    room_m: NDArray[np.float32]
    gap_m: NDArray[np.float32]
    passable: NDArray[np.bool_]
    nearest: NDArray[np.int32]
    reach_m: float

    @classmethod
    def of_cells(
        cls,
        free: NDArray[np.bool_],
        near: NDArray[np.bool_],
        room_m: NDArray[np.float64],
        origin: NDArray[np.float64],
        cell_m: float,
        floor_m: float,
        body: RobotBody,
    ) -> FreeSpace:
        """The space of the cells that are ``free``; ``near`` are those in which the body fits somewhere."""
        gap, nearest = ndimage.distance_transform_edt(~free, sampling=cell_m, return_indices=True)
        return cls(
            origin=origin,
            cell_m=cell_m,
            floor_m=floor_m,
            room_m=room_m.astype(np.float32),
            gap_m=gap.astype(np.float32),
            passable=near & (gap < 1.01 * cell_m),
            nearest=np.ravel_multi_index(tuple(nearest), free.shape).astype(np.int32),
            reach_m=body.radius_m + 2 * cell_m,
        )

    def sample(self, rng: np.random.Generator, count: int, room_m: float) -> NDArray[np.float64]:
        """Random points (count, 3) in free cells whose centres have at least ``room_m`` around them.

        Raises:
            ValueError: No cell has that much room.
        """
        cells = np.flatnonzero(self.room_m.ravel() >= room_m)
        if len(cells) == 0:
            raise ValueError(
                f"no place of the scene's free space is {room_m:.2f} m from every obstacle (the widest is "
                f"{self.room_m.max():.2f} m): use a smaller body or margin"
            )
        index = np.stack(np.unravel_index(rng.choice(cells, count), self.room_m.shape), axis=1)
        return self._lift(self.origin + (index + rng.uniform(0.1, 0.9, index.shape)) * self.cell_m)

    def distance_field(self, goal: NDArray[np.float64]) -> GridDistance:
        """Geodesic distances to ``goal`` (3,): everywhere ``inf`` when it lies outside the free space."""
        goal = np.asarray(goal, dtype=np.float64)[: len(self.origin)]
        shape = self.gap_m.shape
        values = np.full(shape, np.inf, np.float32)
        index = np.floor((goal - self.origin) / self.cell_m).astype(int)
        inside = ((index >= 0) & (index < shape)).all()
        if not inside or self.gap_m[tuple(index)] > self.reach_m:
            return GridDistance(self, values, goal, 0.0)
        start = np.unravel_index(self.nearest[tuple(index)], shape)
        straight = np.sqrt(
            sum(
                np.expand_dims(
                    (self.origin[axis] + (np.arange(size) + 0.5) * self.cell_m - goal[axis]) ** 2,
                    tuple(other for other in range(len(shape)) if other != axis),
                )
                for axis, size in enumerate(shape)
            )
        )
        # In a ball of passable cells around the goal the way is straight; the front starts on its rim.
        ball = min(float(np.min(straight[~self.passable], initial=np.inf)) - self.cell_m, 5 * self.cell_m)
        rim = max(float(straight[start]), self.cell_m, ball) + 1e-6
        travelled = skfmm.distance(np.ma.MaskedArray(straight - rim, ~self.passable), dx=self.cell_m)
        reached = self.passable & ~np.ma.getmaskarray(travelled)
        values[reached] = np.maximum(rim + np.ma.getdata(travelled), straight)[reached]
        values = np.where(self.passable, values, values.ravel()[self.nearest] + self.gap_m)
        values[self.gap_m > self.reach_m] = np.inf
        return GridDistance(self, values, goal, max(ball, 0.0))

    def _lift(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        if points.shape[1] == 3:
            return points
        return np.column_stack([points, np.full(len(points), self.floor_m)])


@dataclass(frozen=True)
class GridDistance:
    """Geodesic distance to one goal, interpolated between the cell centres of a grid.

    Args:
        space: The grid.
        values: Distances at its cell centres.
        goal: (D,) the goal; within ``straight_m`` of it the way is a straight line.
        straight_m: Radius of that ball.
    """

    space: FreeSpace
    values: NDArray[np.float32]
    goal: NDArray[np.float64]
    straight_m: float

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances (N,) in metres from points (N, 3); ``inf`` where there is no way."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        dims = self.values.ndim
        position = (points[:, :dims] - self.space.origin) / self.space.cell_m - 0.5
        low = np.floor(position).astype(int)
        part = position - low
        total, weight = np.zeros(len(points)), np.zeros(len(points))
        limit = np.array(self.values.shape)
        for corner in np.ndindex(*(2,) * dims):
            index = low + corner
            inside = ((index >= 0) & (index < limit)).all(axis=1)
            value = self.values[tuple(np.clip(index, 0, limit - 1).T)].astype(np.float64)
            share = np.where(corner, part, 1 - part).prod(axis=1)
            share[~(inside & np.isfinite(value))] = 0
            total += share * np.where(share > 0, value, 0)
            weight += share
        distance = np.where(weight > 1e-9, total / np.maximum(weight, 1e-9), np.inf)
        straight = np.linalg.norm(points[:, :dims] - self.goal, axis=1)
        return np.where(straight <= self.straight_m, straight, distance)


def largest(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The cells of the label above 0 that has the most."""
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def build_space(
    triangles: Triangles, bounds: NDArray[np.float64], floor_m: float, body: RobotBody, cast_down: CastDown
) -> FreeSpace:
    """The free space of ``body`` in a scene of triangles (F, 3, 3).

    A body on the floor moves on the plane at ``floor_m`` where there is a floor; a flying one between the
    floor and the top of the bounds, wherever there is something beneath it.

    Raises:
        ValueError: The body fits nowhere.
    """
    low, high = bounds[0].copy(), bounds[1].copy()
    low[2] = floor_m
    if body.flies:
        cell = max(FLIGHT_CELL_M, float((np.prod(np.maximum(high - low, 0.1)) / MAX_FLIGHT_CELLS) ** (1 / 3)))
        surface, dims = triangles, 3
    else:
        cell = GROUND_CELL_M
        surface, dims = clip_slab(triangles, floor_m + FLOOR_SKIN_M, floor_m + body.height_m), 2
    origin = low[:dims] - cell
    shape = tuple(np.ceil((high[:dims] - origin) / cell).astype(int) + 1)

    room = _distance_to_points(sample_surface(surface, 0.9 * cell)[:, :dims], origin, cell, shape)

    columns = np.stack(np.meshgrid(*(np.arange(n) for n in shape[:2]), indexing="ij"), axis=-1)
    feet = np.empty((shape[0] * shape[1], 3))
    feet[:, :2] = (origin[:2] + (columns + 0.5) * cell).reshape(-1, 2)
    feet[:, 2] = high[2] + 1.0 if body.flies else floor_m + FLOOR_SKIN_M
    below = cast_down(feet)
    has_floor = (np.isfinite(below) if body.flies else below < 4 * FLOOR_SKIN_M).reshape(shape[:2])

    near = has_floor[..., None] if body.flies else has_floor
    near = near & (room >= body.radius_m - cell / 2)
    if body.flies:
        centres = origin[2] + (np.arange(shape[2]) + 0.5) * cell
        near &= (centres > floor_m + body.radius_m) & (centres < high[2] - body.radius_m)
    labels, count = ndimage.label(near & (room >= body.radius_m))
    if count == 0:
        raise ValueError(
            f"the scene has no free space for a body of radius {body.radius_m} m"
            + ("" if body.flies else f" and height {body.height_m} m")
            + ": use a smaller body or a scene with more room"
        )
    free = largest(labels)
    return FreeSpace.of_cells(free, near, np.where(free, room, 0), origin, cell, floor_m, body)


def _distance_to_points(
    points: NDArray[np.float64], origin: NDArray[np.float64], cell: float, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Grid of distances from the cell centres to the nearest points (N, D), finer than the cells.

    Each occupied cell stands for the mean of its points. The nearest occupied cell is found by centres,
    which can pick the wrong side of a narrow passage, so what the neighbours found is tried as well.
    """
    index = np.floor((points - origin) / cell).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=1)
    flat = np.ravel_multi_index(tuple(index[inside].T), shape)
    size = int(np.prod(shape))
    count = np.bincount(flat, minlength=size)
    if not count.any():
        return np.full(shape, np.inf)
    found = ndimage.distance_transform_edt(
        count.reshape(shape) == 0, return_distances=False, return_indices=True
    )
    found = np.pad(np.ravel_multi_index(tuple(found), shape), 1, mode="edge")
    axes = range(len(shape))
    means, centres = [], []
    for axis, length in enumerate(shape):
        means.append(np.bincount(flat, weights=points[inside, axis], minlength=size) / np.maximum(count, 1))
        line = origin[axis] + (np.arange(length) + 0.5) * cell
        centres.append(np.expand_dims(line, tuple(other for other in axes if other != axis)))
    best = np.full(shape, np.inf)
    for shift in [
        (0,) * len(shape),
        *(tuple(step * (k == axis) for k in axes) for axis in axes for step in (-1, 1)),
    ]:
        nearest = found[tuple(slice(1 + move, 1 + move + n) for move, n in zip(shift, shape, strict=True))]
        squared = sum((means[axis][nearest] - centres[axis]) ** 2 for axis in axes)
        np.minimum(best, squared, out=best)
    return np.sqrt(best)
