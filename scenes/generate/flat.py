"""Furnished flats: pieces are placed only where every room stays reachable."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from asyncmde_sim.scenes.generate import furniture
from asyncmde_sim.scenes.generate.floorplan import (
    REVEAL_M,
    SIDES,
    WALL_M,
    FloorPlan,
    Room,
    RoomFinish,
    build_shell,
    draw_plan,
)
from asyncmde_sim.scenes.generate.furniture import AGAINST_WALL, ANYWHERE, IN_THE_MIDDLE, Maker, Piece
from asyncmde_sim.scenes.generate.layout import Layout
from asyncmde_sim.scenes.generate.lighting import Lamp, Lights, Window
from asyncmde_sim.scenes.generate.shapes import Color, Material, Shape

CELL_M = 0.05
REACH_M = 0.33
"""Radius that must pass everywhere: a rover of 0.18 m and a margin of 0.15 m."""


class FloorGrid:
    """Which cells of the floor are taken, and whether a robot still reaches every room."""

    def __init__(self, plan: FloorPlan) -> None:
        self.plan = plan
        self.taken = np.ones(
            (int(np.ceil(plan.width / CELL_M)), int(np.ceil(plan.depth / CELL_M))), dtype=bool
        )
        self.kept_clear = np.zeros_like(self.taken)
        for room in plan.rooms:
            self.taken[self._cells(room.x0, room.y0, room.x1, room.y1)] = False
        half = WALL_M / 2 + CELL_M
        for door in plan.doors:
            x, y = door.center
            span = (door.high - door.low) / 2
            wide, long = (half, span) if door.vertical else (span, half)
            self.taken[self._cells(x - wide, y - long, x + wide, y + long)] = False
            wide, long = (0.6, span + 0.05) if door.vertical else (span + 0.05, 0.6)
            self.kept_clear[self._cells(x - wide, y - long, x + wide, y + long)] = True
        self.reached = self._reachable(self.taken)

    def _cells(self, x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice]:
        low = [max(0, round(v / CELL_M)) for v in (x0, y0)]
        high = [round(v / CELL_M) for v in (x1, y1)]
        return slice(low[0], high[0]), slice(low[1], high[1])

    def _reachable(self, taken: np.ndarray) -> np.ndarray:
        """Cells where the robot's centre can be, connected to the first doorway."""
        wide = distance_transform_edt(np.pad(~taken, 1))[1:-1, 1:-1] * CELL_M - CELL_M / 2 >= REACH_M
        parts, _ = label(wide)
        x, y = self.plan.doors[0].center
        start = parts[int(x / CELL_M), int(y / CELL_M)]
        return (parts == start) & (start > 0)

    def claim(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Take a rectangle unless it is not free, blocks a door, or cuts off a room or much of one."""
        cells = self._cells(x0, y0, x1, y1)
        if self.taken[cells].any() or self.kept_clear[cells].any():
            return False
        taken = self.taken.copy()
        taken[cells] = True
        reached = self._reachable(taken)
        for door in self.plan.doors:
            x, y = door.center
            if not reached[int(x / CELL_M), int(y / CELL_M)]:
                return False
        for room in self.plan.rooms:
            inside = self._cells(room.x0, room.y0, room.x1, room.y1)
            if reached[inside].mean() < 0.13:
                return False
        self.taken, self.reached = taken, reached
        return True

    @property
    def reachable_area(self) -> float:
        """Floor area in m2 on which the robot's centre can stand."""
        return float(self.reached.sum()) * CELL_M**2


_YAW = {"west": 0.0, "east": np.pi, "south": np.pi / 2, "north": -np.pi / 2}


def _against_wall(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, room: Room, maker: Maker
) -> tuple[str, float, float, float] | None:
    """Try to put a piece against a wall; where it stands as (side, low, high, height), or None."""
    piece = maker(rng)
    for _ in range(10):
        side = SIDES[int(rng.integers(4))]
        low, high = room.span(side)
        if high - low < piece.width + 0.04:
            continue
        middle = rng.uniform(low + piece.width / 2 + 0.02, high - piece.width / 2 - 0.02)
        if rng.random() < 0.4:
            middle = low + piece.width / 2 + 0.02
        gap, half = 0.015, piece.width / 2
        x, y = {
            "west": (room.x0 + gap, middle),
            "east": (room.x1 - gap, middle),
            "south": (middle, room.y0 + gap),
            "north": (middle, room.y1 - gap),
        }[side]
        top = max(float(max(p.origin[2], (p.origin + p.u + p.v)[2])) for p in piece.shape.patches)
        if any(
            w.side == side
            and grid.plan.rooms[w.room] == room
            and w.low < middle + half
            and w.high > middle - half
            and w.bottom < top
            for w in grid.plan.windows
        ):
            continue
        away = np.array([np.cos(_YAW[side]), np.sin(_YAW[side])])
        corner = np.array([x, y]) + away * piece.depth
        across = np.abs([away[1], away[0]]) * half
        a = np.minimum([x, y], corner) - across
        b = np.maximum([x, y], corner) + across
        if grid.claim(*a, *b):
            layout.put(piece, (x, y, 0.0), _YAW[side])
            return side, middle - half, middle + half, top
    return None


def _free_standing(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, room: Room, piece: Piece, rug: bool
) -> None:
    for _ in range(8):
        quarter = int(rng.integers(4))
        dx, dy = (piece.depth, piece.width) if quarter % 2 == 0 else (piece.width, piece.depth)
        if room.x1 - room.x0 < dx + 0.1 or room.y1 - room.y0 < dy + 0.1:
            continue
        x = rng.uniform(room.x0 + dx / 2 + 0.05, room.x1 - dx / 2 - 0.05)
        y = rng.uniform(room.y0 + dy / 2 + 0.05, room.y1 - dy / 2 - 0.05)
        if not grid.claim(x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2):
            continue
        yaw = quarter * np.pi / 2
        back = np.array([np.cos(yaw), np.sin(yaw)]) * piece.depth / 2
        layout.put(piece, (x - back[0], y - back[1], 0.0), yaw)
        if rug:
            _rug(rng, layout, room, x, y, dx + 0.5, dy + 0.5)
        return


def _rug(
    rng: np.random.Generator, layout: Layout, room: Room, x: float, y: float, dx: float, dy: float
) -> None:
    x0, x1 = max(room.x0 + 0.03, x - dx / 2), min(room.x1 - 0.03, x + dx / 2)
    y0, y1 = max(room.y0 + 0.03, y - dy / 2), min(room.y1 - 0.03, y + dy / 2)
    color = furniture.pick(rng, furniture.CARPET_COLORS)
    carpet = Material("carpet", color, furniture.any_color(rng, 0.1, 0.7), float(rng.uniform(0.12, 0.3)))
    rug = Shape()
    rug.quad((x0, y0, 0.006), (x1 - x0, 0, 0), (0, y1 - y0, 0), carpet)
    layout.add("rug", rug)


def _pictures(
    rng: np.random.Generator, layout: Layout, plan: FloorPlan, room: Room, index: int, stands: list
) -> None:
    """Pictures on free stretches of wall, 3 cm thick, at eye height."""
    for side in SIDES:
        low, high = room.span(side)
        for _ in range(int(rng.integers(1, 4))):
            w, h = rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7)
            if high - low < w + 0.4:
                continue
            middle, bottom = rng.uniform(low + w / 2 + 0.15, high - w / 2 - 0.15), rng.uniform(1.2, 1.45)
            a, b = middle - w / 2 - 0.12, middle + w / 2 + 0.12
            mine = [
                d
                for d in plan.doors
                if (d.a == index and side == ("east" if d.vertical else "north"))
                or (d.b == index and side == ("west" if d.vertical else "south"))
            ]
            blocked = any(d.low < b and d.high > a for d in mine)
            blocked |= any(
                w_.room == index and w_.side == side and w_.low < b and w_.high > a for w_ in plan.windows
            )
            blocked |= any(
                s == side and lo < b and hi > a and top > bottom - 0.1 for s, lo, hi, top in stands
            )
            if blocked:
                continue
            stands.append((side, a, b, 3.0))
            frame = Material("picture", furniture.pick(rng, furniture.WOOD_COLORS))
            board = Shape()
            board.box(
                (0, -w / 2, bottom), (0.03, w / 2, bottom + h), furniture.METAL, skip="x", faces={"X": frame}
            )
            x, y = {
                "west": (room.x0, middle),
                "east": (room.x1, middle),
                "south": (middle, room.y0),
                "north": (middle, room.y1),
            }[side]
            placed = Shape()
            placed.place(board, (x, y, 0.0), _YAW[side])
            layout.add("picture", placed)


