"""Habitat-Sim's navigation mesh: its settings for a body, and the free space that a raster of it is."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.space import FLOOR_SKIN_M, FreeSpace, largest

FLOOR_SLACK_M = 0.1
"""The mesh's floor may lie so far from ours: it is made of voxels."""
VOXEL_M = 0.015
"""The navigation mesh is made of voxels about so wide, a whole number of them to the body's radius ..."""
MAX_VOXELS = 3000
"""... and at most so many along a side of the scene."""


def navmesh_settings(body: RobotBody, bounds: NDArray[np.float64]) -> dict[str, Any]:
    """Habitat-Sim's settings for a body, lengths in metres; it climbs no more than the floor's skin."""
    widest = max(VOXEL_M, float((bounds[1] - bounds[0])[:2].max()) / MAX_VOXELS)
    return {
        "agent_radius": body.radius_m,
        "agent_height": body.height_m,
        "agent_max_climb": FLOOR_SKIN_M,
        "cell_size": body.radius_m / math.ceil(body.radius_m / widest),
        "cell_height": FLOOR_SKIN_M,
        "edge_max_error": 1.0,
        "include_static_objects": True,
    }


def space_of_raster(
    found: dict[str, Any], step_m: float, floor_m: float, body: RobotBody, scene: str
) -> FreeSpace:
    """The free space of a worker's ``raster`` in steps of half a cell."""
    shape = found["shape"]
    bits = np.frombuffer(base64.b64decode(found["bits"]), np.uint8)
    rows = np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)
    fine = np.pad(rows.T[:, ::-1], 2)  # along x and y, with a margin for the outermost cells
    fine = np.pad(fine, [(0, 1 - size % 2) for size in fine.shape])
    x, z = found["corner"]
    origin = np.array([x, -(z + (shape[0] - 1) * step_m)]) - 2 * step_m
    inside = fine[1::2, 1::2]
    near = ndimage.maximum_filter(fine, 3)[1::2, 1::2]
    labels, count = ndimage.label(inside)
    if count == 0:
        raise ValueError(f"{scene}: Habitat-Sim's navigation mesh has no floor at {floor_m:.2f} m")
    free = largest(labels)
    room = np.where(free, body.radius_m + 2 * step_m * ndimage.distance_transform_edt(free), 0)
    return FreeSpace.of_cells(free, near, room, origin, 2 * step_m, floor_m, body)
