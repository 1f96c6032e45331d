"""A scene as Habitat takes it, and workers: a fake one always, the real one where Habitat-Sim is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from asyncmde_sim.scenes.habitat import client
from asyncmde_sim.scenes.mesh_io import Z_UP_FROM_Y_UP

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
REAL = os.environ.get(client.PYTHON_VARIABLE)
needs_habitat = pytest.mark.skipif(not REAL, reason=f"{client.PYTHON_VARIABLE} names no Habitat-Sim")


def use_worker(patch: pytest.MonkeyPatch, kind: str) -> None:
    """Let the workers that start from now on be ``fake`` or ``real``."""
    real = Path(client.__file__).with_name("worker.py")
    patch.setattr(client, "WORKER_FILE", FAKE_WORKER if kind == "fake" else real)
    patch.setenv(client.PYTHON_VARIABLE, sys.executable if kind == "fake" else str(REAL))


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """Workers are fake unless a test says otherwise. Gives what sets how the next worker fails."""
    use_worker(monkeypatch, "fake")
    monkeypatch.delenv("FAKE_HABITAT", raising=False)
    return lambda fault: monkeypatch.setenv("FAKE_HABITAT", fault)


@pytest.fixture(params=["fake", pytest.param("real", marks=needs_habitat)])
def kind(request, fake, monkeypatch) -> str:
    """Which worker a test runs with."""
    use_worker(monkeypatch, request.param)
    return request.param


@pytest.fixture(scope="session")
def room(scene, tmp_path_factory) -> str:
    """The two rooms as GLB, in a dataset's folder with its config."""
    folder = tmp_path_factory.mktemp("dataset")
    mesh = trimesh.load(scene, force="mesh", process=False)
    mesh.export(folder / "standing.glb")
    (folder / "upright.scene_dataset_config.json").write_text(
        '{"stages": {"paths": {".glb": ["standing.glb"]}}}'
    )
    mesh.apply_transform(np.linalg.inv(Z_UP_FROM_Y_UP))
    mesh.export(folder / "apartment.glb")
    config = {
        "stages": {
            "default_attributes": {"up": [0, 1, 0], "front": [0, 0, -1]},
            "paths": {".glb": ["apartment.glb"]},
        }
    }
    (folder / "rooms.scene_dataset_config.json").write_text(json.dumps(config))
    return str(folder / "apartment.glb")


@pytest.fixture
def dataset(room) -> str:
    """The dataset's config."""
    return str(Path(room).with_name("rooms.scene_dataset_config.json"))
