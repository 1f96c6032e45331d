"""Meshes of things that move: people, carts, and what crosses a hall."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.scenes.generate.shapes import Color, Material, Shape, triangulate, vec

SKIN: tuple[Color, ...] = ((0.6, 0.36, 0.24), (0.2, 0.1, 0.06), (0.45, 0.26, 0.16))


def _paint(color: Color) -> Material:
    return Material("painted", color)


def _person(height: float, skin: Color, hair: Color, top: Color, trousers: Color) -> Shape:
    """A person in a short step, ``height`` metres tall."""
    s, k = Shape(), height / 1.75
    shirt, cloth, flesh, shoe = _paint(top), _paint(trousers), _paint(skin), _paint((0.03, 0.03, 0.03))
    for side, step in ((-1, 0.1), (1, -0.1)):
        y = 0.1 * side * k
        foot, knee, hip = (
            vec(step * k, y, 0.07 * k),
            vec(0.5 * step * k + 0.05, y, 0.47 * k),
            vec(0, y, 0.9 * k),
        )
        s.bar(foot, knee, 0.11 * k, cloth, ends=True)
        s.bar(knee, hip, 0.145 * k, cloth, ends=True)
        s.box(foot + vec(-0.08, -0.05, -0.07) * k, foot + vec(0.18, 0.05, 0.02) * k, shoe)
        shoulder, hand = vec(0, 0.235 * side * k, 1.4 * k), vec(-step * k, 0.27 * side * k, 0.86 * k)
        elbow = (shoulder + hand) / 2 - vec(0.05 * k, 0, 0)
        s.bar(shoulder, elbow, 0.095 * k, shirt, ends=True)
        s.bar(elbow, hand, 0.075 * k, shirt, ends=True)
        s.box(hand - vec(0.045, 0.03, 0.1) * k, hand + vec(0.045, 0.03, 0.02) * k, flesh)
    s.place(_ellipse_prism(0.15 * k, 0.17 * k, 0.12 * k, 0.18 * k, cloth), vec(0, 0, 0.85 * k))
    s.place(_ellipse_prism(0.12 * k, 0.165 * k, 0.135 * k, 0.23 * k, shirt, 0.5 * k), vec(0, 0, 0.95 * k))
    s.prism(vec(0, 0, 1.44 * k), 0.06 * k, 0.1 * k, flesh, 7, caps="")
    s.prism(vec(0.01 * k, 0, 1.5 * k), 0.075 * k, 0.13 * k, flesh, 9, 0.1 * k, "z")
    s.prism(vec(0, 0, 1.62 * k), 0.105 * k, 0.07 * k, _paint(hair), 9, 0.1 * k, "z")
    s.prism(vec(0, 0, 1.69 * k), 0.1 * k, 0.06 * k, _paint(hair), 9, 0.05 * k, "Z")
    return s


def _ellipse_prism(
    x0: float, y0: float, x1: float, y1: float, material: Material, height: float = 0.12, sides: int = 8
) -> Shape:
    """A closed prism from a bottom ellipse of half axes (x0, y0) to a top one of (x1, y1)."""
    s = Shape()
    angle = (np.arange(sides + 1) + 0.5) * 2 * np.pi / sides
    low = np.column_stack([x0 * np.cos(angle), y0 * np.sin(angle), np.zeros(sides + 1)])
    high = np.column_stack([x1 * np.cos(angle), y1 * np.sin(angle), np.full(sides + 1, height)])
    for i in range(sides):
        a, b, c, d = low[i], low[i + 1], high[i + 1], high[i]
        s.triangle(a, b, c, material)
        s.triangle(a, c, d, material)
        s.triangle(d, c, vec(0, 0, height), material)
        s.triangle(b, a, vec(0, 0, 0), material)
    return s


def _cart() -> Shape:
    """A service cart 0.9 m high, 0.85 m long, with two trays, boxes and four wheels."""
    s, steel, tray = Shape(), _paint((0.4, 0.4, 0.42)), _paint((0.08, 0.22, 0.4))
    for x in (-0.4, 0.36):
        for y in (-0.27, 0.23):
            s.box((x, y, 0.1), (x + 0.04, y + 0.04, 0.78), steel)
            s.box((x - 0.03, y, 0.0), (x + 0.07, y + 0.04, 0.1), _paint((0.02, 0.02, 0.02)))
    for z in (0.16, 0.74):
        s.box((-0.42, -0.28, z), (0.42, 0.28, z + 0.04), tray)
    for y in (-0.27, 0.24):
        s.bar((-0.4, y, 0.76), (-0.5, y, 0.92), 0.03, steel, ends=True)
    s.bar((-0.5, -0.27, 0.92), (-0.5, 0.27, 0.92), 0.035, steel, ends=True)
    s.box((-0.3, -0.22, 0.2), (0.05, 0.1, 0.5), _paint((0.45, 0.3, 0.16)))
    s.box((-0.1, -0.2, 0.78), (0.32, 0.22, 1.0), _paint((0.5, 0.12, 0.08)))
    return s


def _trolley() -> Shape:
    """A flat trolley with a stack of cartons, 0.95 m high."""
    s = Shape()
    s.box((-0.45, -0.3, 0.12), (0.45, 0.3, 0.18), _paint((0.55, 0.4, 0.03)))
    for x in (-0.38, 0.3):
        for y in (-0.26, 0.22):
            s.box((x, y, 0.0), (x + 0.1, y + 0.04, 0.12), _paint((0.02, 0.02, 0.02)))
    for y in (-0.27, 0.24):
        s.bar((-0.43, y, 0.18), (-0.43, y, 0.95), 0.035, _paint((0.2, 0.2, 0.2)), ends=True)
    s.bar((-0.43, -0.28, 0.94), (-0.43, 0.28, 0.94), 0.035, _paint((0.2, 0.2, 0.2)), ends=True)
    s.box((-0.3, -0.28, 0.18), (0.4, 0.25, 0.55), _paint((0.42, 0.28, 0.15)))
    s.box((-0.25, -0.2, 0.55), (0.25, 0.22, 0.85), _paint((0.5, 0.36, 0.2)))
    return s


def _bag() -> Shape:
    """A heavy bag 0.44 m across and 0.9 m high; its origin is at the bottom."""
    s = Shape()
    red, black = _paint((0.45, 0.05, 0.04)), _paint((0.03, 0.03, 0.03))
    s.prism((0, 0, 0), 0.22, 0.3, red, 12, 0.22, "z")
    s.prism((0, 0, 0.3), 0.22, 0.3, _paint((0.7, 0.68, 0.6)), 12, caps="")
    s.prism((0, 0, 0.6), 0.22, 0.2, red, 12, caps="")
    s.prism((0, 0, 0.8), 0.22, 0.1, black, 12, 0.1, "Z")
    return s


def _ball() -> Shape:
    """A ball 0.5 m across, red and white; its origin is at the bottom."""
    s, r = Shape(), 0.25
    levels = np.linspace(-np.pi / 2, np.pi / 2, 9)
    for i, (a, b) in enumerate(pairwise(levels)):
        color = (0.7, 0.06, 0.04) if i % 2 else (0.75, 0.75, 0.7)
        low, high = r * np.cos(a), r * np.cos(b)
        base = vec(0, 0, r + r * np.sin(a))
        s.prism(base, max(low, 1e-3), r * (np.sin(b) - np.sin(a)), _paint(color), 14, max(high, 1e-3), "")
    return s


def _panel() -> Shape:
    """A sliding panel 1.0 m wide and 1.6 m high, 6 cm thick, with warning bars."""
    s = Shape()
    s.box((-0.03, -0.5, 0.0), (0.03, 0.5, 1.6), _paint((0.6, 0.42, 0.03)))
    for z in (0.2, 0.7, 1.2):
        s.box((-0.034, -0.5, z), (0.034, 0.5, z + 0.2), _paint((0.03, 0.03, 0.03)))
    return s


_MAKERS: dict[str, Callable[[], Shape]] = {
    "person_a": lambda: _person(1.75, SKIN[0], (0.08, 0.05, 0.03), (0.08, 0.16, 0.4), (0.05, 0.05, 0.07)),
    "person_b": lambda: _person(1.63, SKIN[1], (0.02, 0.02, 0.02), (0.55, 0.08, 0.07), (0.1, 0.14, 0.25)),
    "person_c": lambda: _person(1.84, SKIN[2], (0.25, 0.15, 0.06), (0.55, 0.55, 0.5), (0.25, 0.2, 0.13)),
    "person_d": lambda: _person(1.68, SKIN[0], (0.35, 0.22, 0.08), (0.08, 0.3, 0.14), (0.3, 0.3, 0.32)),
    "cart": _cart,
    "trolley": _trolley,
    "bag": _bag,
    "ball": _ball,
    "panel": _panel,
}

MOVER_KINDS: tuple[str, ...] = tuple(_MAKERS)
"""People and carts stand on the floor; a ``panel`` runs across halls, in training bags and balls as well."""


def _known(kind: str) -> None:
    if kind not in _MAKERS:
        raise ValueError(f"unknown mover {kind!r}: choose one of {', '.join(MOVER_KINDS)}")


@lru_cache(maxsize=len(_MAKERS))
def _parts(kind: str) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.uint8]]:
    patches = _MAKERS[kind]().patches
    vertices, faces, _, of_face = triangulate(patches)
    normal = np.array([np.cross(p.u, p.v) / np.linalg.norm(np.cross(p.u, p.v)) for p in patches])
    sky = 0.62 + 0.3 * normal[:, 2] + 0.12 * normal[:, 0] + 0.06 * normal[:, 1]
    of_vertex = np.empty(len(vertices), dtype=np.int64)
    of_vertex[faces.ravel()] = np.repeat(of_face, 3)
    height = 0.8 + 0.2 * np.clip(vertices[:, 2] / 0.6, 0, 1)
    linear = np.array([p.material.color for p in patches])[of_vertex] * (sky[of_vertex] * height)[:, None]
    srgb = np.clip(1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055, 0, 1)
    colors = np.column_stack([np.rint(255 * srgb), np.full(len(vertices), 255)]).astype(np.uint8)
    return vertices, faces, colors


def mover_mesh(kind: str) -> trimesh.Trimesh:
    """The mesh of a mover with shaded vertex colours: it stands on its origin, x forward, z up, metres.

    Raises:
        ValueError: The kind is unknown.
    """
    _known(kind)
    vertices, faces, colors = _parts(kind)
    return trimesh.Trimesh(vertices.copy(), faces.copy(), vertex_colors=colors.copy(), process=False)


def mover_radius(kind: str) -> float:
    """Radius in metres of the upright cylinder around the origin that holds the mover.

    Raises:
        ValueError: The kind is unknown.
    """
    _known(kind)
    return float(np.linalg.norm(_parts(kind)[0][:, :2], axis=1).max())
