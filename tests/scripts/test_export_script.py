"""The export script: what it refuses. What it writes is tested with the engines."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "nowhere"), "no weights 'nowhere'"),
        (("--seed", "-1"), "seed is -1, but it must not be negative"),
        (("--recordings", "nowhere"), "nowhere"),
    ],
)
def test_refusals(script, tmp_path, arguments, message):
    done = script("export.py", "--precision", "fp32", "--out", str(tmp_path / "out"), *arguments)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
