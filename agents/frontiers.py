"""Frontiers: where the floor that was seen ends without a wall (Yamauchi 1997)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.mapping import FloorPlan

LEAST_CELLS = 8
"""Shorter frontiers are gaps in what was seen."""

REACH_M = 0.8
"""A frontier farther than this from every place with a way to it is not gone to."""

_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Frontier:
    """One frontier.

    Args:
        points: (N, 2) its cells.
        place: (2,) where to go to look beyond it.
        time: Travel time to there.
    """

    points: NDArray[np.float64]
    place: NDArray[np.float64]
    time: float


def find_frontiers(plan: FloorPlan, times: NDArray[np.float64]) -> list[Frontier]:
    """The frontiers that can be gone to.

    Args:
        plan: The floor.
        times: (X, Y) travel times from the robot, ``inf`` without a way.
    """
    unseen = ~(plan.free | plan.occupied)
    edge = plan.free & ndimage.binary_dilation(unseen)
    labels, count = ndimage.label(edge, _EIGHT)
    if count == 0 or not np.isfinite(times).any():
        return []
    gap, nearest = ndimage.distance_transform_edt(
        ~np.isfinite(times), sampling=plan.cell_m, return_indices=True
    )
    found = []
    for index, window in enumerate(ndimage.find_objects(labels), start=1):
        cells = np.argwhere(labels[window] == index) + [part.start for part in window]
        if len(cells) < LEAST_CELLS:
            continue
        x, y = cells.T
        places = nearest[:, x, y]
        costs = np.where(gap[x, y] <= REACH_M, times[tuple(places)] + gap[x, y], np.inf)
        best = int(np.argmin(costs))
        if np.isfinite(costs[best]):
            place = plan.centre(places[:, best])
            found.append(Frontier(plan.centre(cells), place, float(costs[best])))
    return found
