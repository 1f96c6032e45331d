import json

import pytest

from asyncmde_sim.evaluation.output import check_folder, discard_folder, open_folder
from asyncmde_sim.evaluation.records import write_json
from asyncmde_sim.files import write_whole


def test_json_is_strict(tmp_path):
    path = tmp_path / "a.json"
    write_json({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (1, 2)}}, path)
    text = path.read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": [1.5, None], "c": {"d": [1, 2]}}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_foreign_folder_is_refused_and_ours_is_not(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds other files"):
        check_folder(tmp_path)
    check_folder(tmp_path, overwrite=True)
    ours = tmp_path / "deep" / "ours"
    check_folder(ours)
    assert not ours.parent.exists()
    open_folder(ours, {"format": "asyncmde-sim rollout"})
    (ours / "video.mp4").write_text("old")
    check_folder(ours)
    open_folder(ours, {"format": "asyncmde-sim rollout"})
    assert [path.name for path in ours.iterdir()] == ["config.json"]
    discard_folder(ours)
    assert not ours.exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file"):
            check_folder(path)


def test_a_folder_that_only_fails_when_it_is_made_is_named_too(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write results into .*below.*give another --out"):
        open_folder(tmp_path / "file" / "below", {})
