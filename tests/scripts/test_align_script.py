"""Aligned relative depth through the real scripts, on tiny budgets."""

import json

import gymnasium as gym
import pytest

from asyncmde_sim.recordings.frames import frames_along
from asyncmde_sim.recordings.tum import write_recording
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(64, 48)


def test_clips_are_scored(script, tmp_path):
    figures = tmp_path / "figures.json"
    options = ["--scenes", "1", "--clips", "1", "--interval", "2", "--json-file", str(figures)]
    done = script("evaluate_depth.py", "--align", "floor", "ranges", "odometry", *options)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    report = json.loads(figures.read_text())
    assert report["weights"] == "relative-stand-in"
    assert set(report["groups"]) == {"IndoorStatic", "IndoorDynamic", "ExtremeMotion"}
    for alignments in report["groups"].values():
        assert list(alignments) == ["floor", "ranges", "odometry"]
        for whole, *parts in alignments.values():
            assert whole["frames"] == sum(part["frames"] for part in parts) == 2
            assert whole["fitted"] + whole["held"] + whole["none"] == pytest.approx(1)


def test_a_recording_is_scored_by_its_poses_alone(script, room, tmp_path):
    env = gym.make("asyncmde_sim:IndoorStatic-v0", scene=room, depth=None, camera=CAMERA)
    write_recording(tmp_path / "way", CAMERA.pinhole, frames_along(env, "smooth", 0, 4))
    options = ["--recordings", str(tmp_path / "way")]
    done = script("evaluate_depth.py", *options, "--align", "odometry")
    assert done.returncode == 0 and "odometry" in done.stdout, done.stderr
    done = script("evaluate_depth.py", *options, "--align", "floor")
    assert done.returncode == 2 and "recordings hold neither the camera's height nor range" in done.stderr


def test_a_robot_drives_on_aligned_depth(script, room, tmp_path):
    options = ["--env", "IndoorStatic-v0", "--scene", room, "--image-size", "48", "36", "--no-video"]
    options += ["--device", "orin-torch", "--out", str(tmp_path / "out")]
    relative = ["--depth", "foundation", "--weights", "relative-stand-in", "--align", "floor"]
    done = script("rollout.py", *options, *relative)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["config"]["align"] == "floor" and config["weights"]["name"] == "relative-stand-in"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["slow_runs"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--align", "floor", "--ablation"), "leave them out"),
        (("--engine", "onnx-int8", "--ablation"), "not 'onnx-int8': use --engine torch"),
        (("--align", "floor", "--weights", "asyncmde-indoor"), "leave align out"),
        (("--weights", "relative-stand-in"), "has no metres"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(script, options, message):
    done = script("evaluate_depth.py", *options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
