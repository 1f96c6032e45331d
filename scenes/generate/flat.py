"""Furnished flats: finishes, furniture, fixtures and light."""

from __future__ import annotations

import numpy as np

from asyncmde_sim.scenes.generate import fixtures, parts
from asyncmde_sim.scenes.generate.floorplan import (
    REVEAL_M,
    FloorPlan,
    Room,
    RoomFinish,
    build_shell,
    draw_plan,
)
from asyncmde_sim.scenes.generate.inventory import AGAINST_WALL, ANYWHERE, IN_THE_MIDDLE
from asyncmde_sim.scenes.generate.layout import Layout
from asyncmde_sim.scenes.generate.lighting import Lamp, Lights, Window
from asyncmde_sim.scenes.generate.placing import FloorGrid, Walls, against_wall, free_standing
from asyncmde_sim.scenes.generate.shapes import Color, Material, Shape


def _rug(
    rng: np.random.Generator, layout: Layout, room: Room, area: tuple[float, float, float, float]
) -> None:
    """A rug of 6 mm that reaches beyond a piece of furniture."""
    x0, y0 = max(room.x0 + 0.03, area[0] - 0.35), max(room.y0 + 0.03, area[1] - 0.35)
    x1, y1 = min(room.x1 - 0.03, area[2] + 0.35), min(room.y1 - 0.03, area[3] + 0.35)
    color = parts.pick(rng, parts.CARPET_COLORS)
    carpet = Material("carpet", color, parts.any_color(rng, 0.1, 0.7), float(rng.uniform(0.12, 0.3)))
    rug = Shape()
    rug.quad((x0, y0, 0.006), (x1 - x0, 0, 0), (0, y1 - y0, 0), carpet)
    layout.add("rug", rug)


def _finish(rng: np.random.Generator, name: str) -> RoomFinish:
    wet = name in ("bathroom", "kitchen")
    if wet:
        light = parts.pick(rng, ((0.6, 0.6, 0.58), (0.45, 0.4, 0.33), (0.3, 0.33, 0.36)))
        grout = tuple(0.6 * c for c in light)
        pattern = "chequer" if rng.random() < 0.3 else "tiles"
        floor = Material(pattern, light, (grout[0], grout[1], grout[2]), float(rng.uniform(0.2, 0.45)))
    elif rng.random() < 0.75:
        floor = Material("planks", parts.pick(rng, parts.WOOD_COLORS), scale=float(rng.uniform(0.09, 0.18)))
    else:
        floor = Material("fabric", parts.pick(rng, parts.CARPET_COLORS), parts.any_color(rng))
    base = parts.pick(
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


def _furnish(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, walls: Walls, difficulty: float
) -> None:
    """Large pieces first, then what stands in the middle, smaller pieces, and things on the floor."""
    room = walls.room
    wall_pieces = AGAINST_WALL[room.name]
    for maker, chance in wall_pieces[:3]:
        if rng.random() < chance:
            against_wall(rng, layout, grid, walls, maker(rng))
    for maker, chance in IN_THE_MIDDLE[room.name]:
        if rng.random() < chance:
            area = free_standing(rng, layout, grid, room, maker(rng))
            if area is not None and rng.random() < 0.55:
                _rug(rng, layout, room, area)
    for maker, chance in wall_pieces[3:]:
        if rng.random() < chance:
            against_wall(rng, layout, grid, walls, maker(rng))
    for _ in range(int(rng.poisson((0.5 + 3.0 * difficulty) * room.area / 14))):
        maker = ANYWHERE[int(rng.integers(len(ANYWHERE)))]
        free_standing(rng, layout, grid, room, maker(rng))


def _ceiling_lamp(rng: np.random.Generator, layout: Layout, room: Room, height: float) -> Lamp:
    x, y = room.center
    x, y = x + rng.uniform(-0.3, 0.3), y + rng.uniform(-0.3, 0.3)
    warm = rng.uniform(0.55, 1.0)
    glow = Material("plaster", (0.95, 0.7 + 0.25 * warm, 0.45 + 0.5 * warm), emission=3.0)
    lamp = Shape()
    if rng.random() < 0.5:
        z = height - rng.uniform(0.3, 0.55)
        lamp.bar((x, y, z + 0.1), (x, y, height), 0.012, parts.METAL)
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
    trim = parts.WHITE if rng.random() < 0.7 else parts.wood(rng)
    day = rng.random() < 0.75
    outside = Material("outdoors", (0.75, 0.74, 0.72), emission=1.3 if day else 0.12)
    finishes = [_finish(rng, room.name) for room in plan.rooms]
    layout = Layout(rooms=plan.rooms)
    layout.add("shell", build_shell(plan, finishes, trim, outside))
    grid = FloorGrid(plan)
    all_walls = [Walls(plan, i) for i in range(len(plan.rooms))]
    fixtures.front_door(rng, layout, plan, all_walls)
    curtains = rng.random() < 0.6
    lamps = []
    for index, (room, walls) in enumerate(zip(plan.rooms, all_walls, strict=True)):
        _furnish(rng, layout, grid, walls, difficulty)
        for window in (w for w in plan.windows if w.room == index):
            fixtures.window_dressing(rng, layout, grid, walls, window, curtains and room.name != "bathroom")
        fixtures.switches(layout, plan, index, walls)
        fixtures.wall_shelves(rng, layout, walls)
        fixtures.pictures(rng, layout, walls)
        lamps.append(_ceiling_lamp(rng, layout, room, plan.height))
    lamps += layout.lights.lamps
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
        "obstacle_density": grid.furnished_area / sum(r.area for r in plan.rooms),
    }
    layout.doors = [(d.a, d.b, *d.center, d.high - d.low, d.top) for d in plan.doors]
    layout.spawn = [{"name": r.name, "rect": [r.x0, r.y0, r.x1, r.y1]} for r in plan.rooms]
    return layout
