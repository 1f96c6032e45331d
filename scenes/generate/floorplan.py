"""Floor plans of flats: rooms by recursive splits, doorways that connect them all, windows outside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asyncmde_sim.scenes.generate.shapes import Material, Shape, vec

WALL_M = 0.12
MIN_SIDE_M = 2.5
DOOR_WIDTH_M = (0.88, 1.0)
DOOR_HEIGHT_M = (2.0, 2.1)
REVEAL_M = 0.16

Cell = tuple[float, float, float, float]

SIDES = ("west", "east", "south", "north")


@dataclass(frozen=True)
class Room:
    """A room: its name and the rectangle between its walls, metres."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """Floor area, m2."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the floor."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def span(self, side: str) -> tuple[float, float]:
        """Extent along a side: y for west and east, x for south and north."""
        return (self.y0, self.y1) if side in ("west", "east") else (self.x0, self.x1)


@dataclass(frozen=True)
class Door:
    """A doorway between rooms ``a`` and ``b`` (indices): ``a`` lies west or south of the wall.

    ``vertical`` means the wall runs along y; ``at`` is the wall's middle plane, ``low`` and ``high`` the
    opening's ends along the wall, ``top`` its height.
    """

    a: int
    b: int
    vertical: bool
    at: float
    low: float
    high: float
    top: float

    def side_in(self, room: int) -> str | None:
        """The side of a room (index) in which this doorway is, or None."""
        if room == self.a:
            return "east" if self.vertical else "north"
        if room == self.b:
            return "west" if self.vertical else "south"
        return None

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the threshold."""
        middle = (self.low + self.high) / 2
        return (self.at, middle) if self.vertical else (middle, self.at)


@dataclass(frozen=True)
class Opening:
    """A window in an outer wall of a room: side, extent along it and height range."""

    room: int
    side: str
    low: float
    high: float
    bottom: float
    top: float


@dataclass(frozen=True)
class FloorPlan:
    """Rooms, doorways, windows and the common ceiling height."""

    width: float
    depth: float
    height: float
    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]
    windows: tuple[Opening, ...]


def _split(rng: np.random.Generator, width: float, depth: float, count: int) -> list[Cell]:
    cells = [(0.0, 0.0, width, depth)]
    while len(cells) < count:
        sizes = [(c[2] - c[0]) * (c[3] - c[1]) for c in cells]
        for i in np.argsort(sizes)[::-1]:
            x0, y0, x1, y1 = cells[i]
            along_x = x1 - x0 >= y1 - y0
            low, high = (x0, x1) if along_x else (y0, y1)
            if high - low >= 2 * (MIN_SIDE_M + WALL_M):
                break
        else:
            return cells
        least = (MIN_SIDE_M + WALL_M) / (high - low)
        cut = low + (high - low) * rng.uniform(max(least, 0.36), min(1 - least, 0.64))
        del cells[i]
        cells += [(x0, y0, cut, y1), (cut, y0, x1, y1)] if along_x else [(x0, y0, x1, cut), (x0, cut, x1, y1)]
    return cells


def _doors(rng: np.random.Generator, cells: list[Cell]) -> list[Door]:
    """A random spanning tree of the rooms that share enough wall, and some more doorways."""
    candidates = []
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            for vertical in (True, False):
                across, along = (0, 1) if vertical else (1, 0)
                if abs(a[across + 2] - b[across]) > 1e-9:
                    continue
                low, high = max(a[along], b[along]), min(a[along + 2], b[along + 2])
                if high - low >= 1.6:
                    candidates.append((i, j, vertical, a[across + 2], low, high))
    group = list(range(len(cells)))
    doors = []
    for k in rng.permutation(len(candidates)):
        i, j, vertical, at, low, high = candidates[k]
        if group[i] == group[j] and rng.random() > 0.3:
            continue
        group = [group[i] if g == group[j] else g for g in group]
        width = rng.uniform(*DOOR_WIDTH_M)
        start = rng.uniform(low + 0.25, high - width - 0.25)
        doors.append(Door(i, j, vertical, at, start, start + width, rng.uniform(*DOOR_HEIGHT_M)))
    return doors if len(set(group)) == 1 else []


def _windows(rng: np.random.Generator, rooms: list[Room], width: float, depth: float) -> list[Opening]:
    windows = []
    for i, room in enumerate(rooms):
        outer = {
            "west": room.x0 < 0.2,
            "east": room.x1 > width - 0.2,
            "south": room.y0 < 0.2,
            "north": room.y1 > depth - 0.2,
        }
        for side in (s for s in SIDES if outer[s]):
            low, high = room.span(side)
            if high - low < 1.8 or rng.random() < 0.25:
                continue
            size = rng.uniform(0.9, min(2.0, high - low - 0.7))
            start = rng.uniform(low + 0.3, high - size - 0.3)
            bottom = 0.9 if rng.random() < 0.8 else 0.35
            windows.append(Opening(i, side, start, start + size, bottom, rng.uniform(2.05, 2.2)))
    return windows


def draw_plan(rng: np.random.Generator) -> FloorPlan:
    """A random flat of 3 to 6 rooms, 60 to 120 m2, 2.4 to 2.8 m high, every room reached by doorways."""
    while True:
        width, depth = rng.uniform(8.5, 12.0), rng.uniform(7.5, 10.0)
        count = int(rng.integers(3, 7))
        if not 60 <= width * depth <= 120 or width * depth / count < 11:
            continue
        cells = _split(rng, width, depth, count)
        doors = _doors(rng, cells)
        if len(cells) < 3 or not doors:
            continue
        names = _names(rng, cells)
        half = WALL_M / 2
        rooms = [
            Room(name, c[0] + half, c[1] + half, c[2] - half, c[3] - half)
            for name, c in zip(names, cells, strict=True)
        ]
        windows = _windows(rng, rooms, width, depth)
        return FloorPlan(width, depth, rng.uniform(2.4, 2.8), tuple(rooms), tuple(doors), tuple(windows))


def _names(rng: np.random.Generator, cells: list[Cell]) -> list[str]:
    """The largest room is for living, the smallest a bathroom; the others take what a flat needs."""
    order = np.argsort([-(c[2] - c[0]) * (c[3] - c[1]) for c in cells])
    second = ["bedroom", "kitchen"] if rng.random() < 0.5 else ["kitchen", "bedroom"]
    kinds = [*["living room", *second, "study", "bedroom"][: len(cells) - 1], "bathroom"]
    if len(cells) == 3:
        kinds = ["living room", "bedroom", "kitchen"]
    names = [""] * len(cells)
    for index, kind in zip(order, kinds, strict=True):
        names[index] = kind
    return names


@dataclass(frozen=True)
class RoomFinish:
    """Materials of one room."""

    floor: Material
    wall: Material
    ceiling: Material


def _wall_frame(room: Room, side: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Start corner of a wall seen from inside, unit vector along it, and its length.

    Along x up points into the room.
    """
    x, y = room.x1 - room.x0, room.y1 - room.y0
    frames = {
        "west": ((room.x0, room.y0), (0.0, 1.0), y),
        "east": ((room.x1, room.y1), (0.0, -1.0), y),
        "south": ((room.x1, room.y0), (-1.0, 0.0), x),
        "north": ((room.x0, room.y1), (1.0, 0.0), x),
    }
    corner, along, length = frames[side]
    return np.array([*corner, 0.0]), np.array([*along, 0.0]), length


