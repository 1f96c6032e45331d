"""What both files of a report say, and that the page needs nothing else."""

import dataclasses
import json
import re
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from asyncmde_sim.evaluation.report import check_report, write_report
from asyncmde_sim.evaluation.report.charts import chart_data
from asyncmde_sim.evaluation.report.gather import gather, measured_powers
from asyncmde_sim.evaluation.report.markdown import markdown
from asyncmde_sim.evaluation.report.page import page
from asyncmde_sim.evaluation.report.tables import difference_text, headline_table, loss_table, speed_text
from asyncmde_sim.evaluation.report.words import about
from asyncmde_sim.metrics.statistics import PairedDifference


@pytest.fixture(scope="module")
def html(found):
    return page(found, "/* plotly */")


def test_charts_show_what_the_findings_say(found):
    data = chart_data(found)
    json.dumps(data, allow_nan=False)
    for shown, row in zip(data["rows"], found.headline, strict=True):
        rate = row.success
        assert shown["cell"] == row.cell.key
        assert shown["success"] == pytest.approx([rate.value, rate.low, rate.high, rate.episodes], abs=1e-5)
        assert (shown["slow_runs_per_s"] is None) == (row.cell.device is None)
    for shown, row in zip(data["losses"], found.losses, strict=True):
        parts = [shown[part][0] for part, *_ in data["parts"]]
        assert sum(parts) == pytest.approx(shown["lost"][0], abs=1e-4)
        assert shown["lost"][0] == pytest.approx(row.oracle.value - row.success.value, abs=1e-5)
    assert [s["speed"][0] for s in data["speeds"]] == [r.speed_mps for r in found.speeds]
    lines = [line for row in data["rows"] for line in (row["ages"] or {}).values()]
    assert sum(len(line["age"]) for line in lines) == len(found.ages)
    assert all(line["age"] == sorted(line["age"]) for line in lines)


def test_facets_are_what_cells_differ_in(found):
    data = chart_data(found)
    assert [facet for facet, _ in data["facets"]] == ["depth", "device", "environment"]
    assert data["values"]["device"] == ["ideal", "orin-torch", "no device"]
    for cell in data["cells"].values():
        assert all(cell[facet] in data["values"][facet] for facet, _ in data["facets"])


def test_a_page_does_not_grow_with_its_steps(results, found, html):
    """Ten times the steps of one bin give the same points."""
    data = json.dumps(chart_data(found))
    assert len(data) < 400 * len(found.ages) + 2000 * len(results.cells)
    assert str(results.steps.count_rows()) not in html


def test_the_page_needs_nothing_else(html):
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[\w/]+[./:]""", html)
    assert "@import" not in html and "fetch(" not in html
    assert re.search(r"""src="https://cdn""", html) is None


def test_text_from_outside_is_escaped(html, found):
    assert "two &lt;regimes&gt; &amp; more" in html and "<regimes>" not in html.split("<script>")[0]
    assert "&lt;/script&gt;&lt;b&gt;broken" in html and "<b>broken" not in html
    assert html.count("</script>") == 2


def test_both_files_have_the_same_tables(html, found):
    text = markdown(found)
    for table in (headline_table(found), loss_table(found)):
        for row in table.rows:
            assert "| " + " | ".join(row.texts) + " |" in text
            assert all(cell in html for cell in row.texts[1:])
    assert all(len(row.texts) == len(table.columns) for row in table.rows)


def test_failed_and_unfinished_cells_are_told(html, found, results):
    text = markdown(found)
    assert r"RuntimeError: </script><b>broken</b> | pipe" in text
    assert (
        f"1 of {len(results.cells)} cells failed" in html
        and f"1 of {len(results.cells)} cells failed" in text
    )
    less = dataclasses.replace(results, wanted=dict.fromkeys(results.wanted, 99))
    told = page(gather(less, 0, False), "")
    assert (
        f"{len(results.cells) - 1} of {len(results.cells)} cells have not all of their episodes yet" in told
    )


def test_a_suite_without_an_episode_has_a_report(results):
    none = ds.dataset(results.steps.schema.empty_table())
    empty = dataclasses.replace(results, episodes=results.episodes.slice(0, 0), steps=none)
    found = gather(empty, 3, True)
    assert not found.headline and not found.scenes
    assert "chart-device" not in page(found, "").split("<script>")[0]
    assert "## Setup" in markdown(found)


def test_columns_of_nothing_are_left_out(found):
    columns = headline_table(found).columns
    assert columns[1:4] == ("success", "against true depth", "collided") and columns[-1] == "slow runs"
    assert "SPL" in columns and "coverage" not in columns
    explored = found.results.episodes
    index = explored.column_names.index("coverage")
    covered = explored.set_column(index, explored.field(index), [[0.5] * explored.num_rows])
    results = dataclasses.replace(found.results, episodes=covered)
    table = headline_table(dataclasses.replace(found, results=results))
    assert {row.texts[table.columns.index("coverage")] for row in table.rows} == {"0.50"}


def test_power_is_that_of_the_trace(results, found, tmp_path):
    trace, silent = tmp_path / "trace.parquet", tmp_path / "silent.parquet"
    pq.write_table(pa.table({"power_w": [10.0, None, 20.0]}), trace)
    pq.write_table(pa.table({"power_w": pa.nulls(3, pa.float64())}), silent)
    oracle, first, second, third, *_ = results.product

    def measured(cell, path):
        return dataclasses.replace(cell, config=dataclasses.replace(cell.config, device=str(path)))

    cells = [measured(oracle, trace), measured(first, trace), measured(second, silent), third]
    powers = measured_powers(cells)
    assert powers == {first.key: 15.0}
    data = chart_data(dataclasses.replace(found, powers=powers))
    assert {row["cell"]: row["power_w"] for row in data["rows"] if row["power_w"] is not None} == powers
    assert 'id="chart-power"' in page(dataclasses.replace(found, powers=powers), "")


def test_how_much_was_run_is_counted(results):
    one = dataclasses.replace(results, suite=dataclasses.replace(results.suite, devices=("ideal",)))
    episodes, cells = results.episodes.num_rows, len(results.cells)
    ran = f"{episodes} episodes in {cells} cells, on 8 seeds: 2 environments, 3 depth sources"
    assert about(results) == f"{ran}, 2 devices." and about(one) == f"{ran}, 1 device."


def test_numbers_are_written_plainly():
    assert difference_text(PairedDifference(-0.001, -0.104, 0.0, 9)) == "0.00 (−0.10 to 0.00)"
    assert difference_text(PairedDifference(0.25, 0.1, 0.4, 9)) == "+0.25 (+0.10 to +0.40)"
    assert speed_text(0, 1.5) == "below 1.50"
    assert (speed_text(3, 3.5), speed_text(3, None)) == ("3.00", "3.00 or more")


def test_a_missing_plotly_is_one_sentence_that_names_the_extra(monkeypatch, results, tmp_path):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ValueError, match=r"asyncmde-sim\[report\]"):
        check_report()
    with pytest.raises(ValueError, match=r"asyncmde-sim\[report\]"):
        write_report(results, tmp_path)
    assert list(tmp_path.iterdir()) == []
