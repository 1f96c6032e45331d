"""Goes on training the shipped weights through the real script, for a step or two on tiny clips."""

import json
import shutil

import pytest

from asyncmde_sim.depth.weights_folder import find_weights

SCHEDULE = {"steps": 2, "batch": 2, "learning_rate": 1e-4}


@pytest.fixture
def options(tmp_path, write_tiny_shards):
    write_tiny_shards(tmp_path, clips=2)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"tune": SCHEDULE, "joint": SCHEDULE}))
    out = tmp_path / "weights"
    shutil.copytree(find_weights(None), out)
    return ["--folder", str(tmp_path), "--out", str(out), "--recipe", str(recipe), "--device", "cpu"]


def test_weights_are_tuned_and_trained_jointly(script, options, tmp_path):
    files = {name: tmp_path / "weights" / f"{name}.safetensors" for name in ("slow", "fast", "fast-only")}

    def contents():
        return {name: file.read_bytes() for name, file in files.items()}

    before = contents()
    done = script("train_depth.py", "tune", *options, "--labels", "slow-path")
    assert done.returncode == 0 and "tune: step 2/2" in done.stdout, done.stderr
    tuned = contents()
    assert [n for n in files if tuned[n] != before[n]] == ["fast"]
    done = script("train_depth.py", "joint", *options)
    assert done.returncode == 0 and "joint: step 2/2" in done.stdout, done.stderr
    assert all(contents()[name] != tuned[name] for name in files)
    again = script("train_depth.py", "joint", *options, "--resume")
    assert again.returncode == 0 and "joint is done" in again.stdout


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--recipe", "nowhere"], "no recipe 'nowhere'"),
        (["--folder", "nowhere"], "holds no clips"),
        (["--start", "nowhere"], "nowhere"),
        (["--resume"], "has no checkpoint to go on from"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(script, options, changed, message, tmp_path):
    done = script("train_depth.py", "joint", *options, "--tensorboard", *changed)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert not (tmp_path / "weights" / "tensorboard").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trajectories", "-1"], "trajectories is -1, but it must be 0 or more"),
        (
            ["--clips", "0", "--close-clips", "0", "--trajectories", "0"],
            "clips, close_clips, low_clips and trajectories are all 0",
        ),
        (["--views", "0"], "views is 0"),
        (["--close-views", "-1"], "close_views is -1"),
        (["--low-views", "-1"], "low_views is -1"),
    ],
)
def test_clips_that_cannot_be_rendered_are_refused(script, tmp_path, options, message):
    done = script("train_depth.py", "render", "--folder", str(tmp_path), *options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())