def _finish(rng: np.random.Generator, name: str) -> RoomFinish:
    wet = name in ("bathroom", "kitchen")
    if wet:
        light = furniture.pick(rng, ((0.6, 0.6, 0.58), (0.45, 0.4, 0.33), (0.3, 0.33, 0.36)))
        grout = tuple(0.6 * c for c in light)
        pattern = "chequer" if rng.random() < 0.3 else "tiles"
        floor = Material(pattern, light, (grout[0], grout[1], grout[2]), float(rng.uniform(0.2, 0.45)))
    elif rng.random() < 0.75:
        floor = Material(
            "planks", furniture.pick(rng, furniture.WOOD_COLORS), scale=float(rng.uniform(0.09, 0.18))
        )
    else:
        floor = Material("fabric", furniture.pick(rng, furniture.CARPET_COLORS), furniture.any_color(rng))
    base = furniture.pick(
        rng, ((0.72, 0.7, 0.65), (0.6, 0.66, 0.62), (0.68, 0.58, 0.48), (0.5, 0.58, 0.66), (0.7, 0.68, 0.55))
    )
    second = tuple(float(np.clip(c * rng.uniform(0.72, 1.05), 0.05, 0.9)) for c in base)
    accent: Color = (second[0], second[1], second[2])
    draw = rng.random()
    if name == "bathroom":
        wall = Material("tiles", base, (0.5, 0.5, 0.5), float(rng.uniform(0.15, 0.3)))
    elif draw < 0.55:
        wall = Material("wall", base, base, 0.3)
    elif draw < 0.9:
        wall = Material("wall", base, accent, float(rng.choice([0.14, 0.18, 0.24, 0.32])))
    else:
        wall = Material("brick", (0.42, 0.2, 0.13), (0.5, 0.47, 0.42), 0.24)
    return RoomFinish(floor, wall, Material("plaster", (0.8, 0.8, 0.78)))


