"""What every piece of furniture is made of: colours, surfaces, legs, and small things on top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asyncmde_sim.scenes.generate.lighting import Lamp
from asyncmde_sim.scenes.generate.shapes import Color, Material, Shape

CARPET_COLORS: tuple[Color, ...] = (
    (0.35, 0.08, 0.07),
    (0.08, 0.12, 0.3),
    (0.4, 0.35, 0.25),
    (0.1, 0.25, 0.2),
    (0.25, 0.24, 0.24),
    (0.5, 0.28, 0.1),
)
WOOD_COLORS: tuple[Color, ...] = (
    (0.42, 0.24, 0.11),
    (0.58, 0.4, 0.22),
    (0.2, 0.1, 0.05),
    (0.66, 0.52, 0.34),
    (0.3, 0.2, 0.13),
)


@dataclass(frozen=True)
class Piece:
    """One piece of furniture: its shape, the floor rectangle that it takes, and what it is.

    The rectangle spans x in [0, depth] and y in [-width / 2, width / 2]; ``thin`` counts its thin parts,
    ``lamp`` is a light in it.
    """

    kind: str
    shape: Shape
    depth: float
    width: float
    thin: int = 0
    lamp: Lamp | None = None


def pick(rng: np.random.Generator, colors: tuple[Color, ...], spread: float = 0.04) -> Color:
    """One of the colours, slightly varied."""
    base = np.array(colors[int(rng.integers(len(colors)))])
    r, g, b = np.clip(base + rng.uniform(-spread, spread, 3), 0.02, 0.9)
    return float(r), float(g), float(b)


def any_color(rng: np.random.Generator, dark: float = 0.05, bright: float = 0.6) -> Color:
    """A random, fairly saturated colour."""
    hue = rng.random(3)
    hue = (hue - hue.min()) / (np.ptp(hue) + 1e-6)
    r, g, b = dark + (bright - dark) * (0.25 + 0.75 * hue) * rng.uniform(0.4, 1.0)
    return float(r), float(g), float(b)


def wood(rng: np.random.Generator) -> Material:
    """Wood of some kind."""
    return Material("wood", pick(rng, WOOD_COLORS))


def body(rng: np.random.Generator) -> Material:
    """The surface of a cupboard: wood, white or colour."""
    draw = rng.random()
    if draw < 0.5:
        return wood(rng)
    return Material("painted", (0.72, 0.71, 0.68) if draw < 0.8 else any_color(rng))


def fabric(rng: np.random.Generator) -> Material:
    """Upholstery."""
    return Material("fabric", any_color(rng, 0.04, 0.5), any_color(rng, 0.1, 0.6))


METAL = Material("painted", (0.09, 0.09, 0.1))
STEEL = Material("painted", (0.5, 0.5, 0.52))
WHITE = Material("painted", (0.8, 0.8, 0.78))
BLACK = Material("screen", (0.02, 0.022, 0.03), (0.01, 0.01, 0.01))
DARK = Material("plaster", (0.03, 0.03, 0.03))


def legs(
    shape: Shape, x: tuple[float, float], y: tuple[float, float], top: float, w: float, m: Material
) -> None:
    for lx in (x[0], x[1] - w):
        for ly in (y[0], y[1] - w):
            shape.box((lx, ly, 0), (lx + w, ly + w, top), m, skip="zZ")


def clutter_on(
    s: Shape, rng: np.random.Generator, x: tuple[float, float], y: tuple[float, float], z: float, most: int
) -> None:
    """Put up to ``most`` small things (bottles, bowls, books, boxes, mugs) on a surface at height ``z``."""
    for _ in range(int(rng.integers(1, most + 1))):
        px, py = rng.uniform(*x), rng.uniform(*y)
        kind = int(rng.integers(5))
        if kind == 0:
            r, m = rng.uniform(0.03, 0.045), Material("painted", any_color(rng, 0.02, 0.4))
            s.prism((px, py, z), r, 0.2, m, 6, caps="")
            s.prism((px, py, z + 0.2), r, 0.05, m, 6, top_radius=0.012, caps="")
            s.prism((px, py, z + 0.25), 0.012, 0.06, m, 5, caps="Z")
        elif kind == 1:
            s.prism((px, py, z), 0.06, 0.07, Material("painted", any_color(rng, 0.2, 0.8)), 8, 0.13, "Z")
        elif kind == 2:
            for k in range(int(rng.integers(1, 5))):
                book = Material("painted", any_color(rng))
                a, b = rng.uniform(0.06, 0.1), rng.uniform(0.08, 0.13)
                s.box((px - a, py - b, z + 0.03 * k), (px + a, py + b, z + 0.03 * (k + 1)), book, skip="z")
        elif kind == 3:
            a, b, h = rng.uniform(0.05, 0.12), rng.uniform(0.05, 0.12), rng.uniform(0.06, 0.22)
            s.box((px - a, py - b, z), (px + a, py + b, z + h), Material("carton", any_color(rng)), skip="z")
        else:
            s.prism((px, py, z), 0.04, 0.1, Material("painted", any_color(rng, 0.2, 0.8)), 7, caps="Z")
