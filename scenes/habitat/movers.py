"""Meshes of movers as files that Habitat-Sim loads."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from trimesh.exchange.gltf import export_glb

from asyncmde_sim.files import write_whole
from asyncmde_sim.scenes.generate.movers import mover_mesh
from asyncmde_sim.scenes.library import cache_dir
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP


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