def _ceiling_lamp(rng: np.random.Generator, layout: Layout, room: Room, height: float) -> Lamp:
    x, y = room.center
    x, y = x + rng.uniform(-0.3, 0.3), y + rng.uniform(-0.3, 0.3)
    warm = rng.uniform(0.55, 1.0)
    glow = Material("plaster", (0.95, 0.7 + 0.25 * warm, 0.45 + 0.5 * warm), emission=3.0)
    lamp = Shape()
    if rng.random() < 0.5:
        z = height - rng.uniform(0.3, 0.55)
        lamp.bar((x, y, z + 0.1), (x, y, height), 0.012, furniture.METAL)
        lamp.prism((x, y, z - 0.1), 0.2, 0.2, glow, 10, 0.1)
        z -= 0.05
    else:
        lamp.prism((x, y, height - 0.09), 0.22, 0.09, glow, 12, caps="z")
        z = height - 0.16
    layout.add("ceiling lamp", lamp)
    power = rng.uniform(0.8, 1.8)
    return Lamp((x, y, z), (power, power * (0.7 + 0.28 * warm), power * (0.42 + 0.55 * warm)))


def _window_lights(plan: FloorPlan, radiance: float) -> list[Window]:
    lights = []
    for w in plan.windows:
        room = plan.rooms[w.room]
        size, rise = w.high - w.low, (0.0, 0.0, w.top - w.bottom)
        out = REVEAL_M - 0.03
        origin, u = {
            "west": ((room.x0 - out, w.low, w.bottom), (0.0, size, 0.0)),
            "east": ((room.x1 + out, w.high, w.bottom), (0.0, -size, 0.0)),
            "south": ((w.high, room.y0 - out, w.bottom), (-size, 0.0, 0.0)),
            "north": ((w.low, room.y1 + out, w.bottom), (size, 0.0, 0.0)),
        }[w.side]
        lights.append(Window(origin, u, rise, (0.92 * radiance, radiance, 1.12 * radiance)))
    return lights


