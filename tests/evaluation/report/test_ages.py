import math
import statistics

import numpy as np
import pytest
from scipy.stats import t as student

from asyncmde_sim.evaluation.records import AGES, SCORES
from asyncmde_sim.evaluation.report import ages
from asyncmde_sim.evaluation.report.ages import EDGES_S, FEWEST_EPISODES, accuracy_by_age


@pytest.fixture
def keys(results):
    return [cell.key for cell in results.product[1:4]]


def test_points_are_means_over_episodes_of_means_over_steps(results, keys):
    rows = [row for row in results.steps.to_table().to_pylist() if row["cell"] in keys]
    expected = {}
    for age in AGES:
        for row in rows:
            if row["abs_rel"] is not None:
                index = int(np.searchsorted(EDGES_S, row[age], side="right"))
                of_bin = expected.setdefault((row["cell"], age, index), {})
                of_bin.setdefault(row["episode"], []).append(row)
    points = accuracy_by_age(results, keys)
    kept = [(key, rows) for key, rows in expected.items() if len(rows) >= FEWEST_EPISODES]
    assert len(points) == len(kept) > 10
    for point in points:
        index = int(np.searchsorted(EDGES_S, point.age_s, side="right"))
        episodes = expected[point.cell, point.age, index]
        assert (point.episodes, point.steps) == (len(episodes), sum(map(len, episodes.values())))
        for score in SCORES:
            means = [statistics.fmean(row[score] for row in rows) for rows in episodes.values()]
            assert point.means[score] == pytest.approx(statistics.fmean(means))
            half = student.ppf(0.975, len(means) - 1) * statistics.stdev(means) / math.sqrt(len(means))
            assert point.halves[score] == pytest.approx(half, abs=1e-9)


def test_the_size_of_the_parts_that_are_read_changes_nothing(results, keys, monkeypatch):
    whole = accuracy_by_age(results, keys)
    monkeypatch.setattr(ages, "PART_ROWS", 50)
    assert [p.age_s for p in accuracy_by_age(results, keys)] == pytest.approx([p.age_s for p in whole])


def test_a_bin_of_few_episodes_is_left_out(results, keys, monkeypatch):
    monkeypatch.setattr(ages, "FEWEST_EPISODES", results.suite.seeds.count + 1)
    assert accuracy_by_age(results, keys) == []


def test_no_steps_no_points(results):
    assert accuracy_by_age(results, ["no such cell"]) == []
