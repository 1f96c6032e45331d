"""How much of the floor that a robot can reach its camera has truly seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.scenes.backend import DistanceField, SceneBackend

CELL_M = 0.1

RANGE_M = 4.0
"""Floor farther from the camera than this does not count as seen."""


def reachable_floor(
    backend: SceneBackend, robot: RobotSpec, start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Centres (N, 3) of the floor's cells on which the robot can stand, coming from ``start`` (3,)."""
    field: DistanceField = backend.distance_field(start, robot.body)
    low, high = backend.bounds[:, :2]
    x, y = (np.arange(a + CELL_M / 2, b, CELL_M) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    points = np.column_stack([grid, np.full(len(grid), backend.floor_m)])
    points = points[np.isfinite(field(points))]
    return points[backend.clearance(points, robot.body) > 0]


class FloorCoverage:
    """Marks the cells that the camera has seen, by the true depth.

    Args:
        cells: (N, 3) centres, at least one.
        robot: The robot; its camera looks at a floor at the height of the cells.
    """

    def __init__(self, cells: NDArray[np.float64], robot: RobotSpec) -> None:
        if len(cells) == 0:
            raise ValueError("there is no floor to cover: give the cells that the robot can reach")
        self._unseen = cells
        self._count = len(cells)
        self._camera = robot.camera
        self._half_pixel = 0.5 / (robot.camera.focal_px * robot.T_body_camera[2, 3])

    @property
    def share(self) -> float:
        """Share of the cells that were seen so far."""
        return 1 - len(self._unseen) / self._count

    @property
    def area_m2(self) -> float:
        """Area of all cells."""
        return self._count * CELL_M**2

    def see(self, depth: NDArray[np.float32], T_world_camera: NDArray[np.float64]) -> None:
        """Take one true depth map (H, W) in metres, and the pose (4, 4) from which it was taken.

        A cell is seen if nothing is nearer in its pixel. It may lie half a pixel beside that pixel's centre,
        in which the inverse depth of a floor changes by 0.5 / (focal length x height).
        """
        camera = self._camera
        x, y, z = ((self._unseen - T_world_camera[:3, 3]) @ T_world_camera[:3, :3]).T
        ahead = np.maximum(z, 1e-3)
        column = np.floor(camera.focal_px * x / ahead + camera.width / 2).astype(int)
        row = np.floor(camera.focal_px * y / ahead + camera.height / 2).astype(int)
        inside = (z > 1e-3) & (np.hypot(x, z) < RANGE_M)
        inside &= (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        found = depth[row[inside], column[inside]]
        with np.errstate(divide="ignore"):
            open_to = (found == 0) | (1 / found < 1 / z[inside] + self._half_pixel)
        seen = np.zeros(len(self._unseen), bool)
        seen[inside] = open_to
        self._unseen = self._unseen[~seen]
