"""Planar patches, and the boxes, prisms and bars that furniture is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Color = tuple[float, float, float]
Vector = Sequence[float] | NDArray[np.float64]

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True)
class Material:
    """A procedural surface.

    Args:
        pattern: Name of a pattern in ``materials.PATTERNS``.
        color: Main linear colour, each channel in [0, 1].
        accent: Second linear colour of the pattern.
        scale: Size of the pattern's cell in metres.
        emission: Radiance factor; above 0 the surface shines by itself and casts no shadow.
    """

    pattern: str = "plaster"
    color: Color = (0.7, 0.7, 0.7)
    accent: Color = (0.4, 0.4, 0.4)
    scale: float = 0.1
    emission: float = 0.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"material scale is {self.scale} m, but it must be positive")
        if self.emission < 0:
            raise ValueError(f"material emission is {self.emission}, but it must not be negative")


@dataclass(frozen=True)
class Patch:
    """A convex planar polygon on the parallelogram ``origin + s u + t v``; it faces along u x v.

    ``outline`` (N, 2) are its corners (s, t), counter-clockwise, within [0, 1].
    """

    origin: NDArray[np.float64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    material: Material
    outline: NDArray[np.float64] = field(default_factory=lambda: SQUARE)


def vec(x: float, y: float, z: float) -> NDArray[np.float64]:
    """A vector (3,)."""
    return np.array([x, y, z], dtype=np.float64)


def rotation_z(yaw: float) -> NDArray[np.float64]:
    """The 3x3 turn by ``yaw`` radians about z."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


