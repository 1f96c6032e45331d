"""Latency profiles: the built-in ones against the paper, users' files, and bad ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asyncmde_sim.runtime import LatencyDistribution, LatencyProfile, builtin_profiles, load_profile

GOOD = {
    "name": "mine",
    "source": "measured",
    "fast_ms": [4.0, 5.5],
    "fast_contended_ms": 8,
    "slow_ms": 17.25,
    "slow_contended_ms": 20,
}


def write(tmp_path, content):
    path = tmp_path / "device.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "fast_ms", "contended_ms", "slow_ms"),
    [
        ("ideal", 0, 0, 0),
        ("rtx4090", 4.2, 4.2, 16.6),
        ("orin-trt", 6.2, 6.2, 81.0),
        ("orin-torch", 36.0, 36.0, 244.0),
        ("orin-torch-contended", 36.0, 74.1, 244.0),
    ],
)
def test_built_in_profiles_hold_the_published_figures(name, fast_ms, contended_ms, slow_ms):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.fast.samples_ns == (round(fast_ms * 1e6),)
    assert profile.fast_contended.samples_ns == (round(contended_ms * 1e6),)
    assert profile.slow.samples_ns == profile.slow_contended.samples_ns == (round(slow_ms * 1e6),)
    assert name == "ideal" or "arXiv 2603.10438" in profile.source


def test_the_built_in_profiles_are_these():
    assert set(builtin_profiles()) == {"ideal", "rtx4090", "orin-trt", "orin-torch", "orin-torch-contended"}


def test_a_file_in_milliseconds_is_read_in_nanoseconds(tmp_path):
    profile = load_profile(write(tmp_path, GOOD))
    assert profile == LatencyProfile(
        "mine",
        "measured",
        LatencyDistribution((4_000_000, 5_500_000)),
        LatencyDistribution((8_000_000,)),
        LatencyDistribution((17_250_000,)),
        LatencyDistribution((20_000_000,)),
    )


def test_draws_are_samples_in_equal_shares():
    rng = np.random.default_rng(0)
    drawn = [LatencyDistribution((1, 2, 2, 7)).draw(rng) for _ in range(4000)]
    shares = [drawn.count(value) / len(drawn) for value in (1, 2, 7)]
    assert np.allclose(shares, [0.25, 0.5, 0.25], atol=0.03)


def test_a_constant_consumes_no_randomness():
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    assert LatencyDistribution((5,)).draw(first) == 5
    assert first.random() == second.random()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fast_ms": None}, r"device.json: 'fast_ms' is None, but it must be a number of milliseconds"),
        ({"fast_ms": -1}, r"device.json: 'fast_ms' is -1, but a duration is finite and 0 ms or more"),
        ({"slow_ms": [3, -2.5]}, r"'slow_ms' is -2.5"),
        ({"slow_ms": float("nan")}, r"'slow_ms' is nan"),
        ({"slow_ms": float("inf")}, r"'slow_ms' is inf"),
        ({"slow_contended_ms": []}, r"'slow_contended_ms' is \[\], but it needs at least one duration"),
        ({"fast_ms": "4.2"}, r"'fast_ms' is '4.2'"),
        ({"fast_ms": True}, r"'fast_ms' is True"),
        ({"source": " "}, r"'source' is ' ', but it must be a text"),
        ({"name": 3}, r"'name' is 3, but it must be a text"),
        ({"fastms": 3}, r"unknown key 'fastms': use name, source, fast_ms"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(change, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        load_profile(write(tmp_path, {**GOOD, **change}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", list(GOOD))
def test_a_missing_key_is_named(key, tmp_path):
    with pytest.raises(ValueError, match=rf"device.json has no key '{key}': add it"):
        load_profile(write(tmp_path, {k: v for k, v in GOOD.items() if k != key}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "holds a list, but it must hold an object"),
        ("", "is not valid JSON"),
    ],
)
def test_what_is_not_a_profile_is_refused(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load_profile(write(tmp_path, content))


def test_binary_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "device.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        load_profile(path)
    with pytest.raises(ValueError, match=r"unknown device .*built in are ideal"):
        load_profile(tmp_path / "none.json")


@pytest.mark.parametrize("samples", [(), (-1,), (1.5,), (True,)])
def test_a_distribution_checks_itself(samples):
    with pytest.raises(ValueError, match=r"latency (has no samples|sample)"):
        LatencyDistribution(samples)


def test_a_profile_needs_a_source():
    constant = LatencyDistribution((1,))
    with pytest.raises(ValueError, match="source is ''"):
        LatencyProfile("mine", "", constant, constant, constant, constant)
