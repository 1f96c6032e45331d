"""study_maps.py on a tiny budget: it goes on where it was, and refuses what does not belong together."""

from __future__ import annotations

import json

import numpy as np
import pytest

from asyncmde_sim.evaluation.map_study import StudyFile, against, groups, mean_curve, mean_over

KEY = {"seed": 0, "depth": "oracle", "device": "ideal", "weighting": "range"}


def test_a_study_goes_on_where_it_was(script, tmp_path):
    common = (
        "study_maps.py", "--parts", "maps", "--depths", "oracle", "--devices", "ideal", "--voxel", "0.08",
        "--seconds", "0.5", "--out", str(tmp_path),
    )  # fmt: skip
    done = script(*common, "--scenes", "1")
    assert done.returncode == 0, done.stderr
    first = json.loads((tmp_path / "maps.json").read_text())["rows"]
    assert len(first) == 1 and (tmp_path / "study.png").stat().st_size > 1000
    done = script(*common, "--scenes", "1", "--weightings", "range", "uniform")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "maps.json").read_text())["rows"]
    assert rows[0] == first[0] and [row["weighting"] for row in rows] == ["range", "uniform"]
    assert "oracle, uniform" in done.stdout
    refused = script(*common, "--voxel", "0.1")
    assert refused.returncode == 2
    assert "made with voxel 0.08, not 0.1: give another --out" in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--parts", "mops"), "unknown part 'mops'"),
        (("--scenes", "0"), "scenes is 0"),
        (("--weightings", "guess"), "unknown weighting 'guess'"),
        (("--devices", "toaster"), "toaster"),
    ],
)
def test_bad_options_are_one_sentence(script, tmp_path, arguments, message):
    done = script("study_maps.py", *arguments, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_rows_survive_and_another_file_is_refused(tmp_path):
    file = tmp_path / "rows.json"
    StudyFile(file, {"voxel": 0.04}).add({**KEY, "f_5cm": 0.5})
    again = StudyFile(file, {"voxel": 0.04})
    assert again.has(**KEY) and not again.has(**{**KEY, "seed": 1})
    file.write_text("{")
    with pytest.raises(ValueError, match="not a study's file"):
        StudyFile(file, {"voxel": 0.04})


def test_means_leave_out_what_is_missing_and_say_so():
    assert mean_over([None, None]) is None
    mean = mean_over([1.0, None, 3.0])
    assert mean.value == 2.0 and mean.missing == 1 and 1.0 <= mean.low <= mean.high <= 3.0


def test_coverage_stays_as_it_was_after_the_end():
    rows = [
        {"coverage_by_second": [0.1, 0.5], "coverage": 0.6},
        {"coverage_by_second": [0.2, 0.4, 0.8, 0.9], "coverage": 0.9},
    ]
    np.testing.assert_allclose(mean_curve(rows, 3), [0, 0.15, 0.45, 0.7])


def test_labels_name_the_weighting_only_where_there_are_several():
    assert list(groups([KEY])) == ["oracle"]
    assert list(groups([KEY, {**KEY, "weighting": "trust"}])) == ["oracle, range", "oracle, trust"]


def test_a_baseline_is_paired_by_what_else_is_the_same():
    def row(seed, depth, device, f):
        return {"seed": seed, "depth": depth, "device": device, "weighting": "range", "f_5cm": f}

    rows = [
        *(row(seed, "foundation", "orin-trt", 0.1 * seed) for seed in range(4)),
        *(row(seed, "foundation", "orin-torch", 0.0) for seed in range(4)),
        *(row(seed, "fast", "orin-trt", 0.1 * seed + 0.2) for seed in (3, 2, 1)),
        row(9, "fast", "orin-torch", 0.5),
        row(0, "fast", "orin-torch", None),
    ]
    found = against(rows, "f_5cm", depth="foundation")
    assert list(found) == ["fast, orin-trt"] and found["fast, orin-trt"].pairs == 3
    assert found["fast, orin-trt"].mean == pytest.approx(0.2)
    assert found["fast, orin-trt"].low == pytest.approx(0.2) == found["fast, orin-trt"].high
    assert against(rows, "f_5cm", weighting="range") == {}
