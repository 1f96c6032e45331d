"""What a hall has on its walls and floor: doors, signs, pipes, boxes and painted lanes, none in the way."""

from __future__ import annotations

import numpy as np

from asyncmde_sim.scenes.generate.parts import METAL, STEEL, WHITE, WOOD_COLORS, any_color, pick
from asyncmde_sim.scenes.generate.shapes import Material, Shape


def _door(rng: np.random.Generator) -> Shape:
    """A closed steel door of 0.9 x 2.03 m with its frame and handle."""
    s, leaf = Shape(), Material("door", pick(rng, (*WOOD_COLORS, (0.25, 0.3, 0.35))))
    s.box((0.0, -0.45, 0.0), (0.03, 0.45, 2.03), leaf, skip="xz")
    for y0, y1, z0, z1 in ((-0.52, -0.45, 0, 2.1), (0.45, 0.52, 0, 2.1), (-0.45, 0.45, 2.03, 2.1)):
        s.box((0.0, y0, z0), (0.045, y1, z1), METAL, skip="xz")
    s.box((0.03, 0.3, 1.0), (0.08, 0.4, 1.03), STEEL, skip="x")
    return s


def _sign(rng: np.random.Generator) -> Shape:
    """A notice board at eye height."""
    s, w, h = Shape(), rng.uniform(0.4, 1.2), rng.uniform(0.4, 0.8)
    z = rng.uniform(1.2, 1.5)
    front = Material("picture", any_color(rng))
    s.box((0.0, -w / 2, z), (0.03, w / 2, z + h), METAL, skip="x", faces={"X": front})
    return s


def _switch_box(rng: np.random.Generator) -> Shape:
    """A grey cabinet with a conduit up the wall."""
    s, w, h = Shape(), rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.9)
    s.box((0.0, -w / 2, 1.0), (0.12, w / 2, 1.0 + h), STEEL if rng.random() < 0.6 else WHITE, skip="x")
    s.box((0.01, -0.02, 1.0 + h), (0.05, 0.02, 3.6), METAL, skip="xz")
    return s


def _extinguisher(rng: np.random.Generator) -> Shape:
    """A fire extinguisher 0.5 m high below its sign."""
    s, red = Shape(), Material("painted", (0.5, 0.03, 0.02))
    s.prism((0.09, 0.0, 0.75), 0.08, 0.42, red, 9, caps="z")
    s.prism((0.09, 0.0, 1.17), 0.08, 0.07, red, 9, 0.02, "Z")
    size = rng.uniform(0.2, 0.3)
    s.box((0.0, -size / 2, 1.7), (0.01, size / 2, 1.7 + size), red, skip="x")
    return s


def dress_hall(rng: np.random.Generator, length: float, width: float, height: float) -> Shape:
    """Fittings at most 0.18 m deep along all four walls, pipes under the ceiling, and lanes on the floor.

    Args:
        rng: Draws them.
        length, width, height: Inner size of the hall from the origin, metres.
    """
    s = Shape()
    makers = (_door, _sign, _switch_box, _extinguisher)
    for y, yaw in ((0.0, np.pi / 2), (width, -np.pi / 2)):
        for x in np.arange(1.5, length - 1.5, rng.uniform(2.2, 4.0)):
            if rng.random() < 0.8:
                maker = makers[int(rng.integers(len(makers)))]
                s.place(maker(rng), (x + rng.uniform(-0.4, 0.4), y, 0.0), yaw)
        z, inset = height - rng.uniform(0.5, 0.9), 0.09 if y == 0.0 else width - 0.09
        pipe = Material("painted", any_color(rng))
        s.bar((0.0, inset, z), (length, inset, z), rng.uniform(0.06, 0.14), pipe)
    for x, yaw in ((0.0, 0.0), (length, np.pi)):
        for y in np.arange(1.2, width - 1.0, 2.4):
            s.place(makers[int(rng.integers(2))](rng), (x, y + rng.uniform(-0.3, 0.3), 0.0), yaw)
    if rng.random() < 0.7:
        paint = Material(
            "hazard" if rng.random() < 0.4 else "concrete", (0.65, 0.5, 0.05), (0.1, 0.1, 0.1), 0.4
        )
        for y in (0.25 * width, 0.75 * width):
            s.quad((0.5, y, 0.005), (length - 1.0, 0, 0), (0, 0.1, 0), paint)
    return s
