"""Colours of surface hits: texture and corner-colour look-ups, and linear light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.mesh_io import SurfaceMesh

_ENCODE_STEPS = 1 << 15


def _srgb_decode(encoded: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _srgb_encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


_DECODE = _srgb_decode(np.arange(256) / 255).astype(np.float32)
_ENCODE = (255 * _srgb_encode(np.arange(_ENCODE_STEPS + 1) / _ENCODE_STEPS)).astype(np.float32)


def to_linear(srgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Linear intensity in [0, 1] of sRGB grey levels."""
    return np.take(_DECODE, srgb)


def to_srgb(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """sRGB grey levels in [0, 255], not rounded, of linear intensity; it saturates above 1."""
    index = np.minimum(linear * np.float32(_ENCODE_STEPS) + np.float32(0.5), np.float32(_ENCODE_STEPS))
    return np.take(_ENCODE, index.astype(np.int32))


class Shader:
    """Looks up the packed colour (uint32, bytes R G B 255) of hits on one mesh; misses are black."""

    def __init__(self, mesh: SurfaceMesh) -> None:
        black = np.zeros((1, 1, 3), np.uint8)
        images = [*mesh.textures, black]
        sizes = np.array([image.shape[:2] for image in images])
        starts = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))[:-1]])
        self._texels = np.concatenate([_pack(image.reshape(-1, 3)) for image in images])

        # One row a face: x0 dx1 dx2 y0 dy1 dy2 in texels, then the texture's width, height and start.
        # The last row is what a miss (-1) finds.
        faces = len(mesh.faces)
        texture = np.append(
            np.where(mesh.face_texture < 0, len(images) - 1, mesh.face_texture), len(images) - 1
        )
        size = sizes[texture]
        corners = np.zeros((faces + 1, 3, 2))
        corners[:-1] = mesh.corner_uv
        corners[..., 1] = 1 - corners[..., 1]
        corners -= np.floor(corners.min(axis=1, keepdims=True) + 1e-6)
        self._repeats = bool(corners.max() > 1 + 1e-3)
        corners *= size[:, None, ::-1]
        if not self._repeats:
            corners = np.clip(corners, 0.01, size[:, None, ::-1] - 0.01)
        self._affine = np.zeros((faces + 1, 8), np.float32)
        for axis in range(2):
            self._affine[:, 3 * axis] = corners[:, 0, axis]
            self._affine[:, 3 * axis + 1] = corners[:, 1, axis] - corners[:, 0, axis]
            self._affine[:, 3 * axis + 2] = corners[:, 2, axis] - corners[:, 0, axis]
        whole = self._affine.view(np.int32)
        whole[:, 6] = size[:, 1]
        whole[:, 7] = starts[texture]
        self._height = size[:, 0].astype(np.int32)

        self._coloured = None
        if mesh.corner_rgb is not None:
            self._coloured = np.append(mesh.face_texture < 0, False)
            rgb = mesh.corner_rgb.astype(np.float32)
            self._corner_affine = np.stack(
                [rgb[:, 0] + np.float32(0.5), rgb[:, 1] - rgb[:, 0], rgb[:, 2] - rgb[:, 0]], axis=1
            )

    def shade(
        self, face: NDArray[np.int32], u: NDArray[np.float32], v: NDArray[np.float32]
    ) -> NDArray[np.uint32]:
        """Colours (N,) of hits at barycentric coordinates (N,) u and v on faces (N,); -1 is a miss."""
        rows = np.take(self._affine, face, axis=0)
        x = rows[:, 0] + rows[:, 1] * u + rows[:, 2] * v
        y = rows[:, 3] + rows[:, 4] * u + rows[:, 5] * v
        whole = rows.view(np.int32)
        width = whole[:, 6]
        if self._repeats:
            column = np.floor(x).astype(np.int32) % width
            row = np.floor(y).astype(np.int32) % np.take(self._height, face)
        else:
            column, row = x.astype(np.int32), y.astype(np.int32)
        colour = np.take(self._texels, whole[:, 7] + row * width + column)
        if self._coloured is not None:
            hit = np.flatnonzero(np.take(self._coloured, face))
            corner = self._corner_affine[face[hit]]
            colour[hit] = _pack(
                (corner[:, 0] + corner[:, 1] * u[hit, None] + corner[:, 2] * v[hit, None]).astype(np.uint8)
            )
        return colour


def unpack(colour: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Packed colours of any shape (...) as (..., 3) uint8."""
    quads = colour.view(np.uint8).reshape(*colour.shape, 4)
    rgb = np.empty((*colour.shape, 3), np.uint8)
    for channel in range(3):  # three strided copies are five times faster than one of short rows
        rgb[..., channel] = quads[..., channel]
    return rgb


def _pack(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    packed = np.full((len(rgb), 4), 255, np.uint8)
    packed[:, :3] = rgb
    return packed.view(np.uint32)[:, 0]
