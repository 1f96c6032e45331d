"""Runs the real command line on a tiny budget: one small room, small images, true depth."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import trimesh

from asyncmde_sim.evaluation.cli import main
from asyncmde_sim.evaluation.records import summarise

SCRIPT = Path(__file__).parents[2] / "scripts" / "rollout.py"
KEYS = [
    "episodes",
    "success_rate",
    "success_ci",
    "collision_rate",
    "spl",
    "abs_rel",
    "delta1",
    "streaming_abs_rel",
    "streaming_delta1",
    "refresh_age_ms",
    "content_age_ms",
    "frames_dropped",
    "slow_runs",
    "steps_per_s",
]


def arguments(room: str, out: Path, *more: str) -> list[str]:
    options = ["--env", "IndoorStatic-v0", "--depth", "oracle", "--scene", room, "--image-size", "48", "36"]
    return [*options, "--episodes", "1", *more, "--out", str(out)]


@pytest.fixture(scope="module")
def process(room, tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """The script after two episodes."""
    out = tmp_path_factory.mktemp("rollout") / "out"
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments(room, out, "--episodes", "2")],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(process) -> Path:
    """The folder of its results."""
    return Path(process.args[-1])


def test_a_rollout_leaves_its_files(finished):
    assert {path.name for path in finished.iterdir()} == {
        "config.json",
        "episodes.parquet",
        "steps.parquet",
        "summary.json",
        "video.mp4",
    }
    summary = json.loads((finished / "summary.json").read_text())
    assert set(KEYS) <= summary.keys()
    config = json.loads((finished / "config.json").read_text())
    assert config["config"]["image_size"] == config["robot"]["image_size"] == [48, 36]


def test_the_summary_follows_from_the_tables(finished):
    episodes, steps = (pq.read_table(finished / f"{name}.parquet") for name in ("episodes", "steps"))
    summary = json.loads((finished / "summary.json").read_text())
    assert summarise(episodes, steps, summary["steps_per_s"]) == summary
    assert episodes["steps"].to_pylist() == [steps["episode"].to_pylist().count(e) for e in (0, 1)]


def test_true_depth_has_no_error_and_no_age(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["abs_rel"], summary["delta1"], summary["content_age_ms"]) == (0.0, 1.0, 0.0)
    assert summary["streaming_abs_rel"] == 0.0


def test_the_same_seed_gives_the_same_bytes_and_a_later_latency_others(room, finished, tmp_path):
    assert main(arguments(room, tmp_path / "b", "--episodes", "2", "--no-video")) == 0
    assert not (tmp_path / "b" / "video.mp4").exists()
    for name in ("episodes.parquet", "steps.parquet"):
        assert (finished / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert main(arguments(room, tmp_path / "b", "--latency-ms", "200", "--no-video")) == 0
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    assert summary["episodes"] == 1
    assert 200 <= summary["content_age_ms"] < 200 + 34
    assert summary["abs_rel"] == 0.0 < summary["streaming_abs_rel"]


def test_the_script_prints_one_table_that_fits(process, finished):
    *table, last = process.stdout.splitlines()
    assert max(len(line) for line in table) <= 80
    for word in ("success", "collisions", "SPL", "AbsRel", "refresh", "dropped", "slow path", "steps/s"):
        assert sum(word in line for line in table) == 1
    assert last == f"Results: {finished}"
    assert [line[:11] for line in process.stderr.splitlines()] == ["episode 1/2", "episode 2/2"]


def test_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "python scripts/rollout.py --depth oracle --latency-ms 250" in capsys.readouterr().out


def test_ctrl_c_keeps_the_finished_episodes(room, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *arguments(room, out, "--episodes", "1000")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        lines = [process.stderr.readline(), process.stderr.readline()]
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert "episode 2/1000" in lines[1]
    assert "Traceback" not in rest and "of 1000 episodes had ended" in rest
    summary = json.loads((out / "summary.json").read_text())
    steps = pq.read_table(out / "steps.parquet")
    assert summary["episodes"] == pq.read_table(out / "episodes.parquet").num_rows >= 2
    assert set(steps["episode"].to_pylist()) == set(range(summary["episodes"]))
    assert not list(out.glob(".*"))


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


RELATIVE = ("--depth", "foundation", "--weights", "relative-stand-in")
REFUSALS = {
    "environment": (["--env", "Outdoor-v0"], "ExtremeMotion-v0"),
    "source": (["--depth", "sonar"], "oracle"),
    "device": (["--device", "abacus"], "orin-trt"),
    "refresh": (["--refresh", "sometimes"], "every-N"),
    "agent": (["--agent", "kamikaze"], "avoid"),
    "scene": (["--scene", "attic-val-0000"], "flat"),
    "scene file": (["--scene", "nowhere.glb"], "nowhere.glb"),
    "split": (["--split", "dev"], "val"),
    "renderer": (["--backend", "crayons"], "raycast"),
    "episodes": (["--episodes", "0"], "at least 1"),
    "weights": (["--depth", "async", "--weights", "nowhere"], "nowhere"),
    "camera": (["--image-size", "16", "16"], "32"),
    "latency": (["--latency-ms", "-1"], "not negative"),
    "alignment": ([*RELATIVE, "--align", "sonar"], "floor, ranges, odometry"),
    "relative weights": ([*RELATIVE], "has no metres: use"),
    "metric weights": (["--depth", "foundation", "--align", "floor"], "leave align out"),
    "source of metres": (["--align", "floor"], "takes no relative depth"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bad_option_is_refused_in_one_sentence_before_anything_is_written(case, room, tmp_path, capsys):
    options, hint = REFUSALS[case]
    assert_refused(main(arguments(room, tmp_path / "out", *options)), hint, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("name", "content", "option", "hint"),
    [
        ("slow.json", "{", "--device", "slow.json"),
        ("slow.json", '{"name": "x", "source": "y", "fast_ms": -3}', "--device", "slow.json"),
        ("broken.glb", "not a glb", "--scene", "broken.glb"),
        ("empty.ply", "ply\nformat ascii 1.0\nend_header\n", "--scene", "empty.ply"),
    ],
)
def test_a_broken_file_is_refused(name, content, option, hint, room, tmp_path, capsys):
    path = write(tmp_path / name, content)
    assert_refused(main(arguments(room, tmp_path / "out", option, path)), hint, tmp_path / "out", capsys)


def test_a_scene_without_free_space_is_refused(room, tmp_path, capsys):
    trimesh.creation.box((0.3, 0.3, 0.3)).export(tmp_path / "brick.ply")
    code = main(arguments(room, tmp_path / "out", "--scene", str(tmp_path / "brick.ply")))
    assert_refused(code, "brick", tmp_path / "out", capsys)


def test_a_folder_that_cannot_be_written_is_refused(room, tmp_path, capsys):
    path = write(tmp_path / "file", "")
    assert_refused(main(arguments(room, Path(path) / "out")), "is a file", Path(path) / "out", capsys)
    (tmp_path / "full").mkdir()
    write(tmp_path / "full" / "thesis.txt", "")
    assert main(arguments(room, tmp_path / "full")) == 2
    assert "--overwrite" in capsys.readouterr().err


def assert_refused(code: int, hint: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = capsys.readouterr()
    assert code == 2
    assert hint in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert not out.exists()


def test_an_exploring_agents_maps_are_scored(script, room, tmp_path):
    options = ("--env", "IndoorExplore-v0", "--depth", "oracle", "--scene", room, "--image-size", "112", "84")
    runs = ("--no-video", "--rerun", "--episodes", "2", "--out", str(tmp_path / "run"))
    done = script("rollout.py", *options, *runs)
    assert done.returncode == 0, done.stderr
    assert "coverage" in done.stdout and "maps: F 0." in done.stdout
    assert b"/map/" in (tmp_path / "run" / "recording.rrd").read_bytes()
    maps = json.loads((tmp_path / "run" / "maps.json").read_text())["maps"]
    assert [row["episode"] for row in maps] == [0, 1]
    assert all(row["accuracy_m"] < 0.05 and row["f_10cm"] > 0.6 for row in maps)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["agent"] == "explore"
    refused = script("rollout.py", *options, "--agent", "avoid", "--out", str(tmp_path / "no"))
    assert refused.returncode == 2 and "needs a goal" in refused.stderr
