"""Ways on a floor plan: fast marching over its distance to obstacles."""

from __future__ import annotations

import numpy as np
import skfmm
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.agents.route import COMFORT_M, descend
from asyncmde_sim.mapping import FloorPlan

ESCAPE_M = 0.35
"""So near to an end of a way every cell without an obstacle is passable."""


def speeds(
    plan: FloorPlan, ends: list[NDArray[np.float64]], room_m: float, unseen_speed: float
) -> NDArray[np.float64]:
    """Relative speed (X, Y) in each cell, 0 where there is no way.

    Args:
        plan: The floor.
        ends: Places (2,) where the robot is or must go: it may stand too near to an obstacle there.
        room_m: Distance that its centre must keep from obstacles.
        unseen_speed: Through what was not seen; 0 forbids it.
    """
    speed = np.where(plan.free, 1.0, unseen_speed)
    speed *= np.clip((plan.room_m - room_m) / COMFORT_M, 0.3, 1.0)
    speed[plan.room_m < room_m] = 0.0
    near = np.any([np.linalg.norm(plan.centres - end, axis=-1) < ESCAPE_M for end in ends], axis=0)
    speed[near & (speed == 0) & ~plan.occupied] = 0.1
    return speed


def travel_times(
    plan: FloorPlan, speed: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Time (X, Y) from the cell of ``start`` (2,) to each cell at relative speeds; ``inf`` without a way."""
    front = np.ones(speed.shape)
    cell = tuple(plan.index(start))
    front[cell] = -1.0
    passable = speed > 0
    passable[cell] = True
    if (ndimage.binary_dilation(front < 0) & passable).sum() == 1:
        return np.where(front < 0, 0.0, np.inf)
    found = skfmm.travel_time(np.ma.MaskedArray(front, ~passable), np.maximum(speed, 1e-3), dx=plan.cell_m)
    return np.asarray(np.ma.filled(found, np.inf), dtype=np.float64)


def way_back(plan: FloorPlan, times: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 2) from ``start`` (2,) to where the travel times were counted from."""
    return plan.centre(np.array(descend(times, plan.index(start))))
