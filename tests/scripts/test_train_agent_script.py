"""train_agent.py and compare_agents.py on a small room and tiny budgets, and what they refuse."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"

RECIPE = {
    "default": {
        "view": {"height": 36, "width": 48, "directions": 16},
        "clone": {"rounds": 2, "episodes": 1, "epochs": 1, "longest": 20, "batch": 8},
        "ppo": {"n_envs": 1, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "value_steps": 0},
    }
}


@pytest.fixture
def load(monkeypatch):
    """A script as a module, for what it refuses before any work; it takes no seconds to start then."""

    def module(name):
        for library in ("OMP", "OPENBLAS", "MKL"):
            monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
        return SimpleNamespace(**runpy.run_path(str(SCRIPTS / name)))

    return module


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.json"
    path.write_text(json.dumps(RECIPE))
    return str(path)


@pytest.fixture(scope="module")
def options(room, recipe):
    return (
        "--scene",
        room,
        "--recipe",
        recipe,
        "--image-size",
        "48",
        "36",
        "--workers",
        "1",
        "--trials",
        "1",
    )


@pytest.fixture(scope="module")
def training(script, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "out"
    done = script("train_agent.py", *options, "--depth", "oracle", "--steps", "32", "--tensorboard",
                  "--vary-latency-ms", "50", "--vary-resolution", "2", "--vary-noise", "0.1",
                  "--out", str(folder))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_training_leaves_its_policy_videos_and_logs(training):
    folder, done = training
    config = json.loads((folder / "policy" / "policy.json").read_text())
    assert config["robot"] == "rover" and config["training"]["vary_noise"] == 0.1
    assert (folder / "policy" / "policy.safetensors").stat().st_size < 2_000_000
    assert len(list((folder / "videos").glob("clone-*.mp4"))) == 2
    assert list((folder / "tensorboard").iterdir())
    assert "clone 2:" in done.stdout and "ppo 32:" in done.stdout and "trial-ppo 32:" in done.stdout


def test_a_training_goes_on_and_does_nothing_twice(script, options, training):
    folder, _ = training
    before = (folder / "policy" / "policy.safetensors").read_bytes()
    episodes = {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()}
    (folder / "ppo.pt").unlink()
    same = ("--depth", "oracle", "--steps", "32", "--vary-latency-ms", "50", "--vary-resolution", "2",
            "--vary-noise", "0.1", "--out", str(folder), "--resume")  # fmt: skip
    done = script("train_agent.py", *options, *same)
    assert done.returncode == 0, done.stderr
    assert "clone" not in done.stdout and "ppo 16:" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / "episodes").iterdir()} == episodes
    assert (folder / "policy" / "policy.safetensors").read_bytes() == before
    done = script("train_agent.py", *options, *same, "--seed", "3")
    assert done.returncode == 2 and "was begun with seed 0, not 3" in done.stderr


def test_a_policy_drives_a_rollout(script, room, training, tmp_path):
    policy = str(training[0] / "policy")
    few = ("--scene", room, "--image-size", "48", "36")
    done = script("rollout.py", "--env", "IndoorStatic-v0", "--depth", "oracle", "--agent", policy, *few,
                  "--no-video", "--out", str(tmp_path / "rollout"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "rollout" / "config.json").read_text())["config"]["agent"] == policy
    done = script("rollout.py", "--env", "ExtremeMotion-v0", "--depth", "oracle", "--agent", policy,
                  "--out", str(tmp_path / "refused"))  # fmt: skip
    assert done.returncode == 2
    assert "for the robot rover, but the environment has quad" in done.stderr
    assert not (tmp_path / "refused").exists()


def test_agents_are_compared(script, room, tmp_path):
    done = script("compare_agents.py", "--agents", "one=straight", "two=straight", "--sources", "oracle",
                  "blind", "--workers", "1", "--scene", room, "--image-size", "48", "36", "--episodes", "2",
                  "--out", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "blind: one loses +0.00 more success than two (+0.00 to +0.00, 2 episodes)" in done.stdout
    cells = json.loads((tmp_path / "summary.json").read_text())["cells"]
    assert [cell["episodes"] for cell in cells] == [2] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "-1"), "steps is -1"),
        (("--depth", "lidar"), "unknown depth source 'lidar'"),
        (("--recipe", "nothing"), "no recipe 'nothing'"),
        (("--vary-noise", "9"), "noise is 9.0"),
        (("--start", "nowhere"), "there is no policy 'nowhere'"),
        (("--also", "nowhere"), "nowhere holds no episodes"),
        (("--resume",), "holds no training to go on with"),
        (("--env", "Other-v0"), "unknown environment 'Other-v0'"),
        (("--env", "IndoorExplore-v0"), "needs a goal, but IndoorExplore-v0 has none"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(load, capsys, tmp_path, arguments, message):
    assert load("train_agent.py").main(["--out", str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--agents", "avoid"), "agent 'avoid' is not NAME=AGENT"),
        (("--agents", "mine=nowhere"), "unknown agent 'nowhere'"),
        (("--episodes", "0"), "episodes is 0"),
    ],
)
def test_comparisons_that_are_wrong_are_refused(load, capsys, tmp_path, arguments, message):
    assert load("compare_agents.py").main(["--out", str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1
