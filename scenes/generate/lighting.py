"""Light on the surfaces: lamps, windows and sun with shadows, and one bounce gathered by rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from asyncmde_sim.scenes.generate.shapes import Color, Patch, triangulate

F32 = NDArray[np.float32]
FINEST_CELL_M = 0.08
MOST_NODES = 110_000
GATHER_RAYS = 14
LIFT_M = 0.004
FAINTEST = 0.01
_ROW_Z = np.array([[0, 0, 1]], dtype=np.float32)
_ROW_X = np.array([[1, 0, 0]], dtype=np.float32)


@dataclass(frozen=True)
class Lamp:
    """A small round lamp that shines in all directions: position (3,), linear power per channel at 1 m."""

    position: tuple[float, float, float]
    power: Color
    radius_m: float = 0.08


@dataclass(frozen=True)
class Window:
    """A shining parallelogram ``origin + s u + t v`` that shines along u x v with the given radiance."""

    origin: tuple[float, float, float]
    u: tuple[float, float, float]
    v: tuple[float, float, float]
    radiance: Color


@dataclass(frozen=True)
class Lights:
    """All lights of a scene; ``sun`` is a unit direction towards the sun and its irradiance, or None."""

    lamps: tuple[Lamp, ...] = ()
    windows: tuple[Window, ...] = ()
    sun: tuple[tuple[float, float, float], Color] | None = None


@dataclass(frozen=True)
class LightGrid:
    """Light at the nodes of each patch.

    ``value`` (M, 3) is irradiance over pi, ``first`` (N,) the patch's first node, ``columns``, ``rows`` (N,)
    its numbers of cells; node (i, j) of a patch is ``first + i + j (columns + 1)`` at (i/columns, j/rows).
    """

    value: F32
    first: NDArray[np.int64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


def _unit(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _occluders(patches: Sequence[Patch]) -> tuple[EmbreeScene, NDArray[np.int32], F32]:
    """The solid part of the scene, each face's patch, and each face's (s, t) corners (F, 3, 2)."""
    solid = np.array([i for i, p in enumerate(patches) if p.material.emission == 0], dtype=np.int32)
    vertices, faces, st, of_face = triangulate([patches[i] for i in solid])
    scene = EmbreeScene()
    TriangleMesh(scene, vertices.astype(np.float32), faces)
    return scene, solid[of_face], st[faces].astype(np.float32)


class _Nodes:
    def __init__(self, patches: Sequence[Patch]) -> None:
        origin, u, v = (np.array([getattr(p, n) for p in patches]) for n in ("origin", "u", "v"))
        self.long_u, self.long_v = np.linalg.norm(u, axis=1), np.linalg.norm(v, axis=1)
        cell = max(FINEST_CELL_M, float(np.sqrt((self.long_u * self.long_v).sum() / MOST_NODES)))
        self.columns = np.maximum(1, np.ceil(self.long_u / cell)).astype(np.int64)
        self.rows = np.maximum(1, np.ceil(self.long_v / cell)).astype(np.int64)
        count = (self.columns + 1) * (self.rows + 1)
        self.first = np.cumsum(count) - count
        owner = np.repeat(np.arange(len(patches)), count)
        step = np.arange(len(owner)) - self.first[owner]
        s = step % (self.columns[owner] + 1) / self.columns[owner]
        t = step // (self.columns[owner] + 1) / self.rows[owner]
        inset_u = np.minimum(0.012 / self.long_u, 0.25)[owner]
        inset_v = np.minimum(0.012 / self.long_v, 0.25)[owner]
        s, t = np.clip(s, inset_u, 1 - inset_u), np.clip(t, inset_v, 1 - inset_v)
        normal = _unit(np.cross(u, v))
        self.normal = normal[owner].astype(np.float32)
        self.point = (origin[owner] + s[:, None] * u[owner] + t[:, None] * v[owner]).astype(np.float32)
        self.point += np.float32(LIFT_M) * self.normal

    def nearest(self, patch: NDArray[np.int32], st: F32) -> NDArray[np.int64]:
        i = np.rint(st[:, 0] * self.columns[patch]).astype(np.int64)
        j = np.rint(st[:, 1] * self.rows[patch]).astype(np.int64)
        return self.first[patch] + i + j * (self.columns[patch] + 1)


def _sampled(
    scene: EmbreeScene,
    nodes: _Nodes,
    point: NDArray[np.float64],
    facing: NDArray[np.float64] | None,
    power: F32,
) -> F32:
    """Light (M, 3) at the nodes from one point sample, with shadows."""
    to = point.astype(np.float32) - nodes.point
    square = np.maximum(np.einsum("ij,ij->i", to, to), 0.02)
    far = np.sqrt(square)
    to /= far[:, None]
    strength = np.einsum("ij,ij->i", to, nodes.normal) / square
    if facing is not None:
        strength *= -(to @ facing.astype(np.float32))
        strength[(to @ facing.astype(np.float32)) > 0] = 0
    lit = np.flatnonzero(strength * power.max() > FAINTEST)
    result = np.zeros_like(nodes.point)
    if len(lit) == 0:
        return result
    hit = scene.run(nodes.point[lit], to[lit], dists=far[lit] - np.float32(0.01), query="OCCLUDED")
    seen = lit[hit < 0]
    result[seen] = strength[seen, None] * power
    return result


def _direct(scene: EmbreeScene, nodes: _Nodes, lights: Lights, rng: np.random.Generator) -> F32:
    total = np.zeros_like(nodes.point)
    for lamp in lights.lamps:
        for offset in _unit(rng.standard_normal((2, 3))) * lamp.radius_m:
            power = (np.array(lamp.power) / 2).astype(np.float32)
            total += _sampled(scene, nodes, np.array(lamp.position) + offset, None, power)
    for window in lights.windows:
        origin, u, v = (np.array(a) for a in (window.origin, window.u, window.v))
        cross = np.cross(u, v)
        area = np.linalg.norm(cross)
        places = [(s, t) for s in (0.2, 0.5, 0.8) for t in (0.25, 0.75)]
        radiance = np.array(window.radiance) * area / np.pi / len(places)
        for s, t in places:
            total += _sampled(scene, nodes, origin + s * u + t * v, cross / area, radiance.astype(np.float32))
    if lights.sun is not None:
        towards = np.array(lights.sun[0], dtype=np.float32)
        cosine = nodes.normal @ towards
        lit = np.flatnonzero(cosine > 0.02)
        hit = scene.run(nodes.point[lit], np.tile(towards, (len(lit), 1)), query="OCCLUDED")
        seen = lit[hit < 0]
        total[seen] += cosine[seen, None] * np.array(lights.sun[1], dtype=np.float32)
    return total


def _gathered(
    scene: EmbreeScene,
    of_face: NDArray[np.int32],
    corners: F32,
    nodes: _Nodes,
    bounced: F32,
    ambient: F32,
    rng: np.random.Generator,
) -> F32:
    """One bounce: the mean of ``bounced`` light at what cosine-distributed rays hit, plus ambient light."""
    n = nodes.normal
    helper = np.where(np.abs(n[:, 2:]) < 0.9, _ROW_Z, _ROW_X)
    a = _unit(np.cross(helper, n)).astype(np.float32)
    b = np.cross(n, a)
    turn = rng.random(len(n), dtype=np.float32)
    total = np.zeros_like(nodes.point)
    for k in range(GATHER_RAYS):
        angle = 2 * np.pi * (turn + k * 0.618034) % (2 * np.pi)
        radius = np.sqrt(np.float32((k + 0.5) / GATHER_RAYS))
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        rays = x[:, None] * a + y[:, None] * b + np.sqrt(1 - radius * radius) * n
        rays = rays.astype(np.float32)
        out = scene.run(nodes.point, rays, query="INTERSECT", output=1)
        hit = np.flatnonzero(out["primID"] >= 0)
        face = out["primID"][hit]
        u, v = out["u"][hit, None], out["v"][hit, None]
        st = (1 - u - v) * corners[face, 0] + u * corners[face, 1] + v * corners[face, 2]
        outside = np.einsum("ij,ij->i", out["Ng"][hit], rays[hit]) < 0
        near = np.clip(out["tfar"][hit] / 1.2, 0, 1)
        light = bounced[nodes.nearest(of_face[face], st)] * outside[:, None]
        total[hit] += light + (near * outside)[:, None] * ambient
    return total / GATHER_RAYS


def bake(patches: Sequence[Patch], reflectance: F32, lights: Lights, rng: np.random.Generator) -> LightGrid:
    """Light at the nodes of every patch.

    Args:
        patches: All patches; those that shine cast no shadow.
        reflectance: Mean linear colour of each patch, (N, 3).
        lights: The lights.
        rng: Draws the places of samples on lights and the turn of gathered rays.
    """
    scene, of_face, corners = _occluders(patches)
    nodes = _Nodes(patches)
    direct = _direct(scene, nodes, lights, rng)
    owner = np.repeat(np.arange(len(patches)), (nodes.columns + 1) * (nodes.rows + 1))
    bounced = np.minimum(direct, 4.0) * reflectance[owner]
    ambient = 0.35 * bounced.mean(axis=0)
    indirect = _gathered(scene, of_face, corners, nodes, bounced, ambient, rng)
    for i in np.flatnonzero((nodes.columns >= 3) & (nodes.rows >= 3)):
        count = (nodes.columns[i] + 1) * (nodes.rows[i] + 1)
        block = slice(nodes.first[i], nodes.first[i] + count)
        grid = indirect[block].reshape(nodes.rows[i] + 1, nodes.columns[i] + 1, 3)
        indirect[block] = gaussian_filter(
            grid, sigma=(1.4, 1.4, 0), mode="nearest", radius=(3, 3, 0)
        ).reshape(-1, 3)
    return LightGrid(direct + 1.6 * indirect, nodes.first, nodes.columns, nodes.rows)
