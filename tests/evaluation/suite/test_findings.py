import numpy as np
import pytest

from asyncmde_sim.evaluation.suite import headline, load_results, loss_split, safe_speed
from asyncmde_sim.evaluation.suite.plan import fixed_cells
from asyncmde_sim.evaluation.suite.speed import safe_speed_difference
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.tables import tables
from asyncmde_sim.evaluation.suite.work import Job
from asyncmde_sim.metrics.statistics import paired_bootstrap, wilson_interval

from .conftest import FakeRunner, made_up
from .test_plan import run

RATES = {
    ("oracle", "whole"): 0.95,
    ("async", "whole"): 0.5,
    ("async", "error only"): 0.6,
    ("async", "delay only"): 0.85,
    ("foundation", "whole"): 0.3,
}


def drawn(cell, seed):
    """Success at a rate of the cell's own; a seed that succeeds at one rate does so at every higher one."""
    return np.random.default_rng(seed).random() < RATES.get((cell.depth, cell.treatment), 0.7)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from asyncmde_sim.evaluation.suite.suite import parse_suite

    values = {"environments": ["IndoorStatic-v0"], "depth": ["async", "foundation"], "seeds": 40}
    suite = parse_suite({**values, "loss_split": True}, "made-up")
    return run(tmp_path_factory.mktemp("results"), suite, FakeRunner(drawn))


def of(rows, depth):
    return next(row for row in rows if row.cell.depth == depth)


def test_the_headline_counts_and_pairs_by_seed(results):
    rows = headline(results)
    assert [row.cell.depth for row in rows] == ["oracle", "async", "foundation"]
    row = of(rows, "async")
    successes = [drawn(row.cell, seed) for seed in range(40)]
    assert (row.success.value, row.success.episodes) == (sum(successes) / 40, 40)
    assert (row.success.low, row.success.high) == wilson_interval(sum(successes), 40)
    assert row.collided.value == pytest.approx(1 - row.success.value)
    assert row.versus_oracle.mean == pytest.approx(row.success.value - of(rows, "oracle").success.value)
    assert row.versus_oracle.low <= row.versus_oracle.mean <= row.versus_oracle.high < 0
    foundation = [drawn(of(rows, "foundation").cell, seed) for seed in range(40)]
    assert row.versus_foundation == paired_bootstrap(successes, foundation)
    assert of(rows, "oracle").versus_oracle is None and of(rows, "foundation").versus_foundation is None
    assert row.means["abs_rel"] is None and row.means["depth_age_s"] == pytest.approx(
        0.01 * np.mean(range(40))
    )
    assert row.slow_runs_per_s == pytest.approx(4 * 40 / sum(2.0 + seed for seed in range(40)))


def test_a_loss_is_its_parts_and_each_is_what_it_was_made_to_be(results):
    row = of(loss_split(results), "async")
    assert row.lost.mean == pytest.approx(row.error.mean + row.delay.mean + row.both.mean)
    draws = np.array([np.random.default_rng(seed).random() for seed in range(40)])
    share = {key: np.mean(draws < rate) for key, rate in RATES.items()}
    whole = share["oracle", "whole"]
    assert row.lost.mean == pytest.approx(whole - share["async", "whole"])
    assert row.error.mean == pytest.approx(whole - share["async", "error only"])
    assert row.delay.mean == pytest.approx(whole - share["async", "delay only"])
    assert row.error.low > 0 and row.lost.low > 0, "a large loss is told from none on 40 seeds"
    assert row.error.pairs == 40


def test_a_loss_is_split_on_the_seeds_that_all_have(make_suite, tmp_path):
    suite = make_suite(devices=["orin-trt"], depth=["oracle", "async"], loss_split=True)
    store = Store(tmp_path, suite)
    store.plan(fixed_cells(suite))
    for index, cell in enumerate(fixed_cells(suite)):
        for seed in range(index, 4):
            store.add(cell.key, *made_up(Job(cell, seed, seed), True))
    (row,) = loss_split(load_results(tmp_path))
    assert row.lost.pairs == 1 and row.lost.mean == row.error.mean == row.delay.mean == row.both.mean == 0


def test_no_episode_no_row(make_suite, tmp_path):
    suite = make_suite(loss_split=True, safe_speed={})
    Store(tmp_path, suite).plan(fixed_cells(suite))
    results = load_results(tmp_path)
    assert headline(results) == loss_split(results) == safe_speed(results) == list(tables(results)) == []


def test_a_safe_speed_is_uncertain_where_success_is_near_the_bound(make_suite, tmp_path):
    limits = {"async": 0.4, "foundation": 1.0}

    def slower_is_safer(cell, seed):
        return np.random.default_rng(seed).random() < 1.45 - cell.speed_share * limits.get(cell.depth, 0.1)

    suite = make_suite(
        devices=["orin-trt"], depth=["foundation", "async"], seeds=30, safe_speed={"success": 0.9}
    )
    found = run(tmp_path, suite, FakeRunner(slower_is_safer))
    row = of(safe_speed(found), "foundation")
    assert row.low_mps <= row.speed_mps <= row.high_mps and row.low_mps < row.high_mps
    speeds = [speed for speed, _ in row.tried]
    assert speeds == sorted(speeds) and row.speed_mps in speeds
    rates = dict(row.tried)
    assert rates[row.speed_mps].value >= 0.9 > rates[row.unsafe_mps].value
    cells = [of(safe_speed(found), depth).cell for depth in ("async", "foundation")]
    difference = safe_speed_difference(found, *cells)
    assert difference.low > 0 and difference.mean == pytest.approx(
        of(safe_speed(found), "async").speed_mps - row.speed_mps
    )
    assert safe_speed_difference(found, cells[0], cells[0]).high == 0


def test_the_tables_fit_a_terminal(results, capsys):
    from rich.console import Console

    console = Console(width=80)
    for table in tables(results):
        console.print(table)
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= 80 and "…" not in printed
    assert f"{headline(results)[0].success.value:.2f}" in printed and "by error" in printed
