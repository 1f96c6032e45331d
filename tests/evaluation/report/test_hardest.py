import dataclasses

import pyarrow as pa
import pytest

from asyncmde_sim.evaluation.report.hardest import hardest_episodes

STEPS = 24


def with_success(results, arrives):
    """The results with another ``success``, a function of cell and row."""
    rows = results.episodes.to_pylist()
    for row in rows:
        row["success"] = arrives(results.cells[row["cell"]], row)
    return dataclasses.replace(results, episodes=pa.Table.from_pylist(rows, results.episodes.schema))


def test_the_episode_that_fails_in_most_cells_comes_first_for_each_environment(results):
    def arrives(cell, row):
        if cell.environment == "IndoorStatic-v0" and row["seed"] == 5:
            return cell.depth == "oracle"
        return not (row["seed"] == 3 and cell.depth == "async")

    first, second, *_ = hardest_episodes(with_success(results, arrives), 4, 10**6)
    assert (first.environment, first.seed, first.failed, first.ran) == ("IndoorStatic-v0", 5, 4, 5)
    assert first.truth_arrived is True and not first.row["success"] and first.cell.device is not None
    assert (second.environment, second.seed, second.failed, second.ran) == ("ExtremeMotion-v0", 3, 2, 5)
    assert second.cell.depth == "async"


def test_where_none_fails_the_least_clearance_is_shown(results):
    good = with_success(results, lambda cell, row: True)
    (episode,) = hardest_episodes(good, 1, 10**6)
    assert episode.failed == 0
    shown = [c for c in good.product if c.environment == episode.environment]
    clearances = [row["min_clearance"] for cell in shown for row in good.episodes_of(cell).to_pylist()]
    of_seed = [
        row["min_clearance"]
        for cell in shown
        for row in good.episodes_of(cell).to_pylist()
        if row["seed"] == episode.seed
    ]
    assert min(of_seed) == min(clearances)


@pytest.mark.parametrize(
    ("most", "most_steps", "count"), [(0, 10**6, 0), (3, 10**6, 3), (9, 2 * STEPS, 2), (9, 5, 0)]
)
def test_work_is_bounded(results, most, most_steps, count):
    found = hardest_episodes(results, most, most_steps)
    assert len(found) == count and sum(e.row["steps"] for e in found) <= most_steps
    assert len({(e.environment, e.seed) for e in found}) == count


def test_controls_do_not_count(results):
    blind = {
        key: dataclasses.replace(cell, config=dataclasses.replace(cell.config, depth="blind"))
        if cell.depth == "async"
        else cell
        for key, cell in results.cells.items()
    }
    episodes = hardest_episodes(dataclasses.replace(results, cells=blind), 4, 10**6)
    assert episodes and all(e.ran == 3 and e.cell.depth != "async" for e in episodes)
