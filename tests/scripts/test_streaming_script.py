"""Streams trajectories in one small room through the real script."""

import json

import pytest


def test_sources_are_scored_on_the_same_trajectory(script, room, tmp_path):
    file = tmp_path / "figures.json"
    done = script(
        "evaluate_streaming.py",
        *("--env", "IndoorStatic-v0", "--scene", room, "--motion", "smooth", "--trajectories", "1"),
        *("--frames", "8", "--depths", "oracle", "async", "foundation", "--refreshes", "free", "every-4"),
        *("--workers", "1", "--json-file", str(file)),
    )
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    sources = json.loads(file.read_text())["sources"]
    assert list(sources) == ["oracle", "async", "async, every-4", "foundation"]
    assert sources["oracle"]["streaming_abs_rel"] == 0 < sources["async"]["streaming_abs_rel"]
    assert sources["async"]["slow_runs"] > sources["async, every-4"]["slow_runs"] > 0
    assert all(source["frames"] == 8 for source in sources.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--depths", "lidar"), "unknown depth source 'lidar'"),
        (("--device", "abacus"), "unknown device 'abacus'"),
        (("--refreshes", "sometimes"), "unknown refresh policy 'sometimes'"),
        (("--motion", "still"), "unknown motion 'still'"),
        (("--trajectories", "0"), "trajectories is 0"),
        (("--seed", "-1"), "seed is -1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(script, options, message):
    done = script("evaluate_streaming.py", *options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
