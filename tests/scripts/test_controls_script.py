"""Runs the real controls on a tiny budget: one small room, small images, one episode."""

import json

import pytest

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.controls import conditions, figures, run_episodes


@pytest.fixture
def base(room) -> RolloutConfig:
    return RolloutConfig(env="IndoorStatic-v0", scene=room, image_size=(48, 36))


def test_an_episode_is_the_same_in_any_chunk(base):
    straight = next(c for c in conditions(base, (), (), 0.0) if c.config.agent == "straight")
    together = run_episodes(straight.config, 0, 3)
    assert [r["seed"] for r in together] == [0, 1, 2]
    alone = run_episodes(straight.config, 2, 1)[0]
    assert {**alone, "episode": 2} == together[2]


def test_every_condition_changes_what_its_name_says(base):
    found = {c.label: c.config for c in conditions(base, (100.0,), (0.5,), 250.0)}
    assert found["true depth"].depth == "oracle" and found["no depth"].depth == "blind"
    assert found["true depth, 100 ms old"].latency_ms == 100
    assert found["true depth, 0.6 m/s"].max_speed == pytest.approx(0.6)
    assert found["true depth, 250 ms old, 0.6 m/s"].latency_ms == 250
    assert len(found) == 6


def test_the_script_prints_and_writes_every_condition(script, room, tmp_path):
    file = tmp_path / "controls.json"
    few = ["--latencies-ms", "100", "--speeds", "2", "--workers", "1", "--image-size", "48", "36"]
    done = script(
        "controls.py",
        "--envs",
        "IndoorStatic-v0",
        "--scene",
        room,
        "--episodes",
        "1",
        *few,
        "--json-file",
        str(file),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["controls"]
    assert [r["condition"] for r in rows][:3] == ["true depth", "no depth", "straight to the goal"]
    assert len(rows) == 6 and all(r["condition"] in done.stdout for r in rows)
    assert rows[1]["success_rate"] == 0, "who sees nothing stands still"


def test_figures_are_the_means_of_the_rows(base):
    condition = next(iter(conditions(base, (), (), 0.0)))
    rows = [
        {"success": s, "collided": not s, "spl": 0.5 * s, "duration_s": d} for s, d in [(1, 4.0), (0, 2.0)]
    ]
    result = figures(condition, rows)
    assert (result["success_rate"], result["collision_rate"]) == (0.5, 0.5)
    assert (result["spl"], result["duration_s"], result["episodes"]) == (0.25, 3.0, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--episodes", "0"), "episodes is 0, but it must be 1 or more"),
        (("--workers", "0"), "workers is 0, but it must be 1 or more"),
        (("--envs", "Nowhere-v0"), "unknown environment 'Nowhere-v0'"),
        (("--latencies-ms", "-1"), "latency_ms is -1.0"),
        (("--only", "true death"), "there is no condition 'true death': choose among 'true depth'"),
    ],
)
def test_bad_input_is_one_sentence(script, arguments, message):
    done = script("controls.py", *arguments)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
