"""One texture for a whole scene: every patch has a padded rectangle of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ATLAS_PX = 2048
PAD_PX = 1
FINEST_TEXEL_M = 0.015


@dataclass(frozen=True)
class Atlas:
    """Where each patch lies in the texture.

    ``x``, ``y`` (N,) are the top left pixel with padding, ``width``, ``height`` (N,) the texels inside the
    padding, ``swapped`` (N,) whether s runs down the image, ``texel_m`` the texel's size.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    swapped: NDArray[np.bool_]
    texel_m: float

    def uv(self, patch: NDArray[np.int32], st: NDArray[np.float64]) -> NDArray[np.float64]:
        """glTF texture coordinates (V, 2), from the top left, of points ``st`` (V, 2) on patches (V,)."""
        across = np.where(self.swapped[patch], st[:, 1], st[:, 0])
        down = np.where(self.swapped[patch], st[:, 0], st[:, 1])
        px = self.x[patch] + PAD_PX + across * self.width[patch]
        py = self.y[patch] + PAD_PX + down * self.height[patch]
        return np.column_stack([px, py]) / ATLAS_PX


def _shelves(width: NDArray[np.int64], height: NDArray[np.int64]) -> tuple[list[int], list[int]] | None:
    x = [0] * len(width)
    y = [0] * len(width)
    left, top, shelf = 0, 0, 0
    for i in np.lexsort((-width, -height)):
        w, h = int(width[i]), int(height[i])
        if left + w > ATLAS_PX:
            top, left, shelf = top + shelf, 0, 0
        if left == 0:
            shelf = h
        if w > ATLAS_PX or top + h > ATLAS_PX:
            return None
        x[i], y[i] = left, top
        left += w
    return x, y


def pack(size_u: NDArray[np.float64], size_v: NDArray[np.float64]) -> Atlas:
    """Pack patches of ``size_u`` x ``size_v`` metres (N,) at the finest texel that fits the texture."""
    texel = FINEST_TEXEL_M
    while True:
        nu = np.maximum(1, np.ceil(size_u / texel)).astype(np.int64)
        nv = np.maximum(1, np.ceil(size_v / texel)).astype(np.int64)
        swapped = nv > nu
        width, height = np.maximum(nu, nv), np.minimum(nu, nv)
        spot = _shelves(width + 2 * PAD_PX, height + 2 * PAD_PX)
        if spot is not None:
            return Atlas(np.array(spot[0]), np.array(spot[1]), width, height, swapped, texel)
        texel *= 1.04
