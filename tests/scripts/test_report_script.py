"""A suite of two cells in one small room: its report with episodes that are run again, and an export."""

import numpy as np
import pytest

from asyncmde_sim.evaluation.rollout import Results, prepare, run
from asyncmde_sim.evaluation.suite import load_results
from asyncmde_sim.evaluation.suite.cells import product
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.suite import parse_suite


@pytest.fixture(scope="module")
def suite_folder(room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    suite = parse_suite(
        {
            "name": "a small room",
            "environments": [
                {"env": "IndoorStatic-v0", "scene": room, "image_size": [64, 48], "max_speed": 2}
            ],
            "depth": ["oracle", {"source": "oracle", "latency_ms": 400}],
            "seeds": 2,
        }
    )
    store, cells = Store(folder, suite), product(suite)
    store.plan(dict.fromkeys(cells, 2))
    for cell in cells:
        for seed in suite.seeds:
            results = Results()
            run(prepare(cell.config, seed), 1, seed, results)
            store.add(cell.key, {**results.episode_rows[0], "episode": seed}, _numbered(results.steps, seed))
    return folder


def _numbered(steps, episode):
    index = steps.column_names.index("episode")
    return steps.set_column(index, steps.field("episode"), [np.full(steps.num_rows, episode)])


def test_the_report_has_a_video_and_the_moment_of_an_episode(script, suite_folder, tmp_path):
    pytest.importorskip("plotly")
    done = script("report.py", str(suite_folder), "--hardest", "1", "--out", str(tmp_path))
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.md"}
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count('src="data:video/mp4;base64,') == 1 and "could not be run again" not in html
    assert "it went otherwise" not in html
    assert html.count("data:image/jpeg;base64,") == 2 and html.count("<figcaption>true depth<") == 2
    assert "a small room" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_no_rerun_names_the_episodes_and_runs_none(script, suite_folder, tmp_path):
    pytest.importorskip("plotly")
    done = script("report.py", str(suite_folder), "--no-rerun", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<video" not in html and "Hardest episodes" in html


def test_an_episode_of_a_cell_is_exported(script, suite_folder, tmp_path):
    cell = load_results(suite_folder).product[1]
    options = ("--formats", "trajectory", "--seed", "1", "--out", str(tmp_path))
    done = script("export_run.py", str(suite_folder), "--cell", cell.key[:8], *options)
    assert done.returncode == 0, done.stderr
    steps = load_results(suite_folder).episodes_of(cell).to_pylist()[1]["steps"]
    assert len(np.loadtxt(next(tmp_path.glob("*/trajectory.txt")))) == steps
    done = script("export_run.py", str(suite_folder), *options)
    assert done.returncode == 2 and cell.key[:6] in done.stderr and cell.name in done.stderr


def test_a_folder_without_results_is_refused_in_one_sentence(script, tmp_path):
    done = script("report.py", str(tmp_path))
    assert done.returncode == 2 and "holds no results of a suite" in done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []
