"""The shipped networks with a small input, exported once in every precision."""

from __future__ import annotations

import fcntl
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from asyncmde_sim.depth.weights import NETWORKS, load_network, save_network
from asyncmde_sim.depth.weights_folder import WeightsConfig, find_weights
from asyncmde_sim.runtime.engines.export import CLIP_FRAMES, export_networks
from asyncmde_sim.runtime.engines.spec import EXPORTED_PRECISIONS

CONFIG = WeightsConfig("small", height=64, width=96, max_depth_m=20)


@pytest.fixture(scope="session")
def clip() -> list[np.ndarray]:
    """Thirty images of a coloured pattern that moves."""
    pattern = np.random.default_rng(0).integers(0, 256, (8, 20, 3), dtype=np.uint8)
    large = np.kron(pattern, np.ones((10, 10, 1), np.uint8))
    return [np.ascontiguousarray(large[:80, 2 * i : 2 * i + 120]) for i in range(CLIP_FRAMES)]


@pytest.fixture(scope="session")
def exported(tmp_path_factory, clip) -> tuple[Path, dict]:
    """A folder of weights with its exports, and the checks of each precision; one for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    checks = folder / "checks.pickle"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not checks.exists():
            for network in NETWORKS:
                save_network(load_network(network, find_weights(None)), network, folder, CONFIG)
            made = {p: export_networks(folder, folder, p, [clip]) for p in EXPORTED_PRECISIONS}
            checks.write_bytes(pickle.dumps(made))
    return folder, pickle.loads(checks.read_bytes())