def _along(room: Room, side: str, low: float, high: float) -> tuple[float, float]:
    """World extent along a side as distances from the wall's start corner."""
    if side in ("east", "south"):
        end = room.y1 if side == "east" else room.x1
        return end - high, end - low
    start = room.y0 if side == "west" else room.x0
    return low - start, high - start


def build_shell(plan: FloorPlan, finishes: list[RoomFinish], trim: Material, outside: Material) -> Shape:
    """Floors, ceilings, walls with their openings, door reveals and frames, and window panes."""
    shape = Shape()
    up = np.array([0.0, 0.0, 1.0])
    for index, (room, finish) in enumerate(zip(plan.rooms, finishes, strict=True)):
        dx, dy = room.x1 - room.x0, room.y1 - room.y0
        shape.quad((room.x0, room.y0, 0), (dx, 0, 0), (0, dy, 0), finish.floor)
        shape.quad((room.x0, room.y1, plan.height), (dx, 0, 0), (0, -dy, 0), finish.ceiling)
        for side in SIDES:
            corner, along, length = _wall_frame(room, side)
            holes = []
            for door in plan.doors:
                if door.side_in(index) == side:
                    holes.append((*_along(room, side, door.low, door.high), 0.0, door.top, False))
            for window in plan.windows:
                if window.room == index and window.side == side:
                    low, high = _along(room, side, window.low, window.high)
                    holes.append((low, high, window.bottom, window.top, True))
            holes.sort()
            at = 0.0
            for low, high, bottom, top, is_window in holes:
                _piece(shape, corner, along, at, low, 0.0, plan.height, finish.wall)
                _piece(shape, corner, along, low, high, 0.0, bottom, finish.wall)
                _piece(shape, corner, along, low, high, top, plan.height, finish.wall)
                inwards = np.cross(along, up)
                if is_window:
                    _window(
                        shape,
                        corner + low * along,
                        along * (high - low),
                        -inwards,
                        bottom,
                        top,
                        trim,
                        outside,
                    )
                else:
                    _casing(shape, corner, along, inwards, low, high, top, trim)
                at = high
            _piece(shape, corner, along, at, length, 0.0, plan.height, finish.wall)
    for door in plan.doors:
        _reveal(shape, door, finishes[door.a].floor, trim)
    return shape


