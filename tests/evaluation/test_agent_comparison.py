"""What one agent loses and another does not, paired by seed, and results that are kept."""

from __future__ import annotations

import pytest

from asyncmde_sim.evaluation.agent_comparison import (
    cell_figures,
    loss_difference,
    make_cells,
    rows_of,
    run_cells,
)
from asyncmde_sim.evaluation.config import RolloutConfig

SOURCES = [("oracle", "ideal"), ("async", "orin-trt")]


def cells_of(agents):
    return make_cells(RolloutConfig(env="IndoorStatic-v0"), agents, SOURCES)


def rows(successes, first=0):
    return [
        {"seed": first + i, "success": bool(s), "collided": not s, "spl": float(s)}
        for i, s in enumerate(successes)
    ]


def test_the_difference_of_losses_is_over_shared_seeds():
    cells = cells_of({"a": "avoid", "b": "straight"})
    told = {
        cells[0].key: rows([1, 1, 1, 1]),
        cells[1].key: rows([0, 0, 1, 0]),
        cells[2].key: rows([1, 1, 1, 0, 1]),
        cells[3].key: rows([1, 1, 1, 0], first=0)[:3],
    }
    found = loss_difference(told, (cells[0], cells[1]), (cells[2], cells[3]))
    assert found is not None and found.pairs == 3
    assert found.mean == pytest.approx(2 / 3)
    swapped = loss_difference(told, (cells[2], cells[3]), (cells[0], cells[1]))
    assert swapped is not None and swapped.mean == pytest.approx(-2 / 3)
    assert loss_difference({**told, cells[3].key: []}, (cells[0], cells[1]), (cells[2], cells[3])) is None


def test_figures_of_a_cell():
    cell = cells_of({"a": "avoid"})[1]
    figures = cell_figures(cell, rows([1, 0, 1, 1]))
    assert figures["success_rate"] == 0.75 and figures["collision_rate"] == 0.25
    assert figures["source"] == "async, orin-trt"
    assert figures["success_ci"][0] < 0.75 < figures["success_ci"][1]


def test_results_are_kept_and_nothing_runs_twice(scene, tmp_path):
    base = RolloutConfig(env="IndoorStatic-v0", scene=scene, image_size=(48, 36), seed=3)
    cells = make_cells(base, {"blind": "straight"}, [("blind", "ideal"), ("oracle", "ideal")])
    *_, last = run_cells(cells, 2, tmp_path, 1)
    seeds = {key: [row["seed"] for row in told] for key, told in last.items()}
    assert seeds == {cell.key: [3, 4] for cell in cells}
    assert last == rows_of(cells, tmp_path, 2)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert list(run_cells(cells, 2, tmp_path, 1))[-1] == last
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == written
    other = make_cells(base, {"blind": "avoid"}, [("blind", "ideal")])
    with pytest.raises(ValueError, match="holds a comparison with other options"):
        list(run_cells(other, 2, tmp_path, 1))
