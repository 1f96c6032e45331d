"""Halls: a long cluttered course for a fast quadrotor, from the start at x = 0 to the goal at the far end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from asyncmde_sim.scenes.generate.floorplan import Room
from asyncmde_sim.scenes.generate.hall_walls import dress_hall
from asyncmde_sim.scenes.generate.layout import Layout
from asyncmde_sim.scenes.generate.lighting import Lamp, Lights, Window
from asyncmde_sim.scenes.generate.parts import METAL, STEEL, any_color, fabric, pick, wood
from asyncmde_sim.scenes.generate.shapes import Material, Shape

END_ZONE_M = 3.0
"""Length at both ends that stays empty."""
CELL_M = 0.125

Box = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class Hall:
    """Inner size of a hall, metres."""

    length: float
    width: float
    height: float


@dataclass
class Obstacle:
    """Something in the way: its patches and boxes that enclose its solid parts."""

    kind: str
    shape: Shape = field(default_factory=Shape)
    solids: list[Box] = field(default_factory=list)
    thin: int = 0

    def box(
        self, low: tuple[float, float, float], high: tuple[float, float, float], m: Material, skip: str = ""
    ) -> None:
        """Add a solid box to both."""
        self.shape.box(low, high, m, skip=skip)
        self.solids.append((low, high))

    def bar(self, start: np.ndarray, end: np.ndarray, width: float, m: Material) -> None:
        """Add a bar, enclosed by short boxes along it."""
        self.shape.bar(start, end, width, m)
        count = max(1, int(np.ceil(np.linalg.norm(end - start) / 0.3)))
        steps = np.linspace(start, end, count + 1)
        for p, q in pairwise(steps):
            low, high = np.minimum(p, q) - width / 2, np.maximum(p, q) + width / 2
            self.solids.append(((low[0], low[1], low[2]), (high[0], high[1], high[2])))
        self.thin += 1


def _spot(rng: np.random.Generator, hall: Hall, x: float, half: float) -> tuple[float, float]:
    return x + rng.uniform(-0.6, 0.6), rng.uniform(half + 0.05, hall.width - half - 0.05)


def _paint(rng: np.random.Generator) -> Material:
    draw = rng.random()
    if draw < 0.3:
        return Material("hazard", (0.7, 0.5, 0.02), (0.03, 0.03, 0.03), 0.3)
    if draw < 0.6:
        return Material("concrete", pick(rng, ((0.4, 0.4, 0.38), (0.25, 0.25, 0.27), (0.5, 0.42, 0.33))))
    return Material("painted", any_color(rng))


def pillar(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A pillar from floor to ceiling, square or round."""
    o, r = Obstacle("pillar"), rng.uniform(0.13, 0.32)
    px, py = _spot(rng, hall, x, r)
    low, high = (px - r, py - r, 0.0), (px + r, py + r, hall.height)
    if rng.random() < 0.5:
        o.box(low, high, _paint(rng), skip="zZ")
    else:
        o.shape.prism((px, py, 0), r, hall.height, _paint(rng), 12, caps="")
        o.solids.append((low, high))
    return o


