"""The habitat backend on the command line: what is refused without it, and the comparison with it."""

from __future__ import annotations

import os
import re

import pytest

from asyncmde_sim.scenes.habitat.client import PYTHON_VARIABLE

REAL = os.environ.get(PYTHON_VARIABLE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rollout.py", "--backend", "habitat", "--depth", "oracle"), "cannot import habitat_sim"),
        (("record.py", "--backend", "habitat", "--seconds", "1"), "cannot import habitat_sim"),
        (("compare_backends.py",), f"name an interpreter that has it with {PYTHON_VARIABLE}"),
        (("compare_backends.py", "--backend", "raycast"), "raycast is compared with habitat"),
        (("compare_backends.py", "--views", "0"), "views is 0, but it must be 1 or more"),
        (("rollout.py", "--backend", "magic"), "unknown backend 'magic': choose one of raycast, habitat"),
        (("evaluate_depth.py", "--backend", "magic"), "unknown backend 'magic'"),
        (("bench.py", "render", "--backends", "magic"), "unknown backend 'magic'"),
        (("bench.py", "render", "--backends", "raycast", "--processes", "0"), "all must be positive"),
        (
            ("bench.py", "render", "--backends", "raycast", "--sizes", "9"),
            "a size is '9', but width and height",
        ),
    ],
)
def test_refusals(script, arguments, message, monkeypatch, tmp_path):
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    done = script(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_bench_render_counts_processes(script, room):
    sizes, many = ("--sizes", "64x48", "--seconds", "0.2"), ("--processes", "1", "2")
    done = script("bench.py", "render", "--backends", "raycast", "--scene", room, *sizes, *many)
    assert done.returncode == 0, done.stderr
    rates = [int(rate) for rate in re.findall(r" (\d+)/s", done.stdout)]
    assert len(rates) == 2 and min(rates) > 0


@pytest.mark.skipif(not REAL, reason=f"{PYTHON_VARIABLE} names no Habitat-Sim")
def test_the_comparison_matches_and_its_control_does_not(script, tmp_path):
    plot = tmp_path / "parity.png"
    few = ("--scenes", "flat-val-0000", "--views", "4", "--places", "10")
    done = script("compare_backends.py", *few, "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if "%" in line}
    assert " yes " in rows["flat-val-0000"] and " no " in rows["1"]
    assert plot.stat().st_size > 10_000


@pytest.mark.skipif(not REAL, reason=f"{PYTHON_VARIABLE} names no Habitat-Sim")
def test_a_rollout_on_habitat(script, tmp_path):
    out = tmp_path / "out"
    options = (
        "--env",
        "IndoorStatic-v0",
        "--depth",
        "oracle",
        "--device",
        "ideal",
        "--image-size",
        "64",
        "48",
    )
    done = script("rollout.py", *options, "--backend", "habitat", "--no-video", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (out / "summary.json").exists()
