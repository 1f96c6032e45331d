from pathlib import Path

import pytest

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.output import weights_record
from asyncmde_sim.runtime import SOURCE_NAMES


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("env", "Outdoor-v0", "ExtremeMotion-v0"),
        ("episodes", 0, "at least 1"),
        ("seed", -1, "negative"),
        ("latency_ms", -5.0, "not negative"),
        ("latency_ms", float("nan"), "finite"),
        ("difficulty", 1.5, "between 0 and 1"),
        ("max_speed", 0.0, "positive"),
    ],
)
def test_a_bad_field_is_named_with_its_bound(field, value, message):
    with pytest.raises(ValueError, match=message) as caught:
        RolloutConfig(**{field: value})
    assert str(value) in str(caught.value)


def test_the_default_folder_tells_what_ran():
    config = RolloutConfig(env="IndoorStatic-v0", depth="fast", device="/home/me/my device.json", seed=7)
    assert config.out_dir == Path("runs/IndoorStatic-v0-fast-my-device-seed7")
    assert RolloutConfig(out=Path("here")).out_dir == Path("here")


def test_options_left_open_are_left_to_the_environment():
    assert (
        not {"scene", "weights", "difficulty", "max_speed_mps"} & RolloutConfig().environment_options().keys()
    )
    options = RolloutConfig(scene="a.glb", max_speed=2.0, difficulty=0.0).environment_options()
    assert (options["scene"], options["max_speed_mps"], options["difficulty"]) == ("a.glb", 2.0, 0.0)


@pytest.mark.parametrize("depth", SOURCE_NAMES)
def test_the_weights_of_every_source_with_networks_are_recorded(depth):
    record = weights_record(RolloutConfig(depth=depth))
    assert (record is None) == (depth in ("oracle", "blind"))
    if record is not None:
        assert record["engine"] == "onnx-int8"
        assert {"slow.int8.onnx", "fast.int8.onnx"} < set(record["sha256"])


def test_the_record_names_the_files_that_the_engine_runs():
    record = weights_record(RolloutConfig(engine="torch"))
    assert record is not None and record["engine"] == "torch"
    assert set(record["sha256"]) == {"slow.safetensors", "fast.safetensors", "fast-only.safetensors"}
