"""Routes on an occupancy grid: cost to go by fast marching, descent, straightening."""

from __future__ import annotations

import math

import numpy as np
import skfmm
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.agents.grid import CELL_M, SIZE, LocalRoom, OccupancyGrid

COARSE = 2
"""Cells of the occupancy grid along one cell of the plan."""

UNSEEN_SPEED = 0.55
"""Relative speed assumed through what was not seen: a detour through known space may be 1.8 times longer."""

BLOCKED_SPEED = 0.003
"""Through obstacles: only when there is no other way, and then up to them, waiting for them to go."""

COMFORT_M = 0.25
"""Extra room within which a route gets slower towards an obstacle."""

ASIDE_M = 0.25
"""How far a step aside goes where the route comes too near to something."""

MARGIN_M = 2.0
"""The plan's area reaches this far beyond everything seen."""


def plan_route(
    grid: OccupancyGrid, start: NDArray[np.float64], goal: NDArray[np.float64], room_m: float
) -> NDArray[np.float64]:
    """Points (N, 2) from ``start`` to ``goal`` that keep ``room_m`` from obstacles where that is possible."""
    ends = OccupancyGrid.index(np.array([start, goal]))
    low, high = _area(grid, ends)
    speed = _speeds(grid, (slice(low[0], high[0]), slice(low[1], high[1])), room_m)
    cost = _cost_to_go(speed, (ends[1] - low) // COARSE)
    path = np.array(descend(cost, (ends[0] - low) // COARSE))
    points = OccupancyGrid.centre(path * COARSE + low) + (COARSE - 1) / 2 * CELL_M
    return np.concatenate([start[None], points[1:-1], goal[None]])


def bearing_aside(room: LocalRoom, position: NDArray[np.float64], bearing: float, room_m: float) -> float:
    """The direction nearest to ``bearing`` in which a short straight way is free, or ``bearing`` if none is.

    Free is what keeps ``room_m`` from obstacles, or the distance that ``position`` (2,) has, if that is less.
    """
    turns = np.array([0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9, 1.2, -1.2, 1.5, -1.5])
    directions = np.stack([np.cos(bearing + turns), np.sin(bearing + turns)], axis=1)
    steps = np.arange(0.0, ASIDE_M + CELL_M / 2, CELL_M)
    clear, _ = room.at(position + steps[:, None, None] * directions)
    free = (clear >= np.minimum(room_m, clear[0])).all(axis=0)
    return float(bearing + turns[int(free.argmax())])


def _area(grid: OccupancyGrid, ends: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Bounds of the cells to plan on: everything seen and both ends, with a margin, in whole coarse cells."""
    seen = [np.flatnonzero(grid.seen.any(axis=1 - axis)) for axis in (0, 1)]
    margin = round(MARGIN_M / CELL_M)
    low = np.minimum([s.min(initial=SIZE) for s in seen], ends.min(axis=0)) - margin
    high = np.maximum([s.max(initial=0) for s in seen], ends.max(axis=0)) + margin
    low = np.maximum(low, 0) // COARSE * COARSE
    high = np.minimum(high, SIZE) // COARSE * COARSE
    return low, high


def _speeds(grid: OccupancyGrid, view: tuple[slice, slice], room_m: float) -> NDArray[np.float64]:
    """Relative speed of each coarse cell: that of its best cell."""
    occupied = grid.log_odds[view] > 0
    speed = np.where(grid.seen[view], 1.0, UNSEEN_SPEED)
    if occupied.any():
        room = ndimage.distance_transform_edt(~occupied) * CELL_M
        speed *= np.clip((room - room_m) / COMFORT_M, 0.3, 1.0)
        speed[room < room_m] = BLOCKED_SPEED
    width, height = speed.shape
    return speed.reshape(width // COARSE, COARSE, height // COARSE, COARSE).max(axis=(1, 3))


def _cost_to_go(speed: NDArray[np.float64], goal: NDArray[np.intp]) -> NDArray[np.float64]:
    front = np.ones(speed.shape)
    front[tuple(goal)] = -1.0
    return np.asarray(np.ma.filled(skfmm.travel_time(front, speed, dx=COARSE * CELL_M), np.inf))


def descend(cost: NDArray[np.float64], start: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Cells from ``start`` (2,) down a grid of costs to where no neighbour has less."""
    x, y = int(start[0]), int(start[1])
    path = [(x, y)]
    here = float(cost[x, y])
    for _ in range(4 * sum(cost.shape)):
        around = cost[max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2]
        best = int(around.argmin())
        dx, dy = divmod(best, around.shape[1])
        least = float(around[dx, dy])
        if not least < here:
            break
        x, y, here = max(x - 1, 0) + dx, max(y - 1, 0) + dy, least
        path.append((x, y))
    return path


def wrapped(angle: float) -> float:
    """The angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
