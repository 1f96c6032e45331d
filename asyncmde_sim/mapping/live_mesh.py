"""The mesh of a map that grows: what has not changed is not made again."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.mapping.tsdf import BLOCK, TsdfMap

Chunk = tuple[int, int, int]

SIDE = 4
"""Blocks along the side of a chunk: smaller ones cost more than they save."""

CORNERS = np.array(list(product((0, 1), repeat=3)), np.int32)
"""Marching cubes between a block and the next ones take the nearest voxels of those."""

INSIDE = np.array(list(product(range(SIDE + 1), repeat=3)), np.int32)
"""The blocks of a chunk, and the next ones."""


class LiveMesh:
    """Keeps the mesh of a map up to date, chunk by chunk; equal to ``TsdfMap.mesh``, triangle by triangle.

    Args:
        tsdf: The map; what is entered from now on is followed, what it holds already is taken at once.
    """

    def __init__(self, tsdf: TsdfMap) -> None:
        self._tsdf = tsdf
        self._pieces: dict[Chunk, trimesh.Trimesh] = {}
        self._changed: list[NDArray[np.int32]] = [tsdf.voxels()[0]]
        tsdf.watchers.append(self._changed.append)

    def update(self) -> dict[Chunk, trimesh.Trimesh]:
        """Mesh again what may have changed since the last time.

        Returns:
            For each chunk that was made again its triangles now, none included: what to draw again.
        """
        changed = np.concatenate([np.zeros((0, 3), np.int32), *self._changed])
        self._changed.clear()
        if not len(changed):
            return {}
        chunks = np.unique((np.unique(changed, axis=0)[:, None] - CORNERS).reshape(-1, 3) // SIDE, axis=0)
        needed = np.unique((chunks[:, None] * SIDE + INSIDE).reshape(-1, 3), axis=0)
        pieces = _by_chunk(self._tsdf.part(needed).mesh(), self._tsdf.config.voxel_m)
        redrawn = {}
        for chunk in map(tuple, chunks.tolist()):
            piece = pieces.get(chunk)
            if piece is not None:
                self._pieces[chunk] = redrawn[chunk] = piece
            elif self._pieces.pop(chunk, None) is not None:
                redrawn[chunk] = trimesh.Trimesh()
        return redrawn

    def mesh(self) -> trimesh.Trimesh:
        """The whole mesh as of the last ``update``."""
        if not self._pieces:
            return trimesh.Trimesh()
        whole: Any = trimesh.util.concatenate([self._pieces[chunk] for chunk in sorted(self._pieces)])
        return whole


def _by_chunk(mesh: trimesh.Trimesh, voxel_m: float) -> dict[Chunk, trimesh.Trimesh]:
    """The triangles of each chunk: those of the cubes whose lowest corner is one of its voxels."""
    if not len(mesh.faces):
        return {}
    faces, vertices = np.asarray(mesh.faces), np.asarray(mesh.vertices)
    centre = vertices[faces].mean(axis=1)
    chunks = np.floor(centre / voxel_m).astype(np.int64) // (SIDE * BLOCK)
    owners, owner = np.unique(chunks, axis=0, return_inverse=True)
    visual: Any = mesh.visual
    needed, place = np.zeros(len(vertices), bool), np.zeros(len(vertices), np.int64)
    pieces = {}
    for number, chunk in enumerate(map(tuple, owners.tolist())):
        mine = faces[owner.ravel() == number]
        needed[:] = False
        needed[mine] = True
        used = np.flatnonzero(needed)
        place[used] = np.arange(len(used))
        pieces[chunk] = trimesh.Trimesh(
            vertices[used],
            place[mine],
            vertex_colors=np.asarray(visual.vertex_colors)[used],
            process=False,
        )
    return pieces
