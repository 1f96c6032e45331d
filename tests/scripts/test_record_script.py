"""Records with the real script in one small room, and reads back what it wrote."""

import json

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from asyncmde_sim.recordings import open_recording
from asyncmde_sim.recordings.frames import MOTIONS, frames_along
from asyncmde_sim.recordings.tum import write_recording
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(64, 48)


@pytest.fixture
def env(room):
    return gym.make("asyncmde_sim:IndoorStatic-v0", scene=room, camera=CAMERA, disable_env_checker=True)


def test_what_is_written_is_what_the_environment_shows(script, env, room, tmp_path):
    done = script(
        "record.py",
        *("--env", "IndoorStatic-v0", "--scene", room, "--image-size", "64", "48"),
        *("--seconds", "0.3", "--recordings", "2", "--out", str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        recording = open_recording(tmp_path / f"IndoorStatic-v0-agent-seed{seed}")
        expected = list(frames_along(env, "agent", seed, 9))
        assert len(recording.frames) == len(expected) == 9 and not recording.problems
        for frame, (time_ns, image, depth, pose) in zip(recording.frames, expected, strict=True):
            assert frame.time_ns == time_ns
            np.testing.assert_allclose(frame.T_world_camera, pose, atol=1e-8)
            data = recording.read(frame)
            np.testing.assert_array_equal(data.image, image)
            np.testing.assert_allclose(data.depth, depth, atol=2e-4)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_recording_agrees_with_itself(env, motion):
    """What one frame sees lies, by pose and camera, where the next one sees it; by another camera not."""
    frames = list(frames_along(env, motion, 3, 12))
    times = np.array([f[0] for f in frames])
    assert (np.diff(times) == env.unwrapped.robot.control_dt_ns).all()

    def disagreement(camera: Camera) -> float:
        matrix = camera.pinhole.matrix
        (_, _, first, first_pose), (_, _, last, last_pose) = frames[0], frames[-1]
        rows, columns = np.nonzero(first)
        pixels = np.stack([columns, rows, np.ones(len(rows))])
        points = np.linalg.inv(matrix) @ pixels * first[rows, columns]
        world = first_pose @ np.vstack([points, np.ones(points.shape[1])])
        local = (np.linalg.inv(last_pose) @ world)[:3]
        local = local[:, local[2] > 0.1]
        column, row = np.round((matrix @ local)[:2] / local[2]).astype(int)
        inside = (column >= 0) & (column < 64) & (row >= 0) & (row < 48)
        seen = last[row[inside], column[inside]]
        return float(np.median(np.abs(seen - local[2, inside]) / local[2, inside]))

    assert disagreement(CAMERA) < 0.01
    moved = np.linalg.norm(frames[-1][3] - frames[0][3])
    if moved > 0.3:
        assert disagreement(Camera(64, 48, hfov_rad=1.1)) > 0.01


def test_the_same_seed_gives_the_same_trajectory(env):
    first, again, other = (list(frames_along(env, "aggressive", seed, 4)) for seed in (1, 1, 2))
    np.testing.assert_array_equal([f[3] for f in first], [f[3] for f in again])
    np.testing.assert_array_equal([f[2] for f in first], [f[2] for f in again])
    assert not np.array_equal([f[3] for f in first], [f[3] for f in other])


def test_a_distorting_camera_is_refused():
    with pytest.raises(ValueError, match="distortion"):
        _ = Camera(distortion=(0.1, 0, 0, 0, 0)).pinhole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env", "Nowhere-v0"), "unknown environment 'Nowhere-v0'"),
        (("--motion", "drunk"), "unknown motion 'drunk': choose one of agent, smooth, expert, aggressive"),
        (("--seconds", "0"), "seconds is 0.0"),
        (("--recordings", "0"), "recordings is 0"),
        (("--scene", "flat-nowhere-1"), "flat-nowhere-1"),
    ],
)
def test_bad_input_is_one_sentence(script, arguments, message, tmp_path):
    done = script("record.py", *arguments, "--out", str(tmp_path))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(script, tmp_path):
    (tmp_path / "IndoorStatic-v0-agent-seed4").mkdir()
    done = script("record.py", "--seed", "3", "--recordings", "2", "--out", str(tmp_path))
    assert done.returncode == 2 and "IndoorStatic-v0-agent-seed4 exists" in done.stderr


def test_a_recording_is_scored_with_the_shipped_weights(script, env, tmp_path):
    camera = CAMERA.pinhole
    write_recording(tmp_path / "turn", camera, frames_along(env, "smooth", 0, 4))
    figures = tmp_path / "figures.json"
    plot = tmp_path / "lags.png"
    options = ["--recordings", str(tmp_path / "turn"), "--interval", "2", "--json-file", str(figures)]
    done = script("evaluate_depth.py", *options, "--ablation", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    assert "one sequence" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80
    scored = json.loads(figures.read_text())["groups"]["turn"]
    assert scored["frames"] == 4 and len(scored["delta1_by_lag"]["async"]) == 2
    rows = {"own memory", "gate 1", "gate 4", "turned memory", "carried depth", "async-odometry"}
    assert rows < set(scored["scores"]) and "gate 4" in done.stdout
    assert set(scored["recovery"]) == set(scored["gain_by_lag"]) == rows | {"async"}
    recoveries = json.loads(figures.read_text())
    for key, source in (("recovery", "async"), ("recovery_with_odometry", "async-odometry")):
        assert recoveries[key] == scored["recovery"][source]
    with Image.open(plot) as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_what_was_scored_before_a_recording_fails_is_given(script, env, tmp_path):
    for name in ("turn", "spoiled"):
        write_recording(tmp_path / name, CAMERA.pinhole, frames_along(env, "smooth", 0, 2))
    for image in (tmp_path / "spoiled" / "rgb").iterdir():
        image.write_bytes(b"nothing")
    figures = tmp_path / "figures.json"
    options = ["--recordings", str(tmp_path / "turn"), str(tmp_path / "spoiled"), "--interval", "2"]
    done = script("evaluate_depth.py", *options, "--json-file", str(figures))
    assert done.returncode == 2 and "spoiled" in done.stderr and "Traceback" not in done.stderr
    assert list(json.loads(figures.read_text())["groups"]) == ["turn"] and "turn" in done.stdout


def test_a_plot_that_cannot_be_written_is_refused_at_once(script, tmp_path):
    for plot, message in (("lags.gif", "must end in one of .png"), ("nowhere/lags.png", "nowhere")):
        done = script("evaluate_depth.py", "--plot", str(tmp_path / plot))
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
