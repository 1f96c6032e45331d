"""Furniture with real-world dimensions, from boxes, prisms and bars.

Every piece stands on z = 0 with its back at x = 0, its front towards +x and y = 0 in its middle.
"""

from __future__ import annotations

import numpy as np

from asyncmde_sim.scenes.generate.parts import (
    BLACK,
    DARK,
    METAL,
    STEEL,
    WHITE,
    Piece,
    any_color,
    body,
    clutter_on,
    fabric,
    legs,
    pick,
    wood,
)
from asyncmde_sim.scenes.generate.shapes import Material, Shape, vec

SEAT_HEIGHT_M = 0.45
TABLE_HEIGHT_M = 0.74
BED_HEIGHT_M = 0.5
COUNTER_HEIGHT_M = 0.9


def chair(rng: np.random.Generator) -> Piece:
    """A dining chair: seat at 0.45 m, back to 0.9 m, four legs."""
    s, m = Shape(), wood(rng) if rng.random() < 0.7 else METAL
    seat = m if rng.random() < 0.5 else fabric(rng)
    w, d = 0.43, 0.44
    leg = 0.035
    legs(s, (0.0, d), (-w / 2, w / 2), SEAT_HEIGHT_M - 0.035, leg, m)
    s.box((0, -w / 2, SEAT_HEIGHT_M - 0.035), (d, w / 2, SEAT_HEIGHT_M), seat)
    top = rng.uniform(0.84, 0.95)
    for y in (-w / 2, w / 2 - leg):
        s.box((0, y, SEAT_HEIGHT_M), (leg, y + leg, top), m, skip="z")
    if rng.random() < 0.5:
        s.box((0.005, -w / 2 + leg, top - 0.26), (0.025, w / 2 - leg, top), seat)
    else:
        for z in (0.58, 0.7, top - 0.06):
            s.box((0.005, -w / 2 + leg, z), (0.025, w / 2 - leg, z + 0.045), m)
    return Piece("chair", s, d, w, 4)


def office_chair(rng: np.random.Generator) -> Piece:
    """A swivel chair on a five-armed foot."""
    s, cover = Shape(), fabric(rng)
    c = np.array([0.3, 0.0, 0.0])
    for k in range(5):
        a = 2 * np.pi * k / 5
        s.bar(c + vec(0, 0, 0.09), c + vec(0.28 * np.cos(a), 0.28 * np.sin(a), 0.05), 0.035, METAL)
    s.prism(c + vec(0, 0, 0.06), 0.03, 0.36, METAL, sides=6, caps="")
    s.box((0.06, -0.23, 0.42), (0.53, 0.23, 0.5), cover)
    s.bar((0.08, 0, 0.45), (0.02, 0, 0.65), 0.05, METAL)
    s.box((0.0, -0.21, 0.58), (0.06, 0.21, 1.05), cover)
    return Piece("office chair", s, 0.6, 0.6, 6)


def table(rng: np.random.Generator, length: float, depth: float) -> Piece:
    """A table 0.74 m high with some things on it; its long side runs along y."""
    s, m = Shape(), wood(rng)
    under = m if rng.random() < 0.6 else METAL
    s.box((0, -length / 2, TABLE_HEIGHT_M - 0.035), (depth, length / 2, TABLE_HEIGHT_M), m)
    legs(
        s, (0.04, depth - 0.04), (-length / 2 + 0.04, length / 2 - 0.04), TABLE_HEIGHT_M - 0.035, 0.05, under
    )
    clutter_on(s, rng, (0.1, depth - 0.1), (-length / 2 + 0.12, length / 2 - 0.12), TABLE_HEIGHT_M, 4)
    return Piece("table", s, depth, length, 4)


def dining_set(rng: np.random.Generator) -> Piece:
    """A table with chairs drawn up to it on both sides."""
    length, depth = rng.uniform(1.2, 1.8), rng.uniform(0.75, 0.9)
    s = Shape()
    s.place(table(rng, length, depth).shape, (0.45, 0, 0))
    seats = [-length / 4, length / 4] if length < 1.65 else [-length / 3, 0.0, length / 3]
    thin = 4
    for y in seats:
        for yaw, x in ((0.0, rng.uniform(0.0, 0.2)), (np.pi, depth + 0.9 - rng.uniform(0.0, 0.2))):
            if rng.random() < 0.88:
                s.place(chair(rng).shape, (x, y, 0), yaw + rng.uniform(-0.12, 0.12))
                thin += 4
    return Piece("dining set", s, depth + 0.9, length + 0.05, thin)


