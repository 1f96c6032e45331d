"""Meshes of movers as files that Habitat-Sim loads."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

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
        mesh = mover_mesh(kind)
        mesh.apply_transform(np.linalg.inv(Z_UP_FROM_Y_UP))
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{kind}-{os.getpid()}.glb"
        mesh.export(part, include_normals=False)
        os.replace(part, file)
    return file
