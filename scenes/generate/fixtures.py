"""What hangs on the walls: pictures, shelves, radiators, curtains, switches and the front door."""

from __future__ import annotations

import numpy as np

from asyncmde_sim.scenes.generate.floorplan import SIDES, FloorPlan, Opening
from asyncmde_sim.scenes.generate.layout import Layout
from asyncmde_sim.scenes.generate.parts import (
    METAL,
    STEEL,
    WHITE,
    WOOD_COLORS,
    any_color,
    clutter_on,
    fabric,
    pick,
    wood,
)
from asyncmde_sim.scenes.generate.placing import FloorGrid, Walls
from asyncmde_sim.scenes.generate.shapes import Material, Shape


def front_door(rng: np.random.Generator, layout: Layout, plan: FloorPlan, rooms: list[Walls]) -> None:
    """A closed door of 0.9 x 2.03 m in an outer wall of some room, if one has the space."""
    for walls in rooms:
        for side in SIDES:
            low, high = walls.room.span(side)
            middle = rng.uniform(low + 0.7, high - 0.7)
            outer = {
                "west": walls.room.x0 < 0.2,
                "east": walls.room.x1 > plan.width - 0.2,
                "south": walls.room.y0 < 0.2,
                "north": walls.room.y1 > plan.depth - 0.2,
            }[side]
            if not outer or not walls.free(side, middle - 0.55, middle + 0.55, 0.0, 2.15):
                continue
            walls.take(side, middle - 0.55, middle + 0.55, 0.0, 2.15)
            leaf = Material("door", pick(rng, (*WOOD_COLORS, (0.7, 0.7, 0.68))))
            s = Shape()
            s.box((0.0, -0.45, 0.0), (0.03, 0.45, 2.03), leaf, skip="xz")
            for y0, y1, z0, z1 in ((-0.52, -0.45, 0, 2.1), (0.45, 0.52, 0, 2.1), (-0.45, 0.45, 2.03, 2.1)):
                s.box((0.0, y0, z0), (0.045, y1, z1), WHITE, skip="xz")
            s.bar((0.03, 0.37, 1.03), (0.08, 0.37, 1.03), 0.02, STEEL)
            s.bar((0.08, 0.38, 1.03), (0.08, 0.26, 1.03), 0.02, STEEL)
            walls.hang(layout, "front door", s, side, middle)
            return


def switches(layout: Layout, plan: FloorPlan, index: int, walls: Walls) -> None:
    """A light switch beside each doorway, 1.1 m high."""
    for door in plan.doors:
        side = door.side_in(index)
        at = door.high + 0.16
        if side is not None and walls.free(side, at - 0.04, at + 0.04, 1.06, 1.14):
            s = Shape()
            s.box((0.0, -0.04, 1.06), (0.012, 0.04, 1.14), WHITE, skip="x")
            walls.hang(layout, "switch", s, side, at)
            walls.take(side, at - 0.05, at + 0.05, 1.0, 1.2)


def window_dressing(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, walls: Walls, window: Opening, curtains: bool
) -> None:
    """A radiator under a window, and curtains beside it."""
    side, middle, room = window.side, (window.low + window.high) / 2, walls.room
    half = min(0.5, (window.high - window.low) / 2)
    area = {
        "west": (room.x0, middle - half, room.x0 + 0.12, middle + half),
        "east": (room.x1 - 0.12, middle - half, room.x1, middle + half),
        "south": (middle - half, room.y0, middle + half, room.y0 + 0.12),
        "north": (middle - half, room.y1 - 0.12, middle + half, room.y1),
    }[side]
    if (
        window.bottom > 0.8
        and walls.free(side, middle - half, middle + half, 0.1, 0.75)
        and grid.claim(*area)
    ):
        s = Shape()
        ribs = Material("stripes", (0.78, 0.78, 0.76), (0.6, 0.6, 0.58), 0.06)
        s.box((0.03, -half, 0.14), (0.11, half, 0.74), WHITE, faces={"X": ribs})
        s.bar((0.06, half - 0.03, 0.0), (0.06, half - 0.03, 0.14), 0.02, STEEL)
        walls.hang(layout, "radiator", s, side, middle, thin=1)
        walls.take(side, middle - half, middle + half, 0.1, 0.75)
    if not curtains:
        return
    s, cloth = Shape(), fabric(rng)
    reach = (window.high - window.low) / 2
    low, high = window.bottom - 0.2, window.top + 0.08
    s.bar((0.06, -reach - 0.2, high), (0.06, reach + 0.2, high), 0.02, METAL)
    for y in (-reach - 0.18, reach - 0.12):
        for k in range(3):
            deep = 0.05 + 0.02 * (k % 2)
            s.box((0.03, y + 0.1 * k, low), (deep + 0.03, y + 0.1 * (k + 1), high), cloth, skip="x")
    start, end = room.span(side)
    if window.low - 0.22 > start and window.high + 0.22 < end:
        walls.hang(layout, "curtains", s, side, middle, thin=1)
        walls.take(side, window.low - 0.2, window.high + 0.2, low, high)


def pictures(rng: np.random.Generator, layout: Layout, walls: Walls) -> None:
    """Pictures on free stretches of wall, 3 cm thick, at eye height."""
    for side in SIDES:
        low, high = walls.room.span(side)
        for _ in range(int(rng.integers(1, 4))):
            w, h = rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7)
            if high - low < w + 0.4:
                continue
            middle, bottom = rng.uniform(low + w / 2 + 0.15, high - w / 2 - 0.15), rng.uniform(1.2, 1.45)
            area = (side, middle - w / 2 - 0.06, middle + w / 2 + 0.06, bottom - 0.05, bottom + h + 0.05)
            if not walls.free(*area):
                continue
            walls.take(*area)
            s, front = Shape(), Material("picture", pick(rng, WOOD_COLORS))
            s.box((0, -w / 2, bottom), (0.03, w / 2, bottom + h), METAL, skip="x", faces={"X": front})
            walls.hang(layout, "picture", s, side, middle)


def wall_shelves(rng: np.random.Generator, layout: Layout, walls: Walls) -> None:
    """Boards 2.5 cm thick that stick out of the wall, with things on them."""
    for side in SIDES:
        low, high = walls.room.span(side)
        w, z = rng.uniform(0.6, 1.2), rng.uniform(1.2, 1.5)
        if rng.random() < 0.6 or high - low < w + 0.4:
            continue
        middle = rng.uniform(low + w / 2 + 0.1, high - w / 2 - 0.1)
        area = (side, middle - w / 2, middle + w / 2, z - 0.1, z + 0.4)
        if not walls.free(*area):
            continue
        walls.take(*area)
        s, board = Shape(), wood(rng) if rng.random() < 0.6 else Material("painted", any_color(rng))
        s.box((0, -w / 2, z), (0.22, w / 2, z + 0.025), board, skip="x")
        clutter_on(s, rng, (0.08, 0.14), (-w / 2 + 0.12, w / 2 - 0.12), z + 0.025, 4)
        walls.hang(layout, "wall shelf", s, side, middle, thin=1)