def desk(rng: np.random.Generator) -> Piece:
    """A desk with a screen, a lamp and a swivel chair."""
    length = rng.uniform(1.1, 1.6)
    s, m = Shape(), wood(rng)
    s.box((0, -length / 2, TABLE_HEIGHT_M - 0.03), (0.7, length / 2, TABLE_HEIGHT_M), m)
    legs(s, (0.03, 0.67), (-length / 2 + 0.03, length / 2 - 0.03), TABLE_HEIGHT_M - 0.03, 0.045, METAL)
    if rng.random() < 0.6:
        s.box(
            (0.05, length / 2 - 0.5, 0.08),
            (0.6, length / 2 - 0.08, TABLE_HEIGHT_M - 0.03),
            body(rng),
            skip="Z",
        )
    s.box((0.14, -0.28, TABLE_HEIGHT_M + 0.09), (0.17, 0.28, TABLE_HEIGHT_M + 0.44), DARK, faces={"X": BLACK})
    s.box((0.12, -0.03, TABLE_HEIGHT_M), (0.16, 0.03, TABLE_HEIGHT_M + 0.12), METAL, skip="z")
    s.box((0.4, -0.21, TABLE_HEIGHT_M), (0.53, 0.21, TABLE_HEIGHT_M + 0.02), DARK, skip="z")
    p = np.array([0.15, -length / 2 + 0.15, TABLE_HEIGHT_M])
    s.prism(p, 0.07, 0.02, METAL, 8, caps="Z")
    s.bar(p, p + vec(0.0, 0.05, 0.35), 0.016, METAL)
    s.bar(p + vec(0.0, 0.05, 0.35), p + vec(0.2, 0.1, 0.42), 0.016, METAL)
    s.prism(p + vec(0.2, 0.1, 0.35), 0.07, 0.09, METAL, 8, 0.03, "Z")
    clutter_on(
        s, rng, (0.15, 0.6), (0.35, length / 2 - 0.1) if length > 1.3 else (0.3, 0.5), TABLE_HEIGHT_M, 3
    )
    s.place(office_chair(rng).shape, (rng.uniform(1.05, 1.25), rng.uniform(-0.2, 0.1), 0), np.pi)
    return Piece("desk", s, 1.25, length, 8)


def sofa(rng: np.random.Generator, seats: int | None = None) -> Piece:
    """A sofa or armchair: seat at 0.45 m, arms and back."""
    count = int(rng.integers(2, 4)) if seats is None else seats
    s, m = Shape(), fabric(rng)
    w = 0.62 * count + 0.36
    s.box((0.0, -w / 2, 0.08), (0.9, w / 2, 0.3), m)
    s.box((0.0, -w / 2, 0.3), (0.22, w / 2, 0.82), m, skip="z")
    for side in (-1, 1):
        low, high = sorted((side * w / 2, side * (w / 2 - 0.18)))
        s.box((0.22, low, 0.3), (0.9, high, 0.6), m, skip="z")
    for k in range(count):
        y = -w / 2 + 0.18 + 0.62 * k
        s.box((0.22, y + 0.006, 0.3), (0.88, y + 0.614, SEAT_HEIGHT_M), m, skip="z")
        if rng.random() < 0.6:
            cushion = fabric(rng)
            s.box((0.23, y + 0.1, SEAT_HEIGHT_M), (0.34, y + 0.52, SEAT_HEIGHT_M + 0.36), cushion, skip="z")
    legs(s, (0.04, 0.86), (-w / 2 + 0.04, w / 2 - 0.04), 0.08, 0.05, METAL)
    return Piece("sofa" if count > 1 else "armchair", s, 0.9, w)


def armchair(rng: np.random.Generator) -> Piece:
    """A sofa for one."""
    return sofa(rng, 1)


