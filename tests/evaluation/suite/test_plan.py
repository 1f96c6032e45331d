import math
from dataclasses import replace

import pytest
from rich.console import Console

from asyncmde_sim.evaluation.suite import load_results, safe_speed
from asyncmde_sim.evaluation.suite.merge import merge, read_parts
from asyncmde_sim.evaluation.suite.plan import Plan, fixed_cells
from asyncmde_sim.evaluation.suite.progress import SuiteProgress
from asyncmde_sim.evaluation.suite.run import run_suite
from asyncmde_sim.evaluation.suite.speed import next_share, shares
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.suite import SafeSpeed

from .conftest import FakeRunner


def arrived(cell, seed):
    return (seed + len(cell.depth)) % 3 > 0


def run(folder, suite, runner, shard=(0, 1), should_stop=lambda: False):
    store = Store(folder, suite)
    plan = Plan(suite, fixed_cells(suite), load_results(folder), shard)
    progress = SuiteProgress(Console(quiet=True), store.episodes, 1)
    run_suite(store, plan, runner, progress, should_stop)
    store.fold()
    return load_results(folder)


def pairs(jobs):
    return [(job.cell.key, job.seed) for job in jobs]


def test_every_episode_is_run_once_and_those_of_a_scene_together(make_suite, tmp_path):
    suite = make_suite(loss_split=True)
    runner = FakeRunner(arrived)
    results = run(tmp_path, suite, runner)
    wanted = {(cell.key, seed) for cell in fixed_cells(suite) for seed in suite.seeds}
    assert sorted(pairs(runner.ran)) == sorted(wanted)
    assert {results.status(key) for key in results.cells} == {"done"}
    changes = sum(a.scene != b.scene for a, b in zip(runner.ran, runner.ran[1:], strict=False))
    assert changes == suite.seeds.count - 1


def test_an_interrupted_suite_goes_on_and_does_nothing_twice(make_suite, tmp_path):
    suite = make_suite(safe_speed={"resolution": 0.5})
    whole = FakeRunner(arrived)
    expected = run(tmp_path / "whole", suite, whole)
    ran = []
    for stop_after in (1, 9, math.inf):
        runner = FakeRunner(arrived, width=3)
        run(tmp_path / "parts", suite, runner, should_stop=lambda n=stop_after, r=runner: len(r.ran) > n)
        ran += runner.ran
    assert sorted(pairs(ran)) == sorted(pairs(whole.ran))
    found = load_results(tmp_path / "parts")
    assert found.episodes.equals(expected.episodes) and list(found.cells) == list(expected.cells)
    idle = FakeRunner(arrived)
    run(tmp_path / "parts", suite, idle)
    assert not idle.ran


def test_a_cell_that_raises_fails_alone(make_suite, tmp_path):
    def raising(cell, seed):
        if cell.depth == "foundation" and cell.device == "orin-trt" and seed == 2:
            raise RuntimeError("boom")
        return True

    suite, runner = make_suite(), FakeRunner(raising)
    results = run(tmp_path, suite, runner)
    (failed,) = results.failures
    assert results.cells[failed].depth == "foundation" and "boom" in results.failures[failed]
    assert results.episodes_of(results.cells[failed]).num_rows == 2, "those before it"
    others = set(results.cells) - {failed}
    assert {results.status(key) for key in others} == {"done"}
    idle = FakeRunner(raising)
    run(tmp_path, suite, idle)
    assert not idle.ran, "it is not tried again by itself"
    Store(tmp_path, suite).forget_failures()
    again = FakeRunner(arrived)
    assert not run(tmp_path, suite, again).failures
    assert {job.cell.key for job in again.ran} == {failed} and len(again.ran) == suite.seeds.count - 2


