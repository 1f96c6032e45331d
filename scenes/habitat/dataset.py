"""Scenes of Habitat's datasets: their names, and their surfaces for everything that is not an image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP, SurfaceMesh

_NAME = re.compile(r"(?P<config>.+\.scene_dataset_config\.json):(?P<scene>.+)")
_GREY = 128


def parse_dataset_scene(scene: str) -> tuple[Path, str] | None:
    """Config and scene of a name such as ``replica.scene_dataset_config.json:room_0``; None for others.

    Raises:
        FileNotFoundError: There is no such config.
    """
    match = _NAME.fullmatch(scene)
    if match is None:
        return None
    config = Path(match["config"])
    if not config.is_file():
        raise FileNotFoundError(f"{config}: there is no such scene dataset config")
    return config.resolve(), match["scene"]


def join_parts(parts: list[dict[str, Any]]) -> SurfaceMesh:
    """The surface (z up, grey) of the mesh files that a scene is made of, as the worker lists them.

    Raises:
        ValueError: A part is no file that can be read here.
    """
    corners = [_triangles(part) for part in parts]
    triangles = np.concatenate(corners) if corners else np.zeros((0, 3, 3))
    count = len(triangles)
    return SurfaceMesh(
        vertices=triangles.reshape(-1, 3).astype(np.float32),
        faces=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
        textures=(),
        face_texture=np.full(count, -1, np.int32),
        corner_uv=np.zeros((count, 3, 2), np.float32),
        corner_rgb=np.full((count, 3, 3), _GREY, np.uint8),
    )


def _triangles(part: dict[str, Any]) -> NDArray[np.float64]:
    """Triangles (F, 3, 3) of one part in our world; ``frame`` says what is up and in front in its file."""
    file = Path(part["filepath"])
    if not file.is_file():
        raise ValueError(f"a part of the scene is {part['filepath']!r}, which is no mesh file: leave it out")
    try:
        mesh: Any = trimesh.load(file, force="mesh", process=False, skip_materials=True)
        triangles = np.asarray(mesh.triangles, np.float64)
    except Exception as error:
        raise ValueError(f"{file}: cannot be read as a mesh ({error})") from error
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(part["pose"]["rotation"], scalar_first=True).as_matrix()
    pose[:3, 3] = part["pose"]["translation"]
    if part["frame"] is not None:
        up, front = (np.array(part["frame"][axis]) for axis in ("up", "front"))
        pose[:3, :3] = pose[:3, :3] @ np.array([np.cross(front, up), up, -front])
    pose[:3, :3] = pose[:3, :3] * np.asarray(part["scale"])
    world = Z_UP_FROM_Y_UP @ pose
    return triangles @ world[:3, :3].T + world[:3, 3]