def coffee_table(rng: np.random.Generator) -> Piece:
    """A low table."""
    s, m = Shape(), wood(rng)
    d, w, h = rng.uniform(0.5, 0.65), rng.uniform(0.9, 1.2), rng.uniform(0.38, 0.45)
    s.box((0, -w / 2, h - 0.03), (d, w / 2, h), m)
    legs(
        s, (0.02, d - 0.02), (-w / 2 + 0.02, w / 2 - 0.02), h - 0.03, 0.04, METAL if rng.random() < 0.5 else m
    )
    if rng.random() < 0.5:
        s.box((0.05, -w / 2 + 0.06, 0.14), (d - 0.05, w / 2 - 0.06, 0.16), m)
    clutter_on(s, rng, (0.1, d - 0.1), (-w / 2 + 0.12, w / 2 - 0.12), h, 4)
    return Piece("coffee table", s, d, w, 4)


def shelf(rng: np.random.Generator) -> Piece:
    """An open bookshelf with boards 2 cm thick, books and things."""
    s, m = Shape(), body(rng)
    d, w = rng.uniform(0.26, 0.36), rng.uniform(0.7, 1.4)
    levels = int(rng.integers(4, 7))
    step = 0.34
    h = levels * step + 0.02
    for y in (-w / 2, w / 2 - 0.02):
        s.box((0, y, 0), (d, y + 0.02, h), m, skip="z")
    if rng.random() < 0.7:
        s.quad((0.006, -w / 2, 0), (0, w, 0), (0, 0, h), m)
    for k in range(levels + 1):
        z = k * step
        s.box((0.0, -w / 2 + 0.02, z), (d, w / 2 - 0.02, z + 0.02), m, skip="yY" + ("z" if k == 0 else ""))
        if k == levels:
            continue
        left, right = -w / 2 + 0.03, w / 2 - 0.03
        if rng.random() < 0.75:
            end = left + (right - left) * rng.uniform(0.4, 1.0)
            deep = d - rng.uniform(0.02, 0.08)
            books = Material("books")
            cover = Material("painted", any_color(rng))
            s.box((0.03, left, z + 0.02), (deep, end, z + 0.29), cover, skip="xz", faces={"X": books})
        else:
            clutter_on(s, rng, (0.1, d - 0.08), (left + 0.1, right - 0.1), z + 0.02, 2)
    return Piece("shelf", s, d, w, levels)


def cabinet(rng: np.random.Generator, width: float, depth: float, height: float, kind: str) -> Piece:
    """A closed cupboard with doors or drawers, gaps and handles."""
    s, m = Shape(), body(rng)
    s.box((0, -width / 2, 0), (depth - 0.02, width / 2, height), m, skip="z")
    count = max(1, round(width / 0.5))
    rows = 1 if height > 1.2 or rng.random() < 0.4 else 3
    step, rise = width / count, (height - 0.08) / rows
    for i in range(count):
        for j in range(rows):
            y, z = -width / 2 + i * step + 0.006, 0.07 + j * rise
            s.box((depth - 0.02, y, z), (depth, y + step - 0.012, z + rise - 0.012), m, skip="x")
            if rows > 1:
                mid = y + step / 2
                s.box(
                    (depth, mid - 0.06, z + rise - 0.08),
                    (depth + 0.025, mid + 0.06, z + rise - 0.065),
                    STEEL,
                    skip="x",
                )
            else:
                edge = y + (0.04 if i % 2 else step - 0.06)
                middle = z + min(rise * 0.5, 1.0)
                s.box(
                    (depth, edge, middle - 0.08),
                    (depth + 0.025, edge + 0.015, middle + 0.08),
                    STEEL,
                    skip="x",
                )
    if height < 1.3:
        clutter_on(s, rng, (0.1, depth - 0.1), (-width / 2 + 0.12, width / 2 - 0.12), height, 4)
    return Piece(kind, s, depth + 0.025, width)


def wardrobe(rng: np.random.Generator) -> Piece:
    """A wardrobe about 2 m high."""
    return cabinet(rng, rng.uniform(1.0, 2.0), 0.6, rng.uniform(1.9, 2.2), "wardrobe")


def dresser(rng: np.random.Generator) -> Piece:
    """A chest of drawers."""
    return cabinet(rng, rng.uniform(0.8, 1.2), 0.45, rng.uniform(0.8, 1.0), "dresser")


def nightstand(rng: np.random.Generator) -> Piece:
    """A small cupboard beside a bed."""
    return cabinet(rng, 0.45, 0.4, 0.52, "nightstand")