def _piece(
    shape: Shape,
    corner: np.ndarray,
    along: np.ndarray,
    low: float,
    high: float,
    bottom: float,
    top: float,
    material: Material,
) -> None:
    if high - low > 1e-6 and top - bottom > 1e-6:
        shape.quad(
            corner + low * along + vec(0, 0, bottom), (high - low) * along, (0, 0, top - bottom), material
        )


def _window(
    shape: Shape,
    start: np.ndarray,
    across: np.ndarray,
    outwards: np.ndarray,
    bottom: float,
    top: float,
    trim: Material,
    outside: Material,
) -> None:
    deep = REVEAL_M * outwards
    base, head = start + vec(0, 0, bottom), start + vec(0, 0, top)
    rise = np.array([0.0, 0.0, top - bottom])
    shape.quad(base, across, deep, trim)
    shape.quad(head + deep, across, -deep, trim)
    shape.quad(base, deep, rise, trim)
    shape.quad(base + across + deep, -deep, rise, trim)
    shape.quad(base + deep, across, rise, outside)


def _casing(
    shape: Shape,
    corner: np.ndarray,
    along: np.ndarray,
    inwards: np.ndarray,
    low: float,
    high: float,
    top: float,
    trim: Material,
) -> None:
    """The flat frame around a doorway, 6 cm wide and 1.5 cm proud of the wall."""
    for a, b, bottom, head in (
        (low - 0.06, low, 0.0, top),
        (high, high + 0.06, 0.0, top),
        (low - 0.06, high + 0.06, top, top + 0.06),
    ):
        p = corner + a * along
        q = corner + b * along + 0.015 * inwards
        shape.box(
            (*np.minimum(p, q)[:2], bottom),
            (*np.maximum(p, q)[:2], head),
            trim,
            skip="z" if bottom == 0 else "",
        )


def _reveal(shape: Shape, door: Door, floor: Material, trim: Material) -> None:
    half = WALL_M / 2
    size = door.high - door.low
    if door.vertical:
        x0, y0, dx, dy = door.at - half, door.low, WALL_M, size
    else:
        x0, y0, dx, dy = door.low, door.at - half, size, WALL_M
    shape.quad((x0, y0, 0), (dx, 0, 0), (0, dy, 0), floor)
    shape.quad((x0, y0 + dy, door.top), (dx, 0, 0), (0, -dy, 0), trim)
    if door.vertical:
        shape.quad((x0 + dx, y0, 0), (-dx, 0, 0), (0, 0, door.top), trim)
        shape.quad((x0, y0 + dy, 0), (dx, 0, 0), (0, 0, door.top), trim)
    else:
        shape.quad((x0, y0, 0), (0, dy, 0), (0, 0, door.top), trim)
        shape.quad((x0 + dx, y0 + dy, 0), (0, -dy, 0), (0, 0, door.top), trim)
