"""Exact distance from points to triangles, and the part of a surface that a body on the floor can touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Triangles = NDArray[np.float64]
"""Triangles (F, 3, 3): face, corner, axis."""


class SurfaceDistance:
    """Exact distance to a set of triangles (F, 3, 3), metres. Triangles may be degenerate.

    Long triangles are cut into pieces of at most ``piece_m``; a tree of their centres finds the few pieces
    that can be nearest, and only to these is the distance computed.
    """

    def __init__(self, triangles: Triangles, piece_m: float = 0.3) -> None:
        self._pieces = split_long(triangles, piece_m)
        centres = self._pieces.mean(axis=1)
        self._radius = float(np.linalg.norm(self._pieces - centres[:, None], axis=2).max(initial=0.0))
        self._tree = cKDTree(centres) if len(centres) else None

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances (N,) from points (N, 3); ``inf`` where there is no surface at all."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        if self._tree is None:
            return np.full(len(points), np.inf)
        nearest, _ = self._tree.query(points)
        reach = nearest + self._radius + 1e-9
        distances = np.empty(len(points))
        for i, point in enumerate(points):
            found = self._tree.query_ball_point(point, reach[i])
            distances[i] = triangle_distances(point, self._pieces[found]).min()
        return distances


def triangle_distances(point: NDArray[np.float64], triangles: Triangles) -> NDArray[np.float64]:
    """Distances (F,) from one point (3,) to triangles (F, 3, 3), degenerate ones included."""
    a = triangles
    edge = np.roll(triangles, -1, axis=1) - a
    to_point = point - a
    length2 = np.einsum("fij,fij->fi", edge, edge)
    along = np.einsum("fij,fij->fi", to_point, edge) / np.where(length2 > 0, length2, 1)
    offset = to_point - np.clip(along, 0, 1)[..., None] * edge
    squared = np.einsum("fij,fij->fi", offset, offset).min(axis=1)
    normal = np.cross(edge[:, 0], edge[:, 1])
    area2 = np.einsum("fj,fj->f", normal, normal)
    side = np.einsum("fij,fij->fi", np.cross(edge, to_point), normal[:, None])
    above = (side >= 0).all(axis=1) & (area2 > 0)
    height2 = np.einsum("fj,fj->f", to_point[:, 0], normal) ** 2 / np.where(area2 > 0, area2, 1)
    return np.sqrt(np.where(above, np.minimum(height2, squared), squared))


def clip_above(triangles: Triangles, bound: float, sign: float = 1.0) -> Triangles:
    """The part of triangles (F, 3, 3) with ``sign * z >= sign * bound``, as triangles."""
    height = sign * (triangles[:, :, 2] - bound)
    inside = (height >= 0).sum(axis=1)
    parts = [triangles[inside == 3]]
    for kept in (1, 2):
        chosen = np.flatnonzero(inside == kept)
        # Turn each triangle so that its odd corner comes first.
        odd = np.argmax((height[chosen] >= 0) == (kept == 1), axis=1)
        order = (odd[:, None] + np.arange(3)) % 3
        corners = triangles[chosen[:, None], order]
        h = height[chosen[:, None], order]
        first, second = (
            corners[:, 0] + (corners[:, k] - corners[:, 0]) * (h[:, 0] / (h[:, 0] - h[:, k]))[:, None]
            for k in (1, 2)
        )
        if kept == 1:
            parts.append(np.stack([corners[:, 0], first, second], axis=1))
        else:
            parts.append(np.stack([first, corners[:, 1], corners[:, 2]], axis=1))
            parts.append(np.stack([first, corners[:, 2], second], axis=1))
    return np.concatenate(parts)


def clip_slab(triangles: Triangles, low: float, high: float) -> Triangles:
    """The part of triangles (F, 3, 3) with z in [low, high], as triangles."""
    return clip_above(clip_above(triangles, low), high, sign=-1.0)


def flatten(triangles: Triangles) -> Triangles:
    """Triangles (F, 3, 3) projected on z = 0."""
    return triangles * np.array([1.0, 1.0, 0.0])


def split_long(triangles: Triangles, longest_m: float) -> Triangles:
    """Halve triangles across their longest edge until no edge is longer than ``longest_m``."""
    done = []
    while len(triangles):
        edge = np.roll(triangles, -1, axis=1) - triangles
        length2 = np.einsum("fij,fij->fi", edge, edge)
        start = np.argmax(length2, axis=1)
        rows = np.arange(len(triangles))
        long = length2[rows, start] > longest_m**2
        done.append(triangles[~long])
        rows, start = rows[long], start[long]
        a, b, c = (triangles[rows, (start + k) % 3] for k in range(3))
        middle = (a + b) / 2
        triangles = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return np.concatenate(done) if done else triangles


def sample_surface(triangles: Triangles, step_m: float) -> NDArray[np.float64]:
    """Points (N, 3) on triangles (F, 3, 3), so dense that each spot has one within about ``step_m``.

    A triangle much smaller than the step gives its centre; a larger one gives lines of points from one
    corner to the opposite, shortest edge.
    """
    edge = triangles[:, (1, 2, 0)] - triangles
    length = np.sqrt(np.einsum("fij,fij->fi", edge, edge))
    longest = length.max(axis=1)
    small = longest < step_m / 2
    centres = triangles[small].mean(axis=1)
    triangles, edge, length, longest = triangles[~small], edge[~small], length[~small], longest[~small]
    rows = np.arange(len(triangles))
    short = np.argmin(length, axis=1)
    apex, down, across = triangles[rows, (short + 2) % 3], edge[rows, (short + 2) % 3], edge[rows, short]
    down_count = np.ceil(longest / step_m).astype(int)
    across_count = np.ceil(length[rows, short] / step_m).astype(int)
    counts = (down_count + 1) * (across_count + 1)
    face = np.repeat(rows, counts)
    number = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = across_count[face] + 1
    s = (number // width) / down_count[face]
    t = s * (number % width) / np.maximum(across_count, 1)[face]
    return np.concatenate([centres, apex[face] + s[:, None] * down[face] + t[:, None] * across[face]])
