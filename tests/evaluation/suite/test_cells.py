import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from asyncmde_sim.depth.weights_folder import SHIPPED_FOLDER
from asyncmde_sim.evaluation.config import EpisodeConfig
from asyncmde_sim.evaluation.suite.cells import at_speed, check_cell, product, treated
from asyncmde_sim.evaluation.suite.identity import code_version, key_of
from asyncmde_sim.evaluation.suite.plan import fixed_cells
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY


def test_the_product_has_each_combination_once_and_true_depth_on_no_device(make_suite):
    cells = product(make_suite(refresh=["free", "every-9"], depth=["foundation", "async", "blind"]))
    assert Counter(cell.depth for cell in cells) == {"oracle": 1, "foundation": 2, "async": 4, "blind": 1}
    assert len({cell.key for cell in cells}) == len({cell.place for cell in cells}) == len(cells)
    assert {cell.device for cell in cells if cell.depth in ("oracle", "blind")} == {None}
    assert cells[0].is_oracle and cells[0].max_speed == 1.2, "the robot's own speed"


def test_agents_are_each_environments_own_or_the_suites(make_suite):
    environments = ["IndoorExplore-v0", {"env": "IndoorStatic-v0", "agents": ["plan", "avoid"]}]
    agents = {(c.environment, c.agent) for c in product(make_suite(environments=environments))}
    assert agents == {
        ("IndoorExplore-v0", "explore"),
        ("IndoorStatic-v0", "plan"),
        ("IndoorStatic-v0", "avoid"),
    }
    cells = product(make_suite(environments=["ExtremeMotion-v0"], agents=["plan"]))
    with pytest.raises(ValueError, match=r"ExtremeMotion-v0, oracle, plan.*cannot steer"):
        check_cell(cells[0])


def test_a_key_follows_the_content_of_files_and_not_their_place(tmp_path, monkeypatch):
    base = EpisodeConfig(depth="async")
    for name in ("a", "b"):
        shutil.copytree(SHIPPED_FOLDER / "asyncmde-indoor", tmp_path / name / "mine")
    keys = [key_of(replace(base, weights=str(tmp_path / name / "mine"))) for name in ("a", "b")]
    assert keys[0] == keys[1]
    file = next((tmp_path / "b" / "mine").glob("*.int8.onnx"))
    file.write_bytes(file.read_bytes() + b"0")
    assert key_of(replace(base, weights=str(tmp_path / "b" / "mine"))) != keys[0]

    profile = tmp_path / "slow.json"
    values = {"name": "x", "source": "made up", "fast_ms": 1, "slow_ms": 2}
    values |= {"fast_contended_ms": 1, "slow_contended_ms": 2}
    profile.write_text(json.dumps(values))
    before = key_of(replace(base, device=str(profile)))
    profile.write_text(json.dumps({**values, "slow_ms": 3.5}))
    assert key_of(replace(base, device=str(profile))) != before

    (tmp_path / "orin-trt").mkdir()
    monkeypatch.chdir(tmp_path)
    key = key_of(base)
    assert key == key_of(EpisodeConfig(depth="async"))
    monkeypatch.setattr("asyncmde_sim.evaluation.suite.identity.code_version", lambda: "other")
    assert key_of(base) != key


def test_every_field_of_a_config_is_in_its_key():
    base = EpisodeConfig(depth="async")
    others = {
        "env": "IndoorStatic-v0",
        "depth": "oracle",
        "device": "rtx4090",
        "refresh": "every-9",
        "latency_ms": 1.0,
        "engine": "torch",
        "weights": "asyncmde-indoor",
        "clock": "wall",
        "align": "floor",
        "agent": "straight",
        "scene": "hall-val-0001",
        "split": "test",
        "difficulty": 0.1,
        "max_speed": 2.0,
        "image_size": (64, 48),
        "backend": "habitat",
        "restart": True,
        "treatment": "error only",
    }
    keys = [key_of(replace(base, **{name: value})) for name, value in others.items() if name != "weights"]
    assert len({key_of(base), *keys}) == len(others), "every one differs"
    assert set(others) == {field for field in base.as_dict()}


def test_the_code_version_names_the_package_and_is_kept(monkeypatch):
    assert code_version() == code_version() and code_version().startswith("0.")


def test_cells_of_the_loss_split_are_shared_where_they_are_the_same(make_suite):
    cells = fixed_cells(make_suite(loss_split=True))
    found = Counter((cell.treatment, cell.depth, cell.device) for cell in cells)
    assert set(found.values()) == {1}
    errors = {(d, v) for t, d, v in found if t == ERROR_ONLY}
    delays = {(d, v) for t, d, v in found if t == DELAY_ONLY}
    devices = ("orin-trt", "orin-torch")
    assert errors == {("foundation", None), *((d, v) for d in ("async", "async-odometry") for v in devices)}
    assert delays == {(d, v) for d in ("foundation", "async") for v in devices}, (
        "both async have one timeline"
    )


def test_treated_cells_differ_from_the_whole_one_and_the_same_speed_is_the_same_cell(make_suite):
    cell = next(c for c in product(make_suite()) if c.depth == "async")
    assert len({cell.key, treated(cell, ERROR_ONLY).key, treated(cell, DELAY_ONLY).key}) == 3
    assert at_speed(cell, 1.0) == cell
    faster = at_speed(cell, 1.5)
    assert faster.key != cell.key and faster.max_speed == pytest.approx(1.5 * cell.max_speed)
    assert faster.config.max_speed == faster.max_speed and not faster.is_product
