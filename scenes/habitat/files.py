"""Files that Habitat-Sim loads or keeps, in the scene cache: movers, coloured scenes, navigation meshes."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from trimesh.exchange.gltf import export_glb

from asyncmde_sim.files import write_whole
from asyncmde_sim.scenes.generate.movers import mover_mesh
from asyncmde_sim.scenes.library import cache_dir
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP, SurfaceMesh


def mover_file(kind: str) -> Path:
    """The GLB of a mover in the scene cache; it is written when it is not there yet.

    Raises:
        ValueError: The kind is unknown.
    """
    return _mover_file(kind, cache_dir() / "movers")


@lru_cache(maxsize=64)
def _mover_file(kind: str, folder: Path) -> Path:
    file = folder / f"{kind}.glb"
    if not file.is_file():
        write_coloured(mover_mesh(kind), file)
    return file


def write_coloured(mesh: trimesh.Trimesh, file: Path) -> None:
    """Write a mesh (z up) with vertex colours as GLB, whole or not at all.

    Without a material of its own Habitat-Sim gives it a shiny grey one.
    """

    def with_material(tree: dict[str, Any]) -> None:
        plain = {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0, "roughnessFactor": 1}
        tree["materials"] = [{"pbrMetallicRoughness": plain, "extensions": {"KHR_materials_unlit": {}}}]
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
        for part in tree["meshes"]:
            for primitive in part["primitives"]:
                primitive["material"] = 0

    scene = trimesh.Scene(mesh)
    scene.apply_transform(np.linalg.inv(Z_UP_FROM_Y_UP))
    content = export_glb(scene, include_normals=False, tree_postprocessor=with_material)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda part: part.write_bytes(content))


def stage_file(file: Path, mesh: SurfaceMesh) -> Path:
    """The file that Habitat-Sim loads: a copy where corners carry the colours, see ``write_coloured``."""
    if mesh.corner_rgb is None or mesh.textures:
        return file
    copy = cached_file(file, "coloured", "stages", ".glb")
    if not copy.is_file():
        corners = trimesh.Trimesh(
            mesh.triangles.reshape(-1, 3),
            np.arange(3 * len(mesh.faces)).reshape(-1, 3),
            vertex_colors=mesh.corner_rgb.reshape(-1, 3),
            process=False,
        )
        write_coloured(corners, copy)
    return copy


def cached_file(file: Path, about: str, folder: str, suffix: str) -> Path:
    """A file of the scene cache that depends on ``about`` and on a scene's file as it is now."""
    state = os.stat(file)
    key = f"{file}|{state.st_size}|{state.st_mtime_ns}|{about}"
    place = cache_dir() / folder
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{suffix}"
