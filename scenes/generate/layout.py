"""What a scene is made of before it is painted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from asyncmde_sim.scenes.generate.floorplan import Room
from asyncmde_sim.scenes.generate.lighting import Lamp, Lights
from asyncmde_sim.scenes.generate.parts import Piece
from asyncmde_sim.scenes.generate.shapes import Shape, Vector, rotation_z


@dataclass
class Layout:
    """Patches, lights and figures of a scene under construction.

    Args:
        rooms: Rooms in metres.
        shape: Every patch so far.
        lights: Lamps, windows and sun.
        counts: How many pieces there are of each kind.
        thin_parts: Number of thin parts (legs, stands, cables, boards).
        doors: Doorways: the two rooms' indices, centre x and y, width and height.
        spawn: Named rectangles in which a robot may start or arrive.
        figures: Difficulty figures.
    """

    rooms: tuple[Room, ...]
    shape: Shape = field(default_factory=Shape)
    lights: Lights = field(default_factory=Lights)
    counts: Counter[str] = field(default_factory=Counter)
    thin_parts: int = 0
    doors: list[tuple[int, int, float, float, float, float]] = field(default_factory=list)
    spawn: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def put(self, piece: Piece, position: Vector, yaw: float) -> None:
        """Place a piece of furniture: turned by ``yaw``, its back's middle at ``position`` (3,)."""
        self.shape.place(piece.shape, position, yaw)
        self.counts[piece.kind] += 1
        self.thin_parts += piece.thin
        if piece.lamp is not None:
            x, y, z = rotation_z(yaw) @ piece.lamp.position + np.asarray(position)
            lamp = Lamp((float(x), float(y), float(z)), piece.lamp.power, piece.lamp.radius_m)
            self.lights = replace(self.lights, lamps=(*self.lights.lamps, lamp))

    def add(self, kind: str, shape: Shape, thin: int = 0) -> None:
        """Add patches that already lie in the scene's frame."""
        self.shape.patches += shape.patches
        self.counts[kind] += 1
        self.thin_parts += thin