class Shape:
    """A growing list of patches in one frame (z up, metres)."""

    def __init__(self, patches: Iterable[Patch] = ()) -> None:
        self.patches: list[Patch] = list(patches)

    def quad(self, origin: Vector, u: Vector, v: Vector, material: Material) -> None:
        """Add the parallelogram ``origin + s u + t v``, facing along u x v."""
        o, u, v = (np.asarray(a, dtype=np.float64) for a in (origin, u, v))
        self.patches.append(Patch(o, u, v, material))

    def box(
        self,
        low: Vector,
        high: Vector,
        material: Material,
        skip: str = "",
        faces: dict[str, Material] | None = None,
    ) -> None:
        """Add an axis-aligned box.

        Args:
            low, high: Opposite corners, metres.
            material: Material of all faces.
            skip: Faces to leave out, among the letters ``x X y Y z Z`` (a capital is the positive side).
            faces: Other materials for single faces, by the same letters.
        """
        (lx, ly, lz), (hx, hy, hz) = low, high
        dx, dy, dz = hx - lx, hy - ly, hz - lz
        if min(dx, dy, dz) <= 0:
            raise ValueError(f"box from {tuple(low)} to {tuple(high)} is empty: every side must be positive")
        sides = {
            "X": ((hx, ly, lz), (0, dy, 0), (0, 0, dz)),
            "x": ((lx, hy, lz), (0, -dy, 0), (0, 0, dz)),
            "Y": ((hx, hy, lz), (-dx, 0, 0), (0, 0, dz)),
            "y": ((lx, ly, lz), (dx, 0, 0), (0, 0, dz)),
            "Z": ((lx, ly, hz), (dx, 0, 0), (0, dy, 0)),
            "z": ((lx, hy, lz), (dx, 0, 0), (0, -dy, 0)),
        }
        for letter, (origin, u, v) in sides.items():
            if letter not in skip:
                self.quad(origin, u, v, (faces or {}).get(letter, material))

    def prism(
        self,
        base: Vector,
        radius: float,
        height: float,
        material: Material,
        sides: int = 8,
        top_radius: float | None = None,
        caps: str = "zZ",
    ) -> None:
        """Add an upright regular prism or frustum on ``base`` (3,); ``caps`` names the ends to close."""
        top = radius if top_radius is None else top_radius
        base = np.asarray(base, dtype=np.float64)
        angles = (np.arange(sides) + 0.5) * 2 * np.pi / sides
        ring = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(sides)])
        lift = np.array([0.0, 0.0, height])
        wide = max(radius, top)
        for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            middle = (a + b) / 2
            u = wide * (b - a)
            v = lift + (top - radius) * middle
            low, high = radius / wide / 2, top / wide / 2
            outline = np.array([[0.5 - low, 0], [0.5 + low, 0], [0.5 + high, 1], [0.5 - high, 1]])
            self.patches.append(Patch(base + radius * middle - u / 2, u, v, material, outline))
        disc = ring[:, :2] / 2 + 0.5
        if "Z" in caps and top > 0:
            origin = base + lift - vec(top, top, 0)
            self.patches.append(
                Patch(origin, np.array([2 * top, 0, 0]), np.array([0, 2 * top, 0]), material, disc)
            )
        if "z" in caps and radius > 0:
            origin = base + vec(-radius, radius, 0)
            self.patches.append(
                Patch(origin, np.array([2 * radius, 0, 0]), np.array([0, -2 * radius, 0]), material, disc)
            )

    def bar(self, start: Vector, end: Vector, width: float, material: Material, ends: bool = False) -> None:
        """Add a square bar from ``start`` to ``end`` (3,), open unless ``ends`` closes it."""
        p, q = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
        along = q - p
        axis = along / np.linalg.norm(along)
        helper = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
        a = np.cross(helper, axis)
        a *= width / np.linalg.norm(a)
        b = np.cross(axis, a)
        for u, n in ((a, -b), (b, a), (-a, b), (-b, -a)):
            self.quad(p - u / 2 + n / 2, u, along, material)
        if ends:
            self.quad(p - a / 2 + b / 2, a, -b, material)
            self.quad(q - a / 2 - b / 2, a, b, material)

    def triangle(self, a: Vector, b: Vector, c: Vector, material: Material) -> None:
        """Add one triangle, counter-clockwise from its front."""
        a, b, c = (np.asarray(p, dtype=np.float64) for p in (a, b, c))
        self.patches.append(Patch(a, b - a, c - a, material, SQUARE[[0, 1, 3]]))

    def leaf(self, origin: Vector, u: Vector, v: Vector, material: Material) -> None:
        """Add a thin sheet that is seen from both sides (two quads 4 mm apart)."""
        o, u, v = (np.asarray(a, dtype=np.float64) for a in (origin, u, v))
        n = np.cross(u, v)
        n *= 0.002 / np.linalg.norm(n)
        self.quad(o + n, u, v, material)
        self.quad(o + u - n, -u, v, material)

    def place(self, other: Shape, position: Vector, yaw: float = 0.0) -> None:
        """Add the patches of ``other``, turned by ``yaw`` about z and then moved by ``position`` (3,)."""
        turn = rotation_z(yaw)
        shift = np.asarray(position, dtype=np.float64)
        for p in other.patches:
            self.patches.append(Patch(turn @ p.origin + shift, turn @ p.u, turn @ p.v, p.material, p.outline))


def triangulate(
    patches: Sequence[Patch],
) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """Triangles of convex patches.

    Returns:
        Vertices (V, 3), faces (F, 3), each vertex's (s, t) on its patch (V, 2), each face's patch (F,).
        No vertex belongs to two patches.
    """
    counts = np.array([len(p.outline) for p in patches])
    st = np.concatenate([p.outline for p in patches])
    owner = np.repeat(np.arange(len(patches)), counts)
    origin, u, v = (np.array([getattr(p, name) for p in patches])[owner] for name in ("origin", "u", "v"))
    vertices = origin + st[:, :1] * u + st[:, 1:] * v
    first = np.repeat(np.cumsum(counts) - counts, counts - 2)
    of_face = np.repeat(np.arange(len(patches)), counts - 2)
    step = np.arange(len(of_face)) - np.repeat(np.cumsum(counts - 2) - (counts - 2), counts - 2)
    faces = np.column_stack([first, first + step + 1, first + step + 2])
    return vertices, faces.astype(np.int32), st, of_face.astype(np.int32)
