import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest

from asyncmde_sim.evaluation.suite import load_results
from asyncmde_sim.evaluation.suite.plan import fixed_cells
from asyncmde_sim.evaluation.suite.store import Store, check_store, lock
from asyncmde_sim.evaluation.suite.work import Job

from .conftest import STEPS, made_up


@pytest.fixture
def suite(make_suite):
    return make_suite(devices=["orin-trt"], depth=["oracle", "async"], seeds=3)


@pytest.fixture
def jobs(suite):
    return [Job(cell, i, seed) for cell in fixed_cells(suite) for i, seed in enumerate(suite.seeds)]


def add(store: Store, jobs: list[Job]) -> None:
    for job in jobs:
        store.add(job.cell.key, *made_up(job, job.seed % 2 == 0))


def opened(folder: Path, suite) -> Store:
    store = Store(folder, suite)
    store.plan(fixed_cells(suite))
    return store


def tables(folder: Path):
    results = load_results(folder)
    steps = results.steps.to_table().sort_by(
        [("cell", "ascending"), ("episode", "ascending"), ("step", "ascending")]
    )
    return results.episodes, steps


def test_results_can_be_read_at_any_moment_and_folding_changes_nothing(suite, jobs, tmp_path):
    store = opened(tmp_path, suite)
    for count, job in enumerate(reversed(jobs), 1):
        add(store, [job])
        episodes, steps = tables(tmp_path)
        assert (episodes.num_rows, steps.num_rows) == (count, STEPS * count)
    store.fold()
    assert not any((tmp_path / "parts").iterdir())
    folded = tables(tmp_path)
    assert folded[0].equals(episodes) and folded[1].equals(steps)
    keys = [job.cell.key for job in jobs]
    assert folded[0]["cell"].to_pylist() == keys, "in the order of the suite, not of the runs"
    assert folded[0]["seed"].to_pylist() == [job.seed for job in jobs]


def test_folding_in_two_goes_gives_the_same_files_as_in_one(suite, jobs, tmp_path):
    for name, splits in (("one", [jobs]), ("two", [jobs[4:], jobs[:4]])):
        for part in splits:
            store = opened(tmp_path / name, suite)
            add(store, part)
            store.fold()
    for name in ("episodes.parquet", "steps.parquet", "suite.yaml", "cells.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("killed_before", ["steps.parquet", "episodes.parquet", "the parts are gone"])
def test_a_kill_while_folding_loses_and_doubles_nothing(killed_before, suite, jobs, tmp_path, monkeypatch):
    store = opened(tmp_path, suite)
    add(store, jobs[:2])
    store.fold()
    add(store, jobs[2:])
    expected = tables(tmp_path)

    replace, unlink = Path.replace, Path.unlink

    def kill(self, *arguments, **options):
        target = arguments[0].name if arguments else "the parts are gone"
        gone = target == killed_before and (arguments or self.parent.name == "parts")
        if gone:
            raise KeyboardInterrupt
        return (replace if arguments else unlink)(self, *arguments, **options)

    monkeypatch.setattr(Path, "replace", kill)
    monkeypatch.setattr(Path, "unlink", kill)
    with pytest.raises(KeyboardInterrupt):
        store.fold()
    monkeypatch.undo()
    for _ in range(2):
        found = tables(tmp_path)
        assert found[0].equals(expected[0]) and found[1].equals(expected[1])
        opened(tmp_path, suite).fold()
    assert not any((tmp_path / "parts").iterdir())


def test_an_episode_is_there_only_with_its_row(suite, jobs, tmp_path, monkeypatch):
    store = opened(tmp_path, suite)
    add(store, jobs[:1])
    real = Path.replace

    def full(self, target):
        if target.name == f"{jobs[1].cell.key}-{jobs[1].seed}.parquet":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        add(store, [jobs[1]])
    monkeypatch.undo()
    episodes, steps = tables(tmp_path)
    assert (episodes.num_rows, steps.num_rows) == (1, STEPS)
    store = opened(tmp_path, suite)
    assert store.episodes == 1
    add(store, [jobs[1]])
    store.fold()
    assert [t.num_rows for t in tables(tmp_path)] == [2, 2 * STEPS]


def test_what_failed_is_kept_with_its_traceback_and_can_be_forgotten(suite, jobs, tmp_path):
    store = opened(tmp_path, suite)
    add(store, jobs[:1])
    store.fail(jobs[0].cell.key, "Traceback: boom")
    results = load_results(tmp_path)
    assert results.failures == {jobs[0].cell.key: "Traceback: boom"}
    assert results.status(jobs[0].cell.key) == "failed" and results.episodes.num_rows == 1
    assert results.status(jobs[-1].cell.key) == "running"
    Store(tmp_path, suite).forget_failures()
    assert not load_results(tmp_path).failures


def test_a_cell_is_done_when_all_its_episodes_are_there(suite, jobs, tmp_path):
    store = opened(tmp_path, suite)
    add(store, [job for job in jobs if job.cell == jobs[0].cell])
    results = load_results(tmp_path)
    assert [results.status(key) for key in results.cells] == ["done", "running"]
    assert list(results.cells.values()) == list(fixed_cells(suite))
    assert results.suite == suite and results.machines[0]["cores"] >= 1


def test_a_folder_that_was_just_begun_is_gone_on_with_and_has_one_writer(suite, jobs, tmp_path):
    opened(tmp_path, suite)
    (tmp_path / "cells.json").rename(tmp_path / ".cells-abcd1234.json")
    add(opened(tmp_path, suite), jobs[:1])
    assert not (tmp_path / ".cells-abcd1234.json").exists() and load_results(tmp_path).episodes.num_rows == 1
    with lock(tmp_path), pytest.raises(ValueError, match="another process writes into"):
        lock(tmp_path)
    lock(tmp_path).close()


def test_other_content_suite_version_and_format_are_refused_and_nothing_is_touched(
    suite, make_suite, jobs, tmp_path, monkeypatch
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match="thesis holds no results of a suite"):
        Store(tmp_path / "thesis", suite)
    with pytest.raises(ValueError, match="is a file"):
        Store(tmp_path / "thesis" / "thesis.txt", suite)

    store = opened(tmp_path / "run", suite)
    add(store, jobs[:1])
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"results of another suite \(other seeds\)"):
        Store(tmp_path / "run", dataclasses.replace(suite, seeds=make_suite(seeds=4).seeds))
    monkeypatch.setattr("asyncmde_sim.evaluation.suite.store.code_version", lambda: "9.9")
    with pytest.raises(ValueError, match=r"results of the code .*, but this is 9\.9: use another"):
        check_store(tmp_path / "run", suite)
    monkeypatch.undo()
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    described = json.loads((tmp_path / "run" / "cells.json").read_text())
    (tmp_path / "run" / "cells.json").write_text(json.dumps({**described, "format": "asyncmde-sim suite 0"}))
    with pytest.raises(ValueError, match="in the format 'asyncmde-sim suite 0', but this version reads"):
        load_results(tmp_path / "run")
