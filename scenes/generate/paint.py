"""From patches and lights to the pixels of the atlas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.generate.atlas import ATLAS_PX, PAD_PX, Atlas, pack
from asyncmde_sim.scenes.generate.lighting import LightGrid, Lights, bake
from asyncmde_sim.scenes.generate.materials import Surface, albedo
from asyncmde_sim.scenes.generate.shapes import Patch

F32 = NDArray[np.float32]


class _Texels:
    """Every texel of every patch, padding included, patches of one material next to each other."""

    def __init__(self, patches: Sequence[Patch], atlas: Atlas) -> None:
        materials = list(dict.fromkeys(p.material for p in patches))
        number = {m: i for i, m in enumerate(materials)}
        of_patch = np.array([number[p.material] for p in patches])
        order = np.argsort(of_patch, kind="stable")
        wide, tall = atlas.width + 2 * PAD_PX, atlas.height + 2 * PAD_PX
        self.order = order
        count = (wide * tall)[order]
        first = np.cumsum(count) - count
        self.patch = np.repeat(order, count).astype(np.int32)
        step = (np.arange(len(self.patch)) - np.repeat(first, count)).astype(np.int32)
        column, row = step % wide.astype(np.int32)[self.patch], step // wide.astype(np.int32)[self.patch]
        self.x = atlas.x.astype(np.int32)[self.patch] + column
        self.y = atlas.y.astype(np.int32)[self.patch] + row
        across = _fraction(column, atlas.width.astype(np.int32)[self.patch])
        down = _fraction(row, atlas.height.astype(np.int32)[self.patch])
        swapped = atlas.swapped[self.patch]
        self.s, self.t = np.where(swapped, down, across), np.where(swapped, across, down)
        edges = np.searchsorted(of_patch[order], np.arange(len(materials) + 1))
        ends = np.append(first, len(self.patch))[edges]
        self.groups = [(m, slice(ends[i], ends[i + 1])) for i, m in enumerate(materials)]


def _fraction(texel: NDArray[np.int32], inner: NDArray[np.int32] | np.int32) -> F32:
    """Place of a texel's centre on the patch; the padding repeats the texel at the edge."""
    return ((np.clip(texel - PAD_PX, 0, inner - 1) + np.float32(0.5)) / inner).astype(np.float32)


def _colors(patches: Sequence[Patch], texels: _Texels) -> F32:
    origin, u, v = (np.array([getattr(p, n) for p in patches]) for n in ("origin", "u", "v"))
    w, h = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
    start_a = np.einsum("ij,ij->i", origin, u) / w
    start_b = np.einsum("ij,ij->i", origin, v) / h
    table = np.column_stack([w, h, start_a, start_b]).astype(np.float32)
    color = np.empty((len(texels.patch), 3), dtype=np.float32)
    for material, part in texels.groups:
        patch = texels.patch[part]
        w_, h_, a0, b0 = table[patch].T
        s, t = texels.s[part], texels.t[part]
        surface = Surface(a0 + s * w_, b0 + t * h_, s, t, w_, h_, patch.astype(np.int64))
        color[part] = albedo(material, surface)
    return color


def _steps(count: int, cells: int) -> tuple[NDArray[np.int64], F32]:
    """For ``count`` texels and their padding: the light node before each one, and the way to the next."""
    at = _fraction(np.arange(count + 2 * PAD_PX, dtype=np.int32), np.int32(count)) * cells
    node = np.minimum(at.astype(np.int64), cells - 1)
    return node, (at - node).astype(np.float32)


def _interpolated(grid: LightGrid, atlas: Atlas, texels: _Texels) -> F32:
    """Light (P, 3) at every texel, bilinear between the nodes."""
    light = np.empty((len(texels.patch), 3), dtype=np.float32)
    at = 0
    for i in texels.order:
        columns, rows = int(grid.columns[i]), int(grid.rows[i])
        block = grid.value[grid.first[i] : grid.first[i] + (columns + 1) * (rows + 1)]
        nodes = block.reshape(rows + 1, columns + 1, 3)
        if atlas.swapped[i]:
            nodes, columns, rows = nodes.transpose(1, 0, 2), rows, columns
        left, x = _steps(int(atlas.width[i]), columns)
        top, y = _steps(int(atlas.height[i]), rows)
        x, y = x[None, :, None], y[:, None, None]
        across = nodes[:, left] * (1 - x) + nodes[:, left + 1] * x
        out = light[at : at + len(left) * len(top)].reshape(len(top), len(left), 3)
        np.add(across[top] * (1 - y), across[top + 1] * y, out=out)
        at += len(left) * len(top)
    return light


def _developed(light: F32) -> NDArray[np.uint8]:
    """A camera's response: highlights roll off, then the sRGB curve."""
    level = np.arange(4096, dtype=np.float32) / 4095 * 4
    mapped = level * (1 + level / 9) / (1 + level)
    mapped = mapped / mapped[-1]
    curve = np.where(
        mapped < 0.0031308, 12.92 * mapped, 1.055 * np.maximum(mapped, 1e-9) ** (1 / 2.4) - 0.055
    )
    lookup = np.rint(255 * curve).astype(np.uint8)
    return lookup[np.clip(light * (4095 / 4), 0, 4095).astype(np.int32)]


def paint(
    patches: Sequence[Patch], lights: Lights, rng: np.random.Generator, exposure: float = 1.0
) -> tuple[Atlas, NDArray[np.uint8]]:
    """Pack the patches and paint the texture with colour times light.

    ``exposure`` multiplies the exposure that puts the median texel at a mid grey.

    Returns:
        The atlas and the texture (H, W, 3), uint8 sRGB.
    """
    size_u = np.array([np.linalg.norm(p.u) for p in patches])
    size_v = np.array([np.linalg.norm(p.v) for p in patches])
    atlas = pack(size_u, size_v)
    texels = _Texels(patches, atlas)
    color = _colors(patches, texels)
    weight = np.bincount(texels.patch, minlength=len(patches))[:, None]
    sums = [np.bincount(texels.patch, color[:, c], minlength=len(patches)) for c in range(3)]
    reflectance = (np.stack(sums, axis=1) / weight).astype(np.float32)
    emission = np.array([p.material.emission for p in patches], dtype=np.float32)
    grid = bake(patches, reflectance, lights, rng)
    light = _interpolated(grid, atlas, texels)
    shines = emission[texels.patch] > 0
    lit = np.multiply(color, light, out=light)
    some = lit[::17][~shines[::17]].mean(axis=1)
    gain = 0.32 * exposure / max(float(np.median(some[some > 1e-4])), 1e-4)
    lit *= gain
    lit[shines] = color[shines] * emission[texels.patch[shines], None]
    texture = np.full((ATLAS_PX, ATLAS_PX, 3), 60, dtype=np.uint8)
    texture[texels.y, texels.x] = _developed(lit)
    return atlas, texture
