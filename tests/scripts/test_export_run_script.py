"""A rollout in one small room, and its episode in the formats of other tools."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from asyncmde_sim.recordings import open_recording


@pytest.fixture(scope="module")
def rollout(script, room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollout") / "results"
    done = script(
        "rollout.py",
        *("--env", "IndoorStatic-v0", "--scene", room, "--image-size", "64", "48", "--depth", "oracle"),
        *("--latency-ms", "200", "--max-speed", "2", "--episodes", "2", "--no-video", "--out", str(folder)),
    )
    assert done.returncode == 0, done.stderr
    return folder


def poses(path):
    return np.loadtxt(path)


def test_an_episode_is_run_again_and_written_in_every_format(script, rollout, tmp_path):
    pytest.importorskip("mcap_ros2")
    pytest.importorskip("rerun")
    formats = ("--formats", "trajectory", "rgbd", "mcap", "rerun", "video")
    done = script("export_run.py", str(rollout), "--seed", "1", "--out", str(tmp_path), *formats)
    assert done.returncode == 0 and not done.stderr, done.stderr
    (folder,) = tmp_path.iterdir()
    assert {p.name for p in folder.iterdir()} == {
        *("trajectory.txt", "odometry.txt", "rgbd", "episode.mcap", "recording.rrd", "video.mp4")
    }
    steps = pq.read_table(rollout / "steps.parquet", filters=[("episode", "=", 1)])
    true, odometry = (poses(folder / f"{name}.txt") for name in ("trajectory", "odometry"))
    assert len(true) == len(odometry) == steps.num_rows
    recorded = poses(folder / "rgbd" / "groundtruth.txt")
    np.testing.assert_allclose(recorded[1:], true, atol=1e-8)  # the table begins with the first step
    assert len(open_recording(folder / "rgbd").frames) == steps.num_rows + 1
    ways = [np.linalg.norm(np.diff(path[:, 1:4], axis=0), axis=1).sum() for path in (true, odometry)]
    assert ways[0] == pytest.approx(ways[1], rel=0.01)  # exact odometry, in a frame of its own


def test_the_path_alone_needs_no_run(script, rollout, tmp_path):
    config = json.loads((rollout / "config.json").read_text())
    config["config"]["scene"] = "gone.glb"
    (tmp_path / "results").mkdir()
    for name in ("episodes.parquet", "steps.parquet"):
        (tmp_path / "results" / name).write_bytes((rollout / name).read_bytes())
    (tmp_path / "results" / "config.json").write_text(json.dumps(config))
    arguments = (str(tmp_path / "results"), "--out", str(tmp_path / "out"), "--formats")
    done = script("export_run.py", *arguments, "trajectory")
    assert done.returncode == 0, done.stderr
    done = script("export_run.py", *arguments[:-2], str(tmp_path / "other"), "--formats", "video")
    assert done.returncode == 2 and "gone.glb" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists() or not any((tmp_path / "other").iterdir())


def test_a_seed_that_was_not_run_is_refused_in_one_sentence(script, rollout, tmp_path):
    done = script("export_run.py", str(rollout), "--seed", "7", "--out", str(tmp_path))
    assert done.returncode == 2 and "seed is 7, but there is no such episode" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_a_folder_without_results_is_refused(script, tmp_path):
    done = script("export_run.py", str(tmp_path))
    assert done.returncode == 2 and "config.json" in done.stderr and "Traceback" not in done.stderr
