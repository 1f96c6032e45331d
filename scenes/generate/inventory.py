"""Small furniture and things on the floor, and what each kind of room holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asyncmde_sim.scenes.generate import furniture as f
from asyncmde_sim.scenes.generate.lighting import Lamp
from asyncmde_sim.scenes.generate.parts import METAL, Piece, any_color, clutter_on, fabric, pick, wood
from asyncmde_sim.scenes.generate.shapes import Material, Shape, vec


def floor_lamp(rng: np.random.Generator) -> Piece:
    """A standing lamp: a foot, a stand of 2.5 cm, a shade."""
    s = Shape()
    c = np.array([0.2, 0.0, 0.0])
    h = rng.uniform(1.3, 1.6)
    s.prism(c, 0.14, 0.025, METAL, 10, caps="Z")
    s.prism(c, 0.0125, h, METAL, 5, caps="")
    on = rng.random() < 0.5
    power = rng.uniform(0.3, 0.7) if on else 0.02
    shade = Material("plaster", (0.8, 0.68, 0.45), emission=1.4 if on else 0.25)
    s.prism(c + vec(0, 0, h - 0.02), 0.2, 0.28, shade, 10, 0.13, "zZ")
    lamp = Lamp((0.2, 0.0, h + 0.1), (power, 0.82 * power, 0.55 * power))
    return Piece("floor lamp", s, 0.4, 0.4, 1, lamp)


def plant(rng: np.random.Generator) -> Piece:
    """A potted plant with long leaves."""
    s = Shape()
    c = np.array([0.25, 0.0, 0.0])
    pot = rng.uniform(0.13, 0.18)
    s.prism(c, pot * 0.75, 0.3, Material("painted", any_color(rng, 0.1, 0.6)), 8, pot, "")
    s.prism(c + vec(0, 0, 0.275), pot * 0.97, 0.01, Material("concrete", (0.06, 0.04, 0.03)), 8, caps="Z")
    green = Material("leaf", (float(rng.uniform(0.03, 0.1)), float(rng.uniform(0.15, 0.3)), 0.04))
    stem = Material("painted", (0.15, 0.12, 0.05))
    top = rng.uniform(0.4, 1.0)
    s.bar(c + vec(0, 0, 0.26), c + vec(0, 0, 0.3 + top), 0.018, stem)
    for k in range(int(rng.integers(8, 14))):
        a, tilt = 2.4 * k + rng.uniform(-0.3, 0.3), rng.uniform(0.3, 1.1)
        length = rng.uniform(0.22, 0.38) * min(1.0, 0.5 + top)
        out = np.array([np.cos(a) * np.cos(tilt), np.sin(a) * np.cos(tilt), np.sin(tilt)])
        side = np.array([-np.sin(a), np.cos(a), 0.0]) * rng.uniform(0.07, 0.12)
        start = c + vec(0, 0, 0.3 + top * rng.uniform(0.15, 1.0))
        s.leaf(start - side / 2, side, out * length, green)
    return Piece("plant", s, 0.5, 0.5, 1)


def coat_stand(rng: np.random.Generator) -> Piece:
    """A coat stand on three feet."""
    s, m = Shape(), wood(rng)
    c = np.array([0.25, 0.0, 0.0])
    s.bar(c, c + vec(0, 0, 1.75), 0.035, m)
    for k in range(3):
        a = 2 * np.pi * k / 3
        out = np.array([np.cos(a), np.sin(a), 0.0])
        s.bar(c + vec(0, 0, 0.25), c + 0.24 * out + vec(0, 0, 0.02), 0.03, m)
        s.bar(c + vec(0, 0, 1.6), c + 0.15 * out + vec(0, 0, 1.72), 0.02, m)
    if rng.random() < 0.6:
        s.prism(c + vec(0, 0, 0.85), 0.17, 0.75, fabric(rng), 7, 0.08, "z")
    return Piece("coat stand", s, 0.5, 0.5, 4)


def box_stack(rng: np.random.Generator) -> Piece:
    """One to three cardboard boxes."""
    s = Shape()
    a, b, z = rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.6), 0.0
    for _ in range(int(rng.integers(1, 4))):
        carton = Material("carton", pick(rng, ((0.45, 0.3, 0.16), (0.38, 0.26, 0.15))), (0.6, 0.5, 0.3))
        h = rng.uniform(0.2, 0.4)
        inner = Shape()
        k = rng.uniform(0.75, 1.0)
        inner.box((-a * k / 2, -b * k / 2, 0), (a * k / 2, b * k / 2, h), carton)
        s.place(inner, (a / 2, 0, z), rng.uniform(-0.15, 0.15))
        z += h
    return Piece("boxes", s, a, b)


def stool(rng: np.random.Generator) -> Piece:
    """A round stool on three thin legs."""
    s, m = Shape(), wood(rng)
    c = np.array([0.18, 0.0, 0.0])
    for k in range(3):
        a = 2 * np.pi * k / 3 + 0.3
        out = np.array([np.cos(a), np.sin(a), 0.0])
        s.bar(c + 0.17 * out, c + 0.1 * out + vec(0, 0, 0.42), 0.025, m)
    s.prism(c + vec(0, 0, 0.41), 0.17, 0.04, m, 10)
    return Piece("stool", s, 0.36, 0.36, 3)


def bin_(rng: np.random.Generator) -> Piece:
    """A waste bin."""
    s = Shape()
    s.prism((0.15, 0, 0), 0.11, rng.uniform(0.28, 0.6), Material("painted", any_color(rng)), 9, 0.145, "Z")
    return Piece("bin", s, 0.3, 0.3)


def floor_item(rng: np.random.Generator) -> Piece:
    """A small thing left on the floor: a bag, a ball or a pile of books."""
    s = Shape()
    kind = int(rng.integers(3))
    if kind == 0:
        s.prism((0.18, 0, 0), 0.17, 0.26, fabric(rng), 7, 0.1, "Z")
        s.bar((0.1, -0.05, 0.26), (0.26, 0.05, 0.34), 0.02, METAL)
    elif kind == 1:
        m, c = Material("hazard", any_color(rng), (0.7, 0.7, 0.7), 0.14), np.array([0.15, 0.0, 0.0])
        for r0, r1, z, h in ((0.07, 0.13, 0.0, 0.07), (0.13, 0.13, 0.07, 0.1), (0.13, 0.07, 0.17, 0.07)):
            s.prism(c + vec(0, 0, z), r0, h, m, 9, r1, "Z" if z > 0.1 else "")
    else:
        clutter_on(s, rng, (0.12, 0.22), (-0.05, 0.05), 0.0, 2)
    return Piece("floor item", s, 0.35, 0.35)


Maker = Callable[[np.random.Generator], Piece]
AGAINST_WALL: dict[str, tuple[tuple[Maker, float], ...]] = {
    "living room": (
        (f.sofa, 1.0),
        (f.tv_bench, 0.9),
        (f.shelf, 0.9),
        (f.armchair, 0.6),
        (floor_lamp, 0.8),
        (plant, 0.8),
        (f.dresser, 0.5),
        (f.shelf, 0.4),
    ),
    "kitchen": (
        (f.kitchen_counter, 1.0),
        (f.fridge, 1.0),
        (f.shelf, 0.4),
        (bin_, 0.8),
        (stool, 0.6),
        (plant, 0.3),
    ),
    "bedroom": (
        (f.bed, 1.0),
        (f.wardrobe, 1.0),
        (f.nightstand, 0.9),
        (f.dresser, 0.6),
        (f.chair, 0.5),
        (floor_lamp, 0.4),
        (plant, 0.4),
    ),
    "study": (
        (f.desk, 1.0),
        (f.shelf, 0.9),
        (f.shelf, 0.6),
        (floor_lamp, 0.6),
        (f.armchair, 0.4),
        (box_stack, 0.7),
        (bin_, 0.5),
    ),
    "bathroom": (
        (f.bath, 0.8),
        (f.toilet, 1.0),
        (f.washbasin, 1.0),
        (f.washing_machine, 0.7),
        (bin_, 0.5),
        (f.nightstand, 0.4),
    ),
}
IN_THE_MIDDLE: dict[str, tuple[tuple[Maker, float], ...]] = {
    "living room": ((f.coffee_table, 0.9), (f.dining_set, 0.6)),
    "kitchen": ((f.dining_set, 0.9),),
    "bedroom": ((stool, 0.3),),
    "study": ((f.coffee_table, 0.3),),
    "bathroom": (),
}
ANYWHERE: tuple[Maker, ...] = (floor_item, box_stack, stool, plant, coat_stand, bin_)
