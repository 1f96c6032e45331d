"""A scene that loads in milliseconds: two rooms with a door between them."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

LENGTH, WIDTH, HEIGHT = 12.0, 5.0, 2.6
DOOR = (1.5, 2.6)
"""The door's range of y, in the partition at x = 6 m."""


def _box(low, high, colour) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    box = trimesh.creation.box(high - low)
    box.apply_translation((low + high) / 2)
    box.visual.face_colors = np.tile([*colour, 255], (len(box.faces), 1))
    return box


def two_rooms() -> trimesh.Trimesh:
    """A floor at z = 0 and walls around x in [0, 12] m, y in [0, 5] m; z up."""
    wall, t = (170, 160, 150), 0.1
    parts = [
        _box((-t, -t, -t), (LENGTH + t, WIDTH + t, 0), (110, 80, 60)),
        _box((-t, -t, HEIGHT), (LENGTH + t, WIDTH + t, HEIGHT + t), (230, 230, 230)),
        _box((-t, -t, 0), (0, WIDTH + t, HEIGHT), wall),
        _box((LENGTH, -t, 0), (LENGTH + t, WIDTH + t, HEIGHT), (90, 120, 160)),
        _box((0, -t, 0), (LENGTH, 0, HEIGHT), wall),
        _box((0, WIDTH, 0), (LENGTH, WIDTH + t, HEIGHT), (160, 110, 90)),
        _box((6 - t, 0, 0), (6, DOOR[0], HEIGHT), (60, 140, 80)),
        _box((6 - t, DOOR[1], 0), (6, WIDTH, HEIGHT), (60, 140, 80)),
        _box((3.0, 2.2, 0), (3.4, 2.8, 0.8), (200, 60, 50)),
    ]
    return trimesh.util.concatenate(parts)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scene") / "two-rooms.ply"
    two_rooms().export(path)
    return str(path)


@pytest.fixture(scope="session")
def backend(scene):
    from asyncmde_sim.scenes import load_backend

    return load_backend(scene)