def build_flat(rng: np.random.Generator, difficulty: float) -> Layout:
    """A furnished flat; ``difficulty`` in [0, 1] adds clutter on the floor."""
    plan = draw_plan(rng)
    trim = furniture.WHITE if rng.random() < 0.7 else furniture.wood(rng)
    day = rng.random() < 0.75
    outside = Material("outdoors", (0.75, 0.74, 0.72), emission=1.3 if day else 0.12)
    finishes = [_finish(rng, room.name) for room in plan.rooms]
    layout = Layout(rooms=plan.rooms)
    layout.add("shell", build_shell(plan, finishes, trim, outside))
    grid = FloorGrid(plan)
    lamps = []
    for index, room in enumerate(plan.rooms):
        stands: list[tuple[str, float, float, float]] = []
        for maker, chance in AGAINST_WALL[room.name][:3]:
            if rng.random() < chance and (spot := _against_wall(rng, layout, grid, room, maker)):
                stands.append(spot)
        for maker, chance in IN_THE_MIDDLE[room.name]:
            if rng.random() < chance:
                _free_standing(rng, layout, grid, room, maker(rng), rug=rng.random() < 0.55)
        for maker, chance in AGAINST_WALL[room.name][3:]:
            if rng.random() < chance and (spot := _against_wall(rng, layout, grid, room, maker)):
                stands.append(spot)
        for _ in range(int(rng.poisson((0.5 + 3.0 * difficulty) * room.area / 16))):
            _free_standing(
                rng, layout, grid, room, ANYWHERE[int(rng.integers(len(ANYWHERE)))](rng), rug=False
            )
        _pictures(rng, layout, plan, room, index, stands)
        lamps.append(_ceiling_lamp(rng, layout, room, plan.height))
    sun = None
    if day and rng.random() < 0.6:
        azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.8)
        towards = (np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height))
        sun = ((float(towards[0]), float(towards[1]), float(towards[2])), (3.0, 2.7, 2.2))
    radiance = rng.uniform(2.0, 4.0) if day else 0.05
    layout.lights = Lights(tuple(lamps), tuple(_window_lights(plan, radiance)), sun)
    layout.figures = {
        "floor_area_m2": sum(r.area for r in plan.rooms),
        "ceiling_height_m": plan.height,
        "narrowest_door_m": min(d.high - d.low for d in plan.doors),
        "lowest_door_m": min(d.top for d in plan.doors),
        "reachable_area_m2": grid.reachable_area,
        "obstacle_density": float(grid.taken.mean() - FloorGrid(plan).taken.mean()),
    }
    layout.doors = [(d.a, d.b, *d.center, d.high - d.low, d.top) for d in plan.doors]
    layout.spawn = [{"name": r.name, "rect": [r.x0, r.y0, r.x1, r.y1]} for r in plan.rooms]
    return layout