def tv_bench(rng: np.random.Generator) -> Piece:
    """A low cupboard with a television on it."""
    width = rng.uniform(1.3, 1.8)
    s = Shape()
    low = cabinet(rng, width, 0.42, 0.45, "bench")
    s.patches += low.shape.patches
    size = rng.uniform(0.45, 0.65)
    s.box((0.1, -size, 0.52), (0.14, size, 0.52 + 1.125 * size), DARK, faces={"X": BLACK})
    s.box((0.08, -0.2, 0.45), (0.2, 0.2, 0.47), DARK, skip="z")
    s.box((0.1, -0.04, 0.47), (0.13, 0.04, 0.53), DARK, skip="z")
    return Piece("tv bench", s, low.depth, width)


def bed(rng: np.random.Generator) -> Piece:
    """A bed with its head at the wall: mattress top at 0.5 m, pillows and blanket."""
    w = (0.95, 1.45, 1.65)[int(rng.integers(3))]
    s, m, sheet = Shape(), wood(rng), Material("fabric", (0.75, 0.74, 0.7), (0.6, 0.6, 0.65))
    s.box((0, -w / 2, 0), (0.05, w / 2, rng.uniform(0.85, 1.1)), m, skip="z")
    s.box((0.05, -w / 2, 0.12), (2.05, w / 2, 0.32), m)
    legs(s, (0.08, 2.03), (-w / 2 + 0.02, w / 2 - 0.02), 0.12, 0.06, m)
    s.box((0.06, -w / 2 + 0.03, 0.32), (2.03, w / 2 - 0.03, BED_HEIGHT_M), sheet, skip="z")
    cover = fabric(rng)
    s.box((rng.uniform(0.6, 1.0), -w / 2 - 0.01, 0.28), (2.06, w / 2 + 0.01, BED_HEIGHT_M + 0.03), cover)
    for y in [0.0] if w < 1.2 else [-w / 4, w / 4]:
        s.box((0.1, y - 0.3, BED_HEIGHT_M), (0.5, y + 0.3, BED_HEIGHT_M + 0.11), sheet, skip="z")
    return Piece("bed", s, 2.08, w + 0.04)


def kitchen_counter(rng: np.random.Generator) -> Piece:
    """Base units with a worktop at 0.9 m, sink, stove, and wall units above."""
    width = rng.uniform(1.8, 3.0)
    s, front = Shape(), body(rng)
    top = Material("concrete", pick(rng, ((0.3, 0.3, 0.3), (0.55, 0.5, 0.42), (0.1, 0.1, 0.1))))
    s.box((0, -width / 2, 0.1), (0.58, width / 2, COUNTER_HEIGHT_M - 0.04), front, skip="zZ")
    s.box((0.0, -width / 2, 0), (0.52, width / 2, 0.1), DARK, skip="zZ")
    s.box((0, -width / 2, COUNTER_HEIGHT_M - 0.04), (0.62, width / 2, COUNTER_HEIGHT_M), top)
    count = max(2, round(width / 0.6))
    step = width / count
    for i in range(count):
        y = -width / 2 + i * step
        s.box((0.58, y + 0.005, 0.11), (0.6, y + step - 0.005, 0.85), front, skip="x")
        s.box((0.6, y + 0.1, 0.78), (0.625, y + step - 0.1, 0.795), STEEL, skip="x")
        if i != 1:
            s.box((0, y + 0.004, 1.42), (0.35, y + step - 0.004, 2.1), front)
            s.box((0.35, y + 0.05, 1.46), (0.37, y + 0.065, 1.6), STEEL, skip="x")
    y = -width / 2 + 1.5 * step
    s.box((0.06, y - 0.27, COUNTER_HEIGHT_M), (0.54, y + 0.27, COUNTER_HEIGHT_M + 0.012), BLACK, skip="z")
    s.box((0.0, y - 0.28, 1.55), (0.45, y + 0.28, 1.65), STEEL)
    s.box((0.0, y - 0.12, 1.65), (0.24, y + 0.12, 2.35), STEEL, skip="zZ")
    y = -width / 2 + (count - 0.5) * step
    s.box((0.12, y - 0.22, COUNTER_HEIGHT_M), (0.5, y + 0.22, COUNTER_HEIGHT_M + 0.008), STEEL, skip="z")
    s.bar((0.07, y, COUNTER_HEIGHT_M), (0.07, y, COUNTER_HEIGHT_M + 0.25), 0.025, STEEL)
    s.bar((0.07, y, COUNTER_HEIGHT_M + 0.25), (0.22, y, COUNTER_HEIGHT_M + 0.22), 0.02, STEEL)
    clutter_on(s, rng, (0.12, 0.4), (-width / 2 + 0.1, -width / 2 + step), COUNTER_HEIGHT_M, 4)
    return Piece("kitchen counter", s, 0.63, width)


