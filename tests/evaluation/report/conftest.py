"""Results that are made up, with a cell that failed."""

import pytest

from asyncmde_sim.evaluation.bench_report import find_browser, synthetic_results
from asyncmde_sim.evaluation.report import write_report
from asyncmde_sim.evaluation.report.gather import gather
from asyncmde_sim.evaluation.suite import load_results
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.suite import parse_suite

STEPS = 24


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    suite = parse_suite(
        {
            "name": "two <regimes> & more",
            "environments": ["IndoorStatic-v0", "ExtremeMotion-v0"],
            "depth": ["oracle", "foundation", "async"],
            "devices": ["ideal", "orin-torch"],
            "seeds": 8,
            "loss_split": True,
            "safe_speed": {},
        }
    )
    synthetic_results(folder, suite, STEPS)
    store = Store(folder, suite)
    key = list(store.cells)[-1]
    store.fail(key, 'Traceback:\n  File "x.py"\nRuntimeError: </script><b>broken</b> | pipe')
    return load_results(folder)


@pytest.fixture(scope="session")
def found(results):
    return gather(results, hardest=3, rerun=False)


@pytest.fixture(scope="session")
def report(results, tmp_path_factory):
    """The page of a report."""
    pytest.importorskip("plotly")
    folder = tmp_path_factory.mktemp("report")
    write_report(results, folder, hardest=2, rerun=False)
    return folder / "report.html"


@pytest.fixture(scope="session")
def browser():
    """Skips what needs a browser where there is none."""
    pytest.importorskip("playwright")
    if find_browser() is None:
        pytest.skip("no browser to check the report in: apt install chromium")
