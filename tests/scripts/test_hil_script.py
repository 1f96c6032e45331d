"""Runs the real device and the scripts that use it on tiny budgets."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from asyncmde_sim.evaluation.cli import main as rollout
from asyncmde_sim.runtime.engines.spec import parse_engine

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "hil.py"


def hil(*arguments, timeout=120):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a device that computes with the shipped networks."""
    token = tmp_path_factory.mktemp("hil") / "token"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "serve", "--port", "0", "--token", token],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    port = process.stdout.readline().rsplit(":", 1)[1].strip()
    yield f"hil://127.0.0.1:{port}?token={token}"
    process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()


def episode(room, out, *more):
    options = [
        "--env",
        "IndoorStatic-v0",
        "--scene",
        room,
        "--image-size",
        "48",
        "36",
        "--no-video",
        "--agent",
        "straight",
    ]
    assert rollout([*options, *more, "--out", str(out)]) == 0
    return [(out / f"{name}.parquet").read_bytes() for name in ("steps", "episodes")]


def test_without_latency_a_rollout_on_a_device_is_the_local_one_bit_for_bit(url, room, tmp_path, capsys):
    remote = episode(room, tmp_path / "remote", "--depth", url, "--device", "ideal")
    local = episode(room, tmp_path / "local", "--depth", "async", "--device", "ideal")
    assert remote == local
    frames = json.loads((tmp_path / "remote" / "remote.json").read_text())
    assert frames["frames"]["delivered"] == frames["frames_of_device"]["answered"] > 10
    assert "0 lost" in capsys.readouterr().out


def test_the_trace_of_a_rollout_gives_it_again_without_the_device(url, room, tmp_path):
    measured = episode(room, tmp_path / "measured", "--depth", url)
    trace = tmp_path / "measured" / "trace.parquet"
    steps = pq.read_table(tmp_path / "measured" / "steps.parquet")
    assert pq.read_table(trace).num_rows == steps.num_rows + 1
    assert episode(room, tmp_path / "again", "--depth", "async", "--device", str(trace)) == measured


def test_a_rollout_on_the_wall_clock_says_whether_it_kept_up(url, room, tmp_path, capsys):
    episode(room, tmp_path / "wall", "--depth", url, "--clock", "wall")
    printed = capsys.readouterr().out
    assert "steps came late" in printed and "superseded" in printed
    assert (tmp_path / "wall" / "trace.parquet").is_file()


def test_check_tries_and_measures_a_device(url, tmp_path):
    done = hil(
        *("check", url, "--frames", "10", "--heights", "48", "--widths", "64"),
        *("--soak-s", "2", "--trace", tmp_path / "t.parquet", "--json-file", tmp_path / "f.json"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok     ") == 6 and "FAILED" not in done.stdout
    assert "the sums agree" in done.stdout
    soak = json.loads((tmp_path / "f.json").read_text())["soak"]
    assert soak["sums_agree"] and soak["totals"]["lost"] == 0
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 60


def test_streaming_scores_a_device(url, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "scripts" / "evaluate_streaming.py", "--depths", "async", url),
            *("--device", "ideal", "--trajectories", "1", "--frames", "6", "--workers", "1"),
            *("--motion", "smooth", "--json-file", tmp_path / "scores.json"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    sources = json.loads((tmp_path / "scores.json").read_text())["sources"]
    assert sources[url]["abs_rel"] == sources["async"]["abs_rel"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["check", "http://127.0.0.1"], "no address"),
        (["check", "--frames", "3"], "at least 10"),
        (["check", "--soak-s", "-1"], "not negative"),
        (["check", "--heights", "168"], "each size has one of both"),
        (["check", "--trace", "a.txt"], ".parquet"),
        (["serve", "--port", "99999"], "between 0 and 65535"),
        (["serve", "--weights", "nowhere", "--token", "{tmp}/t"], "no weights"),
        (["serve", "--certificates", "{tmp}"], "hil.py certificate"),
        (["certificate", "--out", "{tmp}/lab", "--days", "0"], "between 1 and 3650"),
    ],
)
def test_bad_options_are_refused_in_one_sentence(arguments, hint, tmp_path):
    done = hil(*(a.format(tmp=tmp_path) for a in arguments))
    assert done.returncode == 2
    assert hint in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_rollout_without_a_device_is_refused_in_one_sentence(room, tmp_path, capsys):
    (tmp_path / "token").write_text("word")
    url = f"hil://127.0.0.1:9?token={tmp_path / 'token'}"
    code = rollout(
        ["--env", "IndoorStatic-v0", "--scene", room, "--depth", url, "--out", str(tmp_path / "out")]
    )
    assert code == 2 and "no depth device answers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_certificates_are_written(tmp_path):
    done = hil("certificate", "--out", tmp_path / "lab", "--names", "127.0.0.1")
    assert done.returncode == 0 and (tmp_path / "lab" / "authority.crt").is_file()


def test_the_guide_installs_what_the_extra_names():
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("device = [") :]
    needed = [line.strip(' ",\n') for line in block[: block.index("]")].split("[")[1].split(",")]
    guide = (ROOT / "docs" / "jetson.md").read_text()
    assert all(f'"{package}"' in guide for package in needed if package)
    unit = (ROOT / "docs" / "asyncmde-depth.service").read_text()
    parse_engine(unit.split("--engine ")[1].split()[0])
