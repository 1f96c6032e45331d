"""The benchmarks on tiny budgets, and what they refuse."""

from __future__ import annotations

import pytest

from asyncmde_sim.runtime import load_profile

TINY = ("--heights", "42", "--widths", "56", "--vits", "small", "--seconds", "0.2", "--engines", "onnx-int8")


def test_depth_writes_a_profile_that_a_rollout_can_charge(script, tmp_path):
    path = tmp_path / "here.json"
    done = script("bench.py", "depth", *TINY, "--profile", str(path), "--name", "here")
    assert done.returncode == 0, done.stderr
    profile = load_profile(path)
    assert profile.name == "here" and "onnx-int8" in profile.source
    for latency in (profile.fast, profile.fast_contended, profile.slow, profile.slow_contended):
        assert list(latency.samples_ns) == sorted(latency.samples_ns) and latency.samples_ns[0] > 0
    for shown in ("fast path", "Depth Anything V2 small", "memory unit alone", "GFLOP/s", "fast beside"):
        assert shown in done.stdout


def test_loop_says_where_the_time_goes(script):
    done = script("bench.py", "loop", "--env", "IndoorStatic-v0", "--device", "ideal", "--steps", "3")
    assert done.returncode == 0, done.stderr
    for shown in ("render", "agent", "fast path", "slow path", "steps/s"):
        assert shown in done.stdout


def test_report_is_timed_and_not_opened_without_a_browser(script, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    done = script("bench.py", "report", "--episodes", "200", "--steps", "10")
    assert done.returncode == 0, done.stderr
    assert "219 episodes of 10 steps" in done.stdout and "apt install chromium" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("depth", "--heights", "50", "--widths", "56"), "a size has a side of 50 px, but multiples of 14"),
        (("depth", "--heights", "42", "--widths", "56", "70"), "each size has one of both"),
        (("depth", "--engines", "jax"), "unknown engine 'jax'"),
        (("depth", "--seconds", "nan"), "seconds is nan, but it must be finite and positive"),
        (("loop", "--steps", "0"), "steps is 0, but it must be 1 or more"),
        (("loop", "--env", "Foo"), "unknown environment 'Foo'"),
        (("report", "--steps", "1"), "steps 1, but at least 1 and 2 are needed"),
    ],
)
def test_refusals(script, arguments, message):
    done = script("bench.py", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
