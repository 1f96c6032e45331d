"""How long the report of a large suite takes to write and to open, on results that are made up.

Opening needs Playwright and a Chromium.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.records import METRICS, STEP_SCHEMA
from asyncmde_sim.evaluation.report import write_report
from asyncmde_sim.evaluation.suite import Cell, Results, load_results
from asyncmde_sim.evaluation.suite.cells import at_speed, product, treated
from asyncmde_sim.evaluation.suite.results import EPISODES, STEPS
from asyncmde_sim.evaluation.suite.store import Store
from asyncmde_sim.evaluation.suite.suite import Suite, parse_suite
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DT_NS = 33_333_333
SLOW_S = {"ideal": 0.0, "rtx4090": 0.017, "orin-trt": 0.081, "orin-torch": 0.244}
ERRORS = {"foundation": 0.075, "async": 0.10, "async-odometry": 0.08, "fast": 0.12}
DRAWN = "html[data-charts=drawn]"
"""What a page matches when its charts are there."""
WINDOW = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class ReportTimes:
    """What a report took.

    Args:
        episodes: Its episodes.
        write_s: To write it.
        size_bytes: Size of the page.
        open_s: From the request to a page that can be read and answers, the best of three; None without a
            browser.
        drawn_s: From the request to the last chart, the best of three.
    """

    episodes: int
    write_s: float
    size_bytes: int
    open_s: float | None
    drawn_s: float | None


def time_report(folder: Path, episodes: int, steps: int) -> ReportTimes:
    """Make up results, write their report and open it.

    Args:
        folder: An empty folder for both.
        episodes: About how many episodes.
        steps: Steps of each.
    """
    cells = len(_planned(full_suite(1)))
    results = synthetic_results(folder, full_suite(max(1, round(episodes / cells))), steps)
    started = time.perf_counter()
    write_report(load_results(folder), folder, rerun=False)
    write_s = time.perf_counter() - started
    file = folder / "report.html"
    open_s = drawn_s = None
    if find_browser() is not None:
        open_s, drawn_s = (min(times) for times in zip(*(open_seconds(file) for _ in range(3)), strict=True))
    return ReportTimes(results.episodes.num_rows, write_s, file.stat().st_size, open_s, drawn_s)


def full_suite(seeds: int) -> Suite:
    """Three regimes, four sources on four devices, and all that can be asked of them."""
    return parse_suite(
        {
            "name": "made up",
            "environments": ["IndoorStatic-v0", "IndoorDynamic-v0", "ExtremeMotion-v0"],
            "depth": ["oracle", *ERRORS],
            "devices": list(SLOW_S),
            "seeds": seeds,
            "loss_split": True,
            "safe_speed": {},
        }
    )


def synthetic_results(folder: Path, suite: Suite, steps: int) -> Results:
    """Write made-up results of a suite and read them.

    Success falls with the error and the age of depth and with speed; depth errs by more the older it is.

    Args:
        folder: Where to.
        suite: The suite.
        steps: Steps of each episode.
    """
    store = Store(folder, suite)
    planned = _planned(suite)
    store.plan(dict.fromkeys(planned, suite.seeds.count))
    luck = np.random.default_rng(0).random(suite.seeds.count)
    tables = [_cell_tables(cell, suite, luck, steps, index) for index, cell in enumerate(planned)]
    pq.write_table(pa.concat_tables([t for t, _ in tables]), folder / "episodes.parquet")
    with pq.ParquetWriter(folder / "steps.parquet", STEPS) as writer:
        for _, table in tables:
            writer.write_table(table, row_group_size=table.num_rows)
    return load_results(folder)


def find_browser() -> str | None:
    """A Chromium's program: what the variable CHROMIUM names, or the first that is on the path."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def browser_page(viewport: Any, **options: Any) -> Iterator[Any]:
    """A page of a headless browser, of this size in pixels."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport=viewport, **options)
        finally:
            browser.close()


def open_seconds(file: Path) -> tuple[float, float]:
    """From the request of a report to its last line, when it can be read, and to its last chart."""
    with browser_page(WINDOW) as page:
        started = time.perf_counter()
        page.goto(file.absolute().as_uri(), wait_until="domcontentloaded")
        read_s = time.perf_counter() - started
        page.wait_for_selector(DRAWN, state="attached")
        return read_s, time.perf_counter() - started


def _planned(suite: Suite) -> list[Cell]:
    cells = list(product(suite))
    planned = list(cells)
    if suite.loss_split:
        split = (ERROR_ONLY, DELAY_ONLY)
        planned += [treated(cell, t) for cell in cells if cell.device is not None for t in split]
    if suite.safe_speed is not None:
        planned += [at_speed(cell, share) for cell in cells for share in (0.5, 0.75)]
    return list({cell.key: cell for cell in planned}.values())


def _cell_tables(
    cell: Cell, suite: Suite, luck: np.ndarray[Any, Any], steps: int, index: int
) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(index)
    seeds = np.array(list(suite.seeds))
    count = len(seeds)
    error = 0.0 if cell.treatment == DELAY_ONLY else ERRORS.get(cell.depth, 0.0)
    slow_s = 0.0 if cell.treatment == ERROR_ONLY else SLOW_S.get(cell.device or "", 0.0)
    chance = np.clip(0.98 - 1.2 * error - 1.4 * slow_s * cell.speed_share, 0.02, 1)
    success = luck + 0.1 * rng.standard_normal(count) < chance

    shape = (count, steps)
    frame = np.broadcast_to(np.arange(steps) * DT_NS / 1e9, shape)
    refresh = (frame + rng.random((count, 1))) % (slow_s + DT_NS / 1e9)
    content = refresh + slow_s
    own = np.abs(error * np.exp(0.3 * rng.standard_normal(shape)) * (1 + 1.5 * refresh))
    now = own + 0.4 * content
    has_depth = frame >= slow_s
    columns: dict[str, Any] = {
        "episode": np.broadcast_to(np.arange(count)[:, None], shape),
        "step": np.broadcast_to(np.arange(1, steps + 1), shape),
        "time_ns": np.broadcast_to(np.arange(1, steps + 1) * DT_NS, shape),
        "camera_x_m": frame,
        "camera_qw": np.ones(shape),
        "clearance_m": np.abs(1 - frame / frame.max() + 0.1 * rng.standard_normal(shape)),
        "speed_mps": np.full(shape, cell.max_speed),
        "has_depth": has_depth,
    }
    seen = {
        "depth_age_s": content if cell.depth == "foundation" else np.full(shape, DT_NS / 1e9),
        "content_age_s": content,
        "refresh_age_s": refresh,
        "abs_rel": own,
        "streaming_abs_rel": now,
        "delta1": np.exp(-3 * own),
        "streaming_delta1": np.exp(-3 * now),
    }
    flat = {name: pa.array(np.ravel(values)) for name, values in columns.items()}
    missing = ~has_depth.ravel()
    flat |= {name: pa.array(values.ravel(), mask=missing) for name, values in seen.items()}
    step_table = _table(STEP_SCHEMA, flat, count * steps)
    key = pa.array([cell.key] * (count * steps), pa.string())

    slow_runs = np.full(count, round(steps * DT_NS / 1e9 / max(slow_s, DT_NS / 1e9)))
    episode = {
        "cell": [cell.key] * count,
        "episode": np.arange(count),
        "seed": seeds,
        "scene": ["made-up"] * count,
        "steps": np.full(count, steps),
        "success": success,
        "collided": ~success,
        **{metric: np.full(count, 1.0) for metric in METRICS if "coverage" not in metric},
        "spl": success * 0.9,
        "min_clearance": np.where(success, 0.3, 0.0) + 0.1 * rng.random(count),
        "duration_s": np.full(count, steps * DT_NS / 1e9),
        **{name: values.mean(1, where=has_depth) for name, values in seen.items()},
        "frames_seen": np.full(count, steps + 1),
        "frames_dropped": np.zeros(count, np.int64),
        "slow_runs": slow_runs,
        "fast_runs": np.full(count, steps),
    }
    return _table(EPISODES, episode, count), step_table.add_column(0, STEPS.field("cell"), key)


def _table(schema: pa.Schema, columns: dict[str, Any], rows: int) -> pa.Table:
    """A table of a schema; columns that are not given are null."""
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)
