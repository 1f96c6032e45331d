"""Pictures of a scene for people: from above with the ceiling taken off, and from inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import MIN_SIDE_PX, Camera, RigidMotion
from asyncmde_sim.scenes.mesh_io import SurfaceMesh
from asyncmde_sim.scenes.raycast import RaycastBackend

_DISTANCE_M = 60.0


def top_view(mesh: SurfaceMesh, pixels_per_m: float = 50.0, cut: float = 0.8) -> NDArray[np.uint8]:
    """A scene (H, W, 3) from above; +x is right and +y is up in the picture.

    Args:
        mesh: The scene.
        pixels_per_m: Scale of the picture at the scene's middle height.
        cut: Faces that lie above this fraction of the scene's height are left out.

    Raises:
        ValueError: No face is below the cut.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    kept = mesh.triangles[..., 2].min(axis=1) < low[2] + cut * (high[2] - low[2])
    if not kept.any():
        raise ValueError(f"no face lies below the cut at {cut} of the scene's height: raise it")
    opened = replace(
        mesh,
        faces=mesh.faces[kept],
        face_texture=mesh.face_texture[kept],
        corner_uv=mesh.corner_uv[kept],
        corner_rgb=None if mesh.corner_rgb is None else mesh.corner_rgb[kept],
    )
    width, height = (max(MIN_SIDE_PX, round(float(s) * pixels_per_m)) for s in (high - low)[:2])
    hfov = 2 * np.arctan(width / pixels_per_m / 2 / _DISTANCE_M)
    camera = Camera(width, height, hfov_rad=float(hfov), max_range_m=10 * _DISTANCE_M)
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = (low + high) / 2 + [0, 0, _DISTANCE_M]
    return RaycastBackend(opened, "view from above").render(camera, RigidMotion(pose)).rgb


def inside_views(
    backend: RaycastBackend, count: int, rng: np.random.Generator, camera: Camera | None = None
) -> list[NDArray[np.uint8]]:
    """Views (H, W, 3) from random free places 1.2 m above the floor, towards the farthest surface around.

    Raises:
        ValueError: The scene has no free space.
    """
    camera = camera or Camera(448, 336)
    body = RobotBody(radius_m=0.2, height_m=1.3)
    views = []
    for place in backend.sample_free(rng, body, count):
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ahead = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(24)])
        eye = place + np.array([0.0, 0.0, 1.2])
        ranges = backend.range_along(np.tile(eye, (24, 1)), ahead)
        forward = ahead[np.argmax(np.where(np.isfinite(ranges), ranges, 0))]
        pose = np.eye(4)
        pose[:3, :3] = np.column_stack([np.cross(forward, [0, 0, 1]), [0, 0, -1], forward])
        pose[:3, 3] = eye
        views.append(backend.render(camera, RigidMotion(pose)).rgb)
    return views
