"""Weights: round trips, whole files, and clear refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.images import network_input
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.depth.weights import load_network, save_network
from asyncmde_sim.depth.weights_folder import WeightsConfig, find_weights, read_config
from asyncmde_sim.runtime.engines import load_engines
from asyncmde_sim.runtime.engines.torch_engine import TorchFastEngine, TorchSingleEngine, TorchSlowEngine

CONFIG = WeightsConfig("test", height=64, width=96, max_depth_m=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    for network, kind in (("slow", ConvSlowPath), ("fast", FastPath), ("fast-only", FastPathWithoutMemory)):
        save_network(kind(max_depth_m=10), network, folder, CONFIG)
    return folder


def test_round_trip_keeps_the_weights_in_half_precision(folder: Path) -> None:
    model = load_network("fast", folder)
    save_network(model, "fast", folder, CONFIG)
    for key, value in load_network("fast", folder).state_dict().items():
        assert torch.equal(value, model.state_dict()[key])
    assert read_config(folder) == CONFIG
    assert not list(folder.glob("*.tmp"))


def test_engines_give_depth_at_the_images_size_and_are_kept(folder: Path) -> None:
    engines = load_engines(str(folder))
    assert load_engines(str(folder)) is engines
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    depth, memory = engines.slow.run(image), engines.slow.memory(image)
    state = engines.fast.refreshed(None, memory)
    fast_depth, state, trust = engines.fast.run(image, state)
    for d in (depth, fast_depth, engines.single.run(image)):
        assert d.shape == (90, 120) and d.dtype == np.float32 and np.isfinite(d).all() and d.max() <= 10
    assert trust.shape == (16, 24) and 0 <= trust.min() <= trust.max() <= 1
    again, _, _ = engines.fast.run(image, engines.fast.refreshed(None, memory))
    assert np.array_equal(again, fast_depth)


def test_the_engines_precision_changes_depth_by_little(folder: Path) -> None:
    engines = load_engines(str(folder))
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    with torch.inference_mode():
        exact = load_network("slow", folder)(network_input(image, engines.size))[0].numpy()
    assert np.median(np.abs(engines.slow.run(image) / exact - 1)) < 0.01


def test_weights_that_are_cast_once_change_no_result(folder: Path) -> None:
    engines = load_engines(str(folder))
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    slow, fast, single = (
        kind(load_network(name, folder), engines.size)
        for kind, name in (
            (TorchSlowEngine, "slow"),
            (TorchFastEngine, "fast"),
            (TorchSingleEngine, "fast-only"),
        )
    )
    assert np.array_equal(engines.slow.run(image), slow.run(image))
    assert np.array_equal(engines.single.run(image), single.run(image))
    state = fast.refreshed(None, slow.memory(image))
    for ours, theirs in zip(engines.fast.run(image, state), fast.run(image, state), strict=True):
        if isinstance(ours, np.ndarray):
            assert np.array_equal(ours, theirs)


def test_twice_the_focal_length_is_twice_the_distance(folder: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    own, same, longer = (load_engines(str(folder), focal) for focal in (None, 0.5, 1.0))
    for network in ("slow", "single"):
        depth = getattr(own, network).run(image)
        np.testing.assert_array_equal(getattr(same, network).run(image), depth)
        np.testing.assert_allclose(getattr(longer, network).run(image), 2 * depth, rtol=1e-6)
    depth, memory = longer.slow.depth_and_memory(image)
    np.testing.assert_allclose(depth, longer.slow.run(image), rtol=1e-6)
    state = longer.fast.refreshed(None, memory)
    there, next_state, _ = longer.fast.run(image, state)
    np.testing.assert_allclose(there, 2 * own.fast.run(image, state)[0], rtol=1e-6)
    alone = longer.fast.remember(image, state)
    assert all(torch.equal(a, b) for a, b in zip(alone.memory, next_state.memory, strict=True))
    with pytest.raises(ValueError, match=r"focal is 0\.0 of the image's width"):
        load_engines(str(folder), 0.0)


def test_an_image_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"uint8, but this one is \(8, 8\) float64"):
        load_engines(str(folder)).single.run(np.zeros((8, 8)))  # type: ignore[arg-type]


def test_relative_depth_is_refused_as_a_source_of_metres() -> None:
    model = ConvSlowPath()
    model.decoder.depth_type = "relative"
    with pytest.raises(ValueError, match="relative depth, which has no metres"):
        TorchSlowEngine(model, (64, 96))


def test_unknown_weights_say_what_exists() -> None:
    with pytest.raises(FileNotFoundError, match="no weights 'nothing'"):
        find_weights("nothing")


def test_a_missing_network_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"no slow\.safetensors"):
        load_network("slow", tmp_path)


def test_corrupt_and_foreign_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "slow.safetensors").write_bytes((folder / "slow.safetensors").read_bytes()[:1000])
    with pytest.raises(ValueError, match="corrupt"):
        load_network("slow", tmp_path)
    (tmp_path / "fast.safetensors").write_bytes((folder / "fast-only.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"does not fit the fast network: it lacks \d+ weights"):
        load_network("fast", tmp_path)
    (tmp_path / "config.json").write_text('{"nonsense": 1}')
    with pytest.raises(ValueError, match="not a config of depth weights"):
        read_config(tmp_path)


def test_a_config_checks_itself() -> None:
    with pytest.raises(ValueError, match="height is 16"):
        replace(CONFIG, height=16)
    with pytest.raises(ValueError, match="max_depth_m is 0"):
        replace(CONFIG, max_depth_m=0)


def test_a_failed_write_leaves_the_old_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "slow.safetensors").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("asyncmde_sim.depth.weights.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_network(ConvSlowPath(), "slow", folder, CONFIG)
    assert (folder / "slow.safetensors").read_bytes() == before
    assert not list(folder.glob("*.tmp"))