def rack(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A pallet rack with boxes on its shelves."""
    o = Obstacle("rack")
    long, deep, h = (
        rng.uniform(1.6, 2.8),
        rng.uniform(0.6, 0.9),
        rng.uniform(1.8, min(3.2, hall.height - 1.3)),
    )
    dx, dy = (long, deep) if rng.random() < 0.5 else (deep, long)
    px, py = _spot(rng, hall, x, dy / 2)
    x0, y0, x1, y1 = px - dx / 2, py - dy / 2, px + dx / 2, py + dy / 2
    post, board = Material("painted", any_color(rng)), wood(rng)
    for a in (x0, x1 - 0.07):
        for b in (y0, y1 - 0.07):
            o.shape.box((a, b, 0), (a + 0.07, b + 0.07, h), post, skip="z")
    levels = int(rng.integers(2, 4))
    for k in range(levels):
        z = 0.15 + (h - 0.3) * k / (levels - 1) if levels > 1 else 0.15
        o.shape.box((x0, y0, z), (x1, y1, z + 0.05), board)
        along = np.arange(0.1, long - 0.5, 0.55)
        for a in along[rng.random(len(along)) < 0.75]:
            room = (h - 0.3) / max(levels - 1, 1) - 0.15 if k < levels - 1 else 0.7
            s = (rng.uniform(0.3, 0.48), deep * rng.uniform(0.6, 0.95), min(room, rng.uniform(0.25, 0.8)))
            c = Material(
                "carton", pick(rng, ((0.45, 0.3, 0.16), (0.1, 0.2, 0.4), (0.4, 0.12, 0.1))), (0.6, 0.5, 0.3)
            )
            u, v = (x0 + a, y0 + 0.01) if dx > dy else (x0 + 0.01, y0 + a)
            w, d = (s[0], s[1]) if dx > dy else (s[1], s[0])
            o.shape.box((u, v, z + 0.05), (u + w, v + d, z + 0.05 + s[2]), c, skip="z")
    o.solids.append(((x0, y0, 0.0), (x1, y1, h + 0.5)))
    o.thin = 4
    return o


def crates(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A stack of crates."""
    o, side = Obstacle("crates"), rng.uniform(0.7, 1.2)
    px, py = _spot(rng, hall, x, side / 2)
    z = 0.0
    for _ in range(int(rng.integers(1, 4))):
        if z + side > hall.height - 1.2:
            break
        k = side * rng.uniform(0.8, 1.0) / 2
        m = wood(rng) if rng.random() < 0.6 else Material("carton", any_color(rng), (0.6, 0.5, 0.3))
        o.box((px - k, py - k, z), (px + k, py + k, z + 2 * k), m)
        z += 2 * k
    return o


def hanging(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A bag, box or lamp on a cable from the ceiling."""
    o, r = Obstacle("hanging"), rng.uniform(0.18, 0.4)
    px, py = _spot(rng, hall, x, r)
    h = rng.uniform(0.4, 1.2)
    z = rng.uniform(0.7, hall.height - h - 0.4)
    o.bar(np.array([px, py, z + h - 0.02]), np.array([px, py, hall.height]), 0.025, METAL)
    if rng.random() < 0.5:
        o.box((px - r, py - r, z), (px + r, py + r, z + h), _paint(rng))
    else:
        o.shape.prism((px, py, z), r, h, fabric(rng), 10, r * rng.uniform(0.6, 1.0))
        o.solids.append(((px - r, py - r, z), (px + r, py + r, z + h)))
    return o


def beam(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A pipe or girder from wall to wall."""
    o, w = Obstacle("beam"), rng.uniform(0.06, 0.15)
    px, z = x + rng.uniform(-0.6, 0.6), rng.uniform(0.9, hall.height - 0.6)
    o.box((px - w, 0.0, z - w), (px + w, hall.width, z + w), _paint(rng), skip="yY")
    return o


def cable(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A thin cable across the hall."""
    o = Obstacle("cable")
    start = np.array([x + rng.uniform(-1, 1), 0.0, rng.uniform(0.8, hall.height - 0.3)])
    end = np.array([x + rng.uniform(-1, 1), hall.width, rng.uniform(0.8, hall.height - 0.3)])
    if rng.random() < 0.4:
        start, end = start.copy(), end.copy()
        start[1], start[2] = rng.uniform(0.3, hall.width - 0.3), 0.0
        end[1], end[2] = rng.uniform(0.3, hall.width - 0.3), hall.height
    m = Material("painted", (0.05, 0.05, 0.05) if rng.random() < 0.5 else any_color(rng))
    o.bar(start, end, rng.uniform(0.025, 0.045), m)
    return o


def gate(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A square frame on two legs, as drone races have."""
    o, w, s = Obstacle("gate"), 0.06, rng.uniform(1.4, 1.9)
    px, py = _spot(rng, hall, x, s / 2 + 0.15)
    z = rng.uniform(0.3, max(0.4, hall.height - s - 0.6))
    m = Material("hazard", any_color(rng, 0.1, 0.9), (0.8, 0.8, 0.8), 0.3)
    for y in (py - s / 2 - 0.12, py + s / 2):
        o.box((px - w, y, 0.0), (px + w, y + 0.12, z + s + 0.12), m, skip="z")
    for b in (z, z + s):
        o.box((px - w, py - s / 2, b), (px + w, py + s / 2, b + 0.12), m, skip="yY")
    o.thin = 4
    return o


def baffle(rng: np.random.Generator, hall: Hall, x: float) -> Obstacle:
    """A wall with a way past it: at one side, above, below, or through an opening."""
    o, t, m = Obstacle("baffle"), 0.1, _paint(rng)
    if rng.random() < 0.35:
        m = Material("brick", (0.42, 0.2, 0.13), (0.5, 0.47, 0.42), 0.24)
    kind = int(rng.integers(4))
    if kind == 0:
        part = hall.width * rng.uniform(0.45, 0.68)
        low, high = (0.0, part) if rng.random() < 0.5 else (hall.width - part, hall.width)
        o.box((x - t, low, 0.0), (x + t, high, hall.height), m, skip="zZ")
    elif kind == 1:
        o.box((x - t, 0.0, 0.0), (x + t, hall.width, hall.height * rng.uniform(0.35, 0.58)), m, skip="zyY")
    elif kind == 2:
        z = max(1.5, hall.height * rng.uniform(0.42, 0.6))
        o.box((x - t, 0.0, z), (x + t, hall.width, hall.height), m, skip="ZyY")
    else:
        w, h = rng.uniform(1.7, 2.6), rng.uniform(1.6, 2.2)
        y, z = rng.uniform(0.5, hall.width - w - 0.5), rng.uniform(0.3, hall.height - h - 0.3)
        o.box((x - t, 0.0, 0.0), (x + t, y, hall.height), m, skip="zZy")
        o.box((x - t, y + w, 0.0), (x + t, hall.width, hall.height), m, skip="zZY")
        o.box((x - t, y, 0.0), (x + t, y + w, z), m, skip="zyY")
        o.box((x - t, y, z + h), (x + t, y + w, hall.height), m, skip="ZyY")
    return o


Maker = Callable[[np.random.Generator, Hall, float], Obstacle]
MAKERS: tuple[tuple[Maker, float], ...] = (
    (pillar, 0.2),
    (rack, 0.2),
    (crates, 0.14),
    (hanging, 0.26),
    (beam, 0.05),
    (cable, 0.08),
    (gate, 0.1),
)


class Airspace:
    """Which cells of the hall are solid, and whether a sphere passes from one end to the other."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        size = (np.array([hall.length, hall.width, hall.height]) / CELL_M).astype(int)
        self.solid = np.zeros(size, dtype=bool)

    def add(self, solids: list[Box]) -> None:
        """Mark boxes as solid."""
        for low, high in solids:
            a = np.clip(np.floor(np.array(low) / CELL_M).astype(int), 0, None)
            b = np.maximum(np.ceil(np.array(high) / CELL_M).astype(int), a + 1)
            self.solid[a[0] : b[0], a[1] : b[1], a[2] : b[2]] = True

    def free(self, radius: float) -> np.ndarray:
        """Cells where the centre of a sphere can be that is connected to the start."""
        room = np.pad(~self.solid, 1)
        wide = distance_transform_edt(room)[1:-1, 1:-1, 1:-1] * CELL_M - CELL_M / 2 >= radius
        parts, _ = label(wide)
        entry = parts[: int(END_ZONE_M / CELL_M)]
        if not entry.any():
            return np.zeros_like(wide)
        return parts == np.bincount(entry[entry > 0]).argmax()

    def passable(self, radius: float) -> bool:
        """Whether a sphere gets from the start to the far end."""
        return bool(self.free(radius)[-int(END_ZONE_M / CELL_M) :].any())


def _apart(a: list[Box], b: list[Box], gap: float) -> bool:
    """Whether all boxes of one list are ``gap`` metres away from those of the other."""
    low_a, high_a = np.array([x[0] for x in a]), np.array([x[1] for x in a])
    low_b, high_b = np.array([x[0] for x in b]), np.array([x[1] for x in b])
    between = np.maximum(low_a[:, None] - high_b[None], low_b[None] - high_a[:, None])
    return bool((np.linalg.norm(np.maximum(between, 0), axis=2) >= gap).all())


def _gap(a: Obstacle, b: Obstacle, gap: float) -> float:
    """What two obstacles keep between them: what spans the hall passes close by, or meets a pillar."""
    spans = [o.kind in ("beam", "cable") for o in (a, b)]
    if all(spans) or not any(spans):
        return gap
    return 0.0 if "pillar" in (a.kind, b.kind) else 0.1


def _shell(rng: np.random.Generator, hall: Hall) -> tuple[Shape, Lights]:
    s = Shape()
    length, width, height = hall.length, hall.width, hall.height
    floor = Material("concrete", pick(rng, ((0.35, 0.35, 0.34), (0.45, 0.4, 0.32), (0.2, 0.25, 0.22))))
    if rng.random() < 0.3:
        floor = Material("tiles", (0.45, 0.44, 0.42), (0.25, 0.25, 0.25), 0.6)
    s.quad((0, 0, 0), (length, 0, 0), (0, width, 0), floor)
    s.quad((0, width, height), (length, 0, 0), (0, -width, 0), Material("concrete", (0.5, 0.5, 0.5)))
    kinds = (
        Material("brick", (0.45, 0.25, 0.17), (0.5, 0.47, 0.42), 0.24),
        Material("concrete", (0.5, 0.5, 0.47)),
        Material("stripes", (0.6, 0.6, 0.58), (0.5, 0.52, 0.55), 0.5),
        Material("tiles", (0.55, 0.56, 0.5), (0.35, 0.35, 0.35), 1.0),
    )
    wall = kinds[int(rng.integers(len(kinds)))]
    end = kinds[int(rng.integers(len(kinds)))]
    s.quad((0, 0, 0), (0, width, 0), (0, 0, height), end)
    s.quad((length, width, 0), (0, -width, 0), (0, 0, height), end)
    s.quad((length, 0, 0), (-length, 0, 0), (0, 0, height), wall)
    s.quad((0, width, 0), (length, 0, 0), (0, 0, height), wall)
    for x in np.arange(2.0, length - 1.0, rng.uniform(3.5, 5.0)):
        s.box((x, 0.02, height - 0.3), (x + 0.15, width - 0.02, height), STEEL, skip="yYZ")
    lamps, windows = [], []
    glow = Material("plaster", (0.95, 0.95, 0.92), emission=3.0)
    step = rng.uniform(4.0, 6.5)
    for x in np.arange(2.5, length - 1.0, step):
        for y in (width * 0.28, width * 0.72):
            if rng.random() < 0.12:
                continue
            s.box((x, y - 0.6, height - 0.42), (x + 0.2, y + 0.6, height - 0.32), glow)
            power = 1.4 * rng.uniform(0.5, 1.2) * height / 4
            lamps.append(Lamp((x + 0.1, y, height - 0.5), (power, power * 0.97, power * 0.88), 0.3))
    if rng.random() < 0.6:
        pane = Material("outdoors", (0.3, 0.3, 0.3), emission=1.2)
        for x in np.arange(1.5, length - 3.0, rng.uniform(4.0, 7.0)):
            for wall_y, u in ((0.005, (-2.0, 0.0, 0.0)), (width - 0.005, (2.0, 0.0, 0.0))):
                x0 = x + 2.0 if u[0] < 0 else x
                s.quad((x0, wall_y, height - 1.7), u, (0, 0, 1.0), pane)
                windows.append(Window((x0, wall_y, height - 1.7), u, (0, 0, 1.0), (2.2, 2.4, 2.7)))
    return s, Lights(tuple(lamps), tuple(windows))


def build_hall(rng: np.random.Generator, difficulty: float) -> Layout:
    """A hall whose clutter leaves a way with gaps of at least 1.2 m - 0.4 m x difficulty throughout."""
    hall = Hall(rng.uniform(25, 32), rng.uniform(8, 12), rng.uniform(4, 6))
    gap = 1.2 - 0.4 * difficulty
    shell, lights = _shell(rng, hall)
    obstacles: list[Obstacle] = []
    spacing = 9.5 - 5.0 * difficulty
    for x in np.arange(END_ZONE_M + rng.uniform(1.5, 4), hall.length - END_ZONE_M - 1.5, spacing):
        obstacles.append(baffle(rng, hall, float(x + rng.uniform(-0.8, 0.8))))
    makers, weights = [m for m, _ in MAKERS], np.array([w for _, w in MAKERS])
    wanted = round((0.08 + 0.22 * difficulty) * (hall.length - 2 * END_ZONE_M) * hall.width)
    for _ in range(4 * wanted):
        if len(obstacles) >= wanted:
            break
        x = float(rng.uniform(END_ZONE_M + 0.7, hall.length - END_ZONE_M - 0.7))
        new = makers[int(rng.choice(len(makers), p=weights / weights.sum()))](rng, hall, x)
        low, high = np.min([b[0] for b in new.solids], axis=0), np.max([b[1] for b in new.solids], axis=0)
        inside = low[0] > END_ZONE_M and high[0] < hall.length - END_ZONE_M
        if (
            inside
            and high[2] <= hall.height + 0.05
            and all(_apart(new.solids, o.solids, _gap(new, o, gap)) for o in obstacles)
        ):
            obstacles.append(new)
    space = Airspace(hall)
    for o in obstacles:
        space.add(o.solids)
    while not space.passable(gap / 2):
        obstacles.pop(int(rng.integers(len(obstacles))))
        space = Airspace(hall)
        for o in obstacles:
            space.add(o.solids)
    layout = Layout(rooms=(Room("hall", 0.0, 0.0, hall.length, hall.width),), lights=lights)
    layout.add("shell", shell)
    layout.add("fittings", dress_hall(rng, hall.length, hall.width, hall.height))
    for o in obstacles:
        layout.add(o.kind, o.shape, o.thin)
    low_z, high_z = 0.6, hall.height - 0.8
    layout.spawn = [
        {"name": "start", "rect": [0.6, 0.8, 1.8, hall.width - 0.8], "z": [low_z, high_z]},
        {
            "name": "goal",
            "rect": [hall.length - 1.8, 0.8, hall.length - 0.6, hall.width - 0.8],
            "z": [low_z, high_z],
        },
    ]
    reach = space.free(0.3)
    layout.figures = {
        "floor_area_m2": hall.length * hall.width,
        "ceiling_height_m": hall.height,
        "gap_m": gap,
        "obstacles": float(len(obstacles)),
        "obstacle_density": float(space.solid.mean()),
        "reachable_area_m2": float(reach.any(axis=2).sum()) * CELL_M**2,
        "reachable_volume_m3": float(reach.sum()) * CELL_M**3,
    }
    return layout