def test_shards_are_parts_of_the_whole_and_merged_they_are_the_whole(make_suite, tmp_path):
    suite = make_suite(devices=["orin-trt"], depth=["async"], safe_speed={"resolution": 0.5})
    whole = run(tmp_path / "whole", suite, FakeRunner(arrived))
    folders = [tmp_path / f"part{i}" for i in range(3)]
    for i, folder in enumerate(folders):
        run(folder, suite, FakeRunner(arrived), (i, 3))
    merged = Store(tmp_path / "merged", suite)
    merge(read_parts(merged.folder, suite, folders), merged)
    assert merged.episodes == suite.seeds.count * len(fixed_cells(suite))
    assert not any(cell.speed_share != 1 for cell in merged.cells.values()), "the search waits for all seeds"
    run(tmp_path / "merged", suite, FakeRunner(arrived))
    for name in ("episodes.parquet", "steps.parquet"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list(load_results(tmp_path / "merged").cells) == list(whole.cells)


def test_what_does_not_belong_together_is_not_merged(make_suite, tmp_path, monkeypatch):
    suite = make_suite(devices=["orin-trt"], depth=["oracle", "async"], seeds=2)
    run(tmp_path / "a", suite, FakeRunner(arrived))
    run(tmp_path / "b", suite, FakeRunner(lambda cell, seed: not arrived(cell, seed)))
    run(tmp_path / "c", replace(suite, seeds=make_suite(seeds=3).seeds), FakeRunner(arrived))

    def refused(*parts, match):
        with pytest.raises(ValueError, match=match):
            read_parts(tmp_path / "out", suite, [tmp_path / part for part in parts])

    refused("a", "b", match="seed 0 ended otherwise in the two")
    refused("a", "c", match="c holds results of another suite")
    refused("a", "nowhere", match="there is no such folder")
    cells = tmp_path / "b" / "cells.json"
    cells.write_text(
        cells.read_text().replace(list(load_results(tmp_path / "b").cells)[1], "0123456789abcdef")
    )
    refused("a", "b", match=r"IndoorStatic-v0, async, orin-trt.*ran with other weights or files")
    cells.write_text(cells.read_text().replace('"code_version": "', '"code_version": "9'))
    refused("a", "b", match="b holds results of the code 9")
    store = Store(tmp_path / "out", suite)
    merge(read_parts(store.folder, suite, [tmp_path / "a", tmp_path / "a"]), store)
    assert load_results(tmp_path / "out").episodes.equals(load_results(tmp_path / "a").episodes)


SEARCH = SafeSpeed(lowest=0.25, highest=1.25, resolution=0.125)


@pytest.mark.parametrize("edge", [0.0, 0.3, 0.6, 0.99, 1.0, 1.1, 2.0])
def test_bisection_finds_the_edge_in_few_tries(edge):
    tried: dict[float, float] = {}
    while (share := next_share(SEARCH, tried)) is not None:
        assert share not in tried
        tried[share] = 1.0 if share <= edge else 0.5
    grid = shares(SEARCH)
    assert grid[0] == SEARCH.lowest and grid[-1] == SEARCH.highest and 1.0 in grid
    safe, unsafe = [s for s in grid if s <= edge], [s for s in grid if s > edge]
    assert not safe or max(safe) in tried, "the fastest safe speed was tried"
    assert not unsafe or min(unsafe) in tried, "and the slowest unsafe one"
    assert len(tried) <= 2 + math.ceil(math.log2(len(grid)))


def test_the_search_finds_each_sources_own_edge_whatever_the_order_of_the_episodes(make_suite, tmp_path):
    edges = {"oracle": 2.0, "foundation": 0.1, "async": 0.8, "async-odometry": 1.05}

    def within(cell, seed):
        return cell.speed_share <= edges[cell.depth]

    suite = make_suite(devices=["orin-trt"], safe_speed={"episodes": 2}, seeds=4)
    for width in (1, 5):
        results = run(tmp_path / str(width), suite, FakeRunner(within, width))
        found = {row.cell.depth: row for row in safe_speed(results)}
        assert {d: round(row.speed_mps / 1.2, 3) for d, row in found.items()} == {
            "oracle": 1.25,
            "foundation": 0.0,
            "async": 0.75,
            "async-odometry": 1.0,
        }
        assert found["oracle"].unsafe_mps is None
        assert found["async"].unsafe_mps == pytest.approx(0.875 * 1.2)
        assert all(row.finished and row.low_mps == row.speed_mps == row.high_mps for row in found.values())
        tried = [cell for cell in results.cells.values() if cell.speed_share != 1]
        assert {results.episodes_of(cell).num_rows for cell in tried} == {2}
    files = [tmp_path / str(width) / "episodes.parquet" for width in (1, 5)]
    assert files[0].read_bytes() == files[1].read_bytes()
