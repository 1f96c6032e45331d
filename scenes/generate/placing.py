"""Placing furniture only where a robot still reaches every room."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from asyncmde_sim.scenes.generate.floorplan import SIDES, WALL_M, FloorPlan, Room
from asyncmde_sim.scenes.generate.layout import Layout
from asyncmde_sim.scenes.generate.parts import Piece
from asyncmde_sim.scenes.generate.shapes import Shape

CELL_M = 0.05
REACH_M = 0.33
"""Radius that must pass everywhere: a rover of 0.18 m and a margin of 0.15 m."""

_YAW = {"west": 0.0, "east": np.pi, "south": np.pi / 2, "north": -np.pi / 2}


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
    def furnished_area(self) -> float:
        """Floor area in m2 that furniture takes."""
        inside = [self._cells(r.x0, r.y0, r.x1, r.y1) for r in self.plan.rooms]
        return float(sum(self.taken[cells].sum() for cells in inside)) * CELL_M**2

    @property
    def reachable_area(self) -> float:
        """Floor area in m2 on which the robot's centre can stand."""
        return float(self.reached.sum()) * CELL_M**2


class Walls:
    """The walls of one room and what already hangs or stands there, as rectangles along and up the wall."""

    def __init__(self, plan: FloorPlan, index: int) -> None:
        self.room = plan.rooms[index]
        self.taken: list[tuple[str, float, float, float, float]] = []
        for door in plan.doors:
            side = door.side_in(index)
            if side is not None:
                self.taken.append((side, door.low - 0.08, door.high + 0.08, 0.0, door.top + 0.08))
        for w in plan.windows:
            if w.room == index:
                self.taken.append((w.side, w.low - 0.03, w.high + 0.03, w.bottom - 0.03, w.top + 0.03))

    def free(self, side: str, low: float, high: float, bottom: float, top: float) -> bool:
        """Whether a rectangle of wall is inside the room and free."""
        start, end = self.room.span(side)
        return (
            low >= start
            and high <= end
            and not any(
                side == s and low < b and high > a and bottom < z1 and top > z0
                for s, a, b, z0, z1 in self.taken
            )
        )

    def take(self, side: str, low: float, high: float, bottom: float, top: float) -> None:
        """Mark a rectangle of wall as taken."""
        self.taken.append((side, low, high, bottom, top))

    def mount(self, shape: Shape, side: str, middle: float, gap: float = 0.0) -> tuple[np.ndarray, float]:
        """Position (3,) and yaw at which a shape with its back at x = 0 touches the wall at ``middle``."""
        room = self.room
        x, y = {
            "west": (room.x0 + gap, middle),
            "east": (room.x1 - gap, middle),
            "south": (middle, room.y0 + gap),
            "north": (middle, room.y1 - gap),
        }[side]
        return np.array([x, y, 0.0]), _YAW[side]

    def hang(self, layout: Layout, kind: str, shape: Shape, side: str, middle: float, thin: int = 0) -> None:
        """Add a shape to the scene, its back on the wall."""
        placed = Shape()
        placed.place(shape, *self.mount(shape, side, middle))
        layout.add(kind, placed, thin)


def top_of(shape: Shape) -> float:
    """Greatest height of a shape, metres."""
    return max(float(p.origin[2] + max(p.u[2], 0) + max(p.v[2], 0)) for p in shape.patches)


def against_wall(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, walls: Walls, piece: Piece
) -> bool:
    """Try to put a piece with its back to some wall of a room."""
    top, half = top_of(piece.shape), piece.width / 2
    for _ in range(12):
        side = SIDES[int(rng.integers(4))]
        low, high = walls.room.span(side)
        if high - low < piece.width + 0.04:
            continue
        middle = rng.uniform(low + half + 0.02, high - half - 0.02)
        if rng.random() < 0.4:
            middle = low + half + 0.02 if rng.random() < 0.5 else high - half - 0.02
        if not walls.free(side, middle - half, middle + half, 0.0, top):
            continue
        position, yaw = walls.mount(piece.shape, side, middle, gap=0.015)
        away = np.array([np.cos(yaw), np.sin(yaw)])
        ends = np.stack([position[:2], position[:2] + away * piece.depth])
        across = np.abs(away[::-1]) * half
        if grid.claim(*(ends.min(axis=0) - across), *(ends.max(axis=0) + across)):
            walls.take(side, middle - half, middle + half, 0.0, top)
            layout.put(piece, position, yaw)
            return True
    return False


def free_standing(
    rng: np.random.Generator, layout: Layout, grid: FloorGrid, room: Room, piece: Piece
) -> tuple[float, float, float, float] | None:
    """Try to put a piece anywhere in a room; its rectangle (x0, y0, x1, y1), or None."""
    for _ in range(10):
        quarter = int(rng.integers(4))
        dx, dy = (piece.depth, piece.width) if quarter % 2 == 0 else (piece.width, piece.depth)
        if room.x1 - room.x0 < dx + 0.1 or room.y1 - room.y0 < dy + 0.1:
            continue
        x = rng.uniform(room.x0 + dx / 2 + 0.05, room.x1 - dx / 2 - 0.05)
        y = rng.uniform(room.y0 + dy / 2 + 0.05, room.y1 - dy / 2 - 0.05)
        area = (x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2)
        if grid.claim(*area):
            yaw = quarter * np.pi / 2
            back = np.array([np.cos(yaw), np.sin(yaw), 0.0]) * piece.depth / 2
            layout.put(piece, np.array([x, y, 0.0]) - back, yaw)
            return area
    return None
