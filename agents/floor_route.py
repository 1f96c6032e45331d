"""Ways on a floor plan: fast marching over its distance to obstacles."""

from __future__ import annotations

import numpy as np
import skfmm
from numpy.typing import NDArray

from asyncmde_sim.agents.route import COMFORT_M, descend
from asyncmde_sim.mapping import FloorPlan

ESCAPE_M = 0.35
"""So near to the robot every cell without an obstacle is passable: it may stand too near to one."""


def speeds(
    plan: FloorPlan, position: NDArray[np.float64], room_m: float, unseen_speed: float
) -> NDArray[np.float64]:
    """Relative speed (X, Y) in each cell, 0 where there is no way.

    Args:
        plan: The floor.
        position: (2,) where the robot is.
        room_m: Distance that its centre must keep from obstacles.
        unseen_speed: Through what was not seen; 0 forbids it.
    """
    speed = np.where(plan.free, 1.0, unseen_speed)
    speed *= np.clip((plan.room_m - room_m) / COMFORT_M, 0.3, 1.0)
    speed[plan.room_m < room_m] = 0.0
    near = np.linalg.norm(plan.centres - position, axis=-1) < ESCAPE_M
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
    found = skfmm.travel_time(np.ma.MaskedArray(front, ~passable), np.maximum(speed, 1e-3), dx=plan.cell_m)
    return np.asarray(np.ma.filled(found, np.inf), dtype=np.float64)


def way_back(plan: FloorPlan, times: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (N, 2) from ``start`` (2,) to where the travel times were counted from."""
    return plan.centre(np.array(descend(times, plan.index(start))))
