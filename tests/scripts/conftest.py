"""A scene so small that real scripts run through it in seconds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

SCRIPTS = Path(__file__).parents[2] / "scripts"


def box(extents, centre):
    return trimesh.creation.box(extents, trimesh.transformations.translation_matrix(centre))


@pytest.fixture(scope="session")
def script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a real script, by its file's name, with arguments."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCRIPTS / name), *arguments], capture_output=True, text=True
        )

    return run


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> str:
    """A room of 7 x 5 m with a wall in its middle."""
    parts = [box((7, 5, 0.1), (0, 0, height)) for height in (-0.05, 2.55)]
    parts.append(box((0.2, 2.0, 2.5), (0, -1.5, 1.25)))
    for side in (-1, 1):
        parts.append(box((7, 0.1, 2.5), (0, 2.5 * side, 1.25)))
        parts.append(box((0.1, 5, 2.5), (3.5 * side, 0, 1.25)))
    mesh = trimesh.util.concatenate(parts)
    mesh.visual.vertex_colors = np.random.default_rng(0).integers(60, 255, (len(mesh.vertices), 4), np.uint8)
    path = tmp_path_factory.mktemp("scene") / "room.ply"
    mesh.export(path)
    return str(path)