def fridge(rng: np.random.Generator) -> Piece:
    """A refrigerator."""
    s, m = Shape(), WHITE if rng.random() < 0.6 else STEEL
    h = rng.uniform(1.5, 1.95)
    s.box((0, -0.3, 0), (0.6, 0.3, h), m, skip="z")
    s.box((0.6, -0.295, 0.05), (0.64, 0.295, 0.62), m, skip="x")
    s.box((0.6, -0.295, 0.64), (0.64, 0.295, h - 0.01), m, skip="x")
    for z in (0.45, 0.8):
        s.box((0.64, 0.22, z), (0.67, 0.24, z + 0.3 if z > 0.5 else z + 0.15), STEEL, skip="x")
    return Piece("fridge", s, 0.67, 0.6)


def washing_machine(rng: np.random.Generator) -> Piece:
    """A front loader."""
    s = Shape()
    s.box((0, -0.3, 0), (0.58, 0.3, 0.85), WHITE, skip="z")
    s.box((0.58, -0.18, 0.3), (0.6, 0.18, 0.64), STEEL, skip="x")
    s.box((0.6, -0.12, 0.36), (0.61, 0.12, 0.58), BLACK, skip="x")
    clutter_on(s, rng, (0.1, 0.45), (-0.18, 0.18), 0.85, 2)
    return Piece("washing machine", s, 0.61, 0.6)


def bath(rng: np.random.Generator) -> Piece:
    """A bath tub with an open inside."""
    s = Shape()
    w, d, h = 1.7, 0.75, 0.57
    s.box((0, -w / 2, 0), (d, w / 2, h), WHITE, skip="zZ")
    for low, high in (((0, -w / 2), (d, -w / 2 + 0.07)), ((0, w / 2 - 0.07), (d, w / 2))):
        s.quad((*low, h), (high[0] - low[0], 0, 0), (0, high[1] - low[1], 0), WHITE)
    for x in (0.0, d - 0.07):
        s.quad((x, -w / 2 + 0.07, h), (0.07, 0, 0), (0, w - 0.14, 0), WHITE)
    a, b, y0, y1 = 0.07, d - 0.07, -w / 2 + 0.07, w / 2 - 0.07
    s.quad((a, y0, 0.15), (b - a, 0, 0), (0, y1 - y0, 0), WHITE)
    s.quad((a, y0, 0.15), (0, y1 - y0, 0), (0, 0, h - 0.15), WHITE)
    s.quad((b, y1, 0.15), (0, y0 - y1, 0), (0, 0, h - 0.15), WHITE)
    s.quad((b, y0, 0.15), (a - b, 0, 0), (0, 0, h - 0.15), WHITE)
    s.quad((a, y1, 0.15), (b - a, 0, 0), (0, 0, h - 0.15), WHITE)
    return Piece("bath", s, d, w)


def toilet(rng: np.random.Generator) -> Piece:
    """A toilet with its cistern."""
    s = Shape()
    s.box((0, -0.19, 0.38), (0.18, 0.19, 0.8), WHITE)
    s.prism((0.4, 0, 0), 0.12, 0.4, WHITE, 8, 0.21, "Z")
    s.prism((0.4, 0, 0.4), 0.22, 0.03, Material("painted", any_color(rng, 0.3, 0.8)), 10, caps="Z")
    return Piece("toilet", s, 0.65, 0.45)


def washbasin(rng: np.random.Generator) -> Piece:
    """A washbasin with a mirror above."""
    s = Shape()
    s.box((0, -0.28, 0.72), (0.45, 0.28, 0.86), WHITE)
    s.prism((0.2, 0, 0), 0.09, 0.72, WHITE, 8, caps="")
    s.bar((0.06, 0, 0.86), (0.06, 0, 1.0), 0.03, STEEL)
    s.box(
        (0.0, -0.3, 1.2),
        (0.03, 0.3, 1.9),
        STEEL,
        faces={"X": Material("screen", (0.4, 0.43, 0.45), (0.3, 0.3, 0.3))},
    )
    return Piece("washbasin", s, 0.46, 0.6, 1)
