"""Runs the real command line on a tiny budget: one small room, small images, agents that are soon done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from asyncmde_sim.evaluation.suite import load_results
from asyncmde_sim.evaluation.suite.cli import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate.py"
TABLES = ("episodes.parquet", "steps.parquet")


@pytest.fixture(scope="module")
def suite(room, tmp_path_factory) -> Path:
    """A suite's file."""
    path = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    environment = {"env": "IndoorStatic-v0", "scene": room, "image_size": [48, 36]}
    values = {
        "environments": [environment],
        "depth": ["oracle", "foundation"],
        "devices": ["orin-torch"],
        "agents": ["straight"],
        "seeds": 4,
        "loss_split": True,
        "safe_speed": {"lowest": 0.5, "highest": 1.5, "resolution": 0.5, "episodes": 1},
    }
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def done(suite, tmp_path_factory) -> subprocess.CompletedProcess[str]:
    """The script after a run of two workers."""
    out = tmp_path_factory.mktemp("out") / "out"
    return subprocess.run(
        [sys.executable, SCRIPT, suite, "--workers", "2", "--out", out],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        timeout=300,
    )


@pytest.fixture(scope="module")
def finished(done) -> Path:
    """The folder of its results."""
    assert done.returncode == 0, done.stderr
    return Path(done.args[-1])


def start(suite: Path, out: Path) -> subprocess.Popen[str]:
    """The script when it has done some episodes, or some more."""

    def done() -> int:
        return len(list((out / "parts").glob("[!.]*[0-9].parquet")))

    before = done()
    process = subprocess.Popen(
        [sys.executable, SCRIPT, suite, "--workers", "1", "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while done() < before + 2:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_a_run_leaves_its_results_and_prints_tables_that_fit(done, finished):
    files = {path.name for path in finished.iterdir()}
    assert files >= {"suite.yaml", "cells.json", "machine.json", *TABLES}
    assert not any((finished / "parts").iterdir())
    results = load_results(finished)
    assert {results.status(key) for key in results.cells} == {"done"}
    assert results.episodes.num_rows == sum(results.wanted.values())
    *table, pace, last, report = done.stdout.splitlines()
    assert report == f"Report: {finished / 'report.html'}" and (finished / "report.md").is_file()
    assert pace.startswith(f"{results.episodes.num_rows} episodes in ") and pace.endswith(" on 2 workers")
    assert max(len(line) for line in table) <= 80 and "…" not in done.stdout
    for words in ("success lost against true depth", "highest safe top speed", "oracle", "foundation"):
        assert words in done.stdout
    assert last == f"Results: {finished}"


def test_the_steps_are_those_of_the_episodes_and_paired_by_seed(finished):
    episodes, steps = (pq.read_table(finished / name).to_pylist() for name in TABLES)
    counts = {(row["cell"], row["episode"]): 0 for row in episodes}
    for row in steps:
        counts[row["cell"], row["episode"]] += 1
    assert counts == {(row["cell"], row["episode"]): row["steps"] for row in episodes}
    ways = {}
    for row in episodes:
        ways.setdefault(row["seed"], set()).add((row["scene"], row["shortest_path"]))
    assert all(len(same) == 1 for same in ways.values())


def test_a_finished_suite_does_nothing_more(suite, finished, capfd):
    names = (*TABLES, "report.html")
    before = {name: (finished / name).stat().st_mtime_ns for name in names}
    assert main([str(suite), "--out", str(finished)]) == 0
    assert before == {name: (finished / name).stat().st_mtime_ns for name in names}
    assert "episodes" not in capfd.readouterr().err


def test_killed_and_interrupted_it_goes_on_to_the_same_results(suite, finished, tmp_path):
    out = tmp_path / "out"
    process = start(suite, out)
    workers = workers_of(process)
    assert workers
    process.kill()
    process.communicate()
    kept = load_results(out).episodes.num_rows
    assert kept >= 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/stat").exists() for pid in workers):
        assert time.monotonic() < deadline, "its workers end, too"
        time.sleep(0.05)

    process = start(suite, out)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "Interrupted: " in printed[1] and "Traceback" not in printed[1]
    assert "Results: " in printed[0]
    assert load_results(out).episodes.num_rows >= kept

    assert main([str(suite), "--out", str(out), "--workers", "1"]) == 0
    for name in TABLES:
        assert (out / name).read_bytes() == (finished / name).read_bytes(), "of one worker as of two"


def test_a_full_disk_is_told_in_one_sentence_and_results_are_kept(suite, tmp_path, monkeypatch, capsys):
    import errno

    real = Path.replace

    def full(self, target):
        if Path(target).parent.name == "parts" and len(list(Path(target).parent.iterdir())) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    assert main([str(suite), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"{tmp_path / 'out'}: No space left on device: 3 episodes are kept")
    assert load_results(tmp_path / "out").episodes.num_rows == 3


def test_bad_input_is_one_sentence_and_nothing_is_written(suite, finished, tmp_path, capsys):
    values = yaml.safe_load(suite.read_text())

    def refused(hint, *options, **other):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump({**values, **other}))
        assert main([str(path), "--out", str(tmp_path / "out"), *options]) == 2
        printed = capsys.readouterr()
        assert hint in printed.err and len(printed.err.splitlines()) == 1 and not printed.out
        assert not (tmp_path / "out").exists()

    refused("unknown key 'devises' in the suite: did you mean 'devices'?", devises=["ideal"])
    refused("devices is empty", devices=[])
    refused("unknown depth source 'asink'", depth=["asink"])
    refused("unknown agent 'nobody'", agents=["nobody"])
    refused("no weights 'nowhere'", depth=[{"source": "async", "weights": "nowhere"}])
    refused("nowhere.json", devices=["nowhere.json"])
    refused("unknown refresh policy 'often'", depth=["async"], refresh=["often"])
    refused("there is no module 'nowhere'", depth=["nowhere:Model"])
    refused("workers is 0", "--workers", "0")
    refused("shard is '3/2'", "--shard", "3/2")
    refused("there is no such folder", "--merge", str(tmp_path / "nowhere"))
    refused("holds results of another suite (other seeds)", "--merge", str(finished), seeds=5)
    refused("gpus_per_run is 1000", gpus_per_run=1000)
    assert main(["nowhere.yaml"]) == 2


def test_another_version_is_refused(suite, finished, tmp_path, capsys):
    described = json.loads((finished / "cells.json").read_text())
    (tmp_path / "cells.json").write_text(json.dumps({**described, "code_version": "0.0.1+abc"}))
    assert main([str(suite), "--out", str(tmp_path)]) == 2
    assert "holds results of the code 0.0.1+abc, but this is" in capsys.readouterr().err
