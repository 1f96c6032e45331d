"""The small scene of the environment tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def two_rooms_scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = Path(__file__).parent.parent / "envs" / "conftest.py"
    spec = importlib.util.spec_from_file_location("two_rooms", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path_factory.mktemp("scene") / "two-rooms.ply"
    module.two_rooms().export(path)
    return str(path)
