"""The report as one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from asyncmde_sim.evaluation.report import words
from asyncmde_sim.evaluation.report.charts import chart_data
from asyncmde_sim.evaluation.report.gather import Findings
from asyncmde_sim.evaluation.report.parts import (
    choice,
    drawn_scene,
    drawn_table,
    folded_table,
    legend,
    panels,
    section,
    setup,
    tracebacks,
)
from asyncmde_sim.evaluation.report.tables import LOSS_PARTS, headline_table, loss_table, speed_table

AGE_CHOICES = {
    "content_age_s": "content age",
    "refresh_age_s": "lag since the refresh",
    "depth_age_s": "depth age",
}
SCORE_CHOICES = {
    "streaming_delta1": "δ1, against the depth now",
    "delta1": "δ1, against its own frame",
    "streaming_abs_rel": "AbsRel, against the depth now",
    "abs_rel": "AbsRel, against its own frame",
}


def page(found: Findings, plotly: str) -> str:
    """The page.

    Args:
        found: What it shows.
        plotly: The source of plotly.js.
    """
    results = found.results
    data = json.dumps(chart_data(found), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    alerts = "".join(f'<p class="alert">{escape(line)}</p>\n' for line in words.unfinished(results))
    sections = "\n".join(_sections(found))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<link rel="icon" href="data:,">
<title>{escape(results.suite.name)}: asyncmde-sim</title>
<style>
{_text("page.css")}
</style>
</head>
<body>
<header>
<h1>{escape(results.suite.name)}</h1>
<p class="soft">{escape(words.about(results))}</p>
{alerts}</header>
<nav class="filters" aria-label="What is shown"><div></div></nav>
<main>
{sections}
</main>
<footer>{words.INTERVALS} Written by asyncmde-sim {escape(results.code_version)}.</footer>
<script type="text/plain" id="plotly">{plotly}</script>
<script>
const DATA = {data};
{_text("page.js")}
</script>
</body>
</html>
"""


def _sections(found: Findings) -> Iterator[str]:
    yield section("Does the robot arrive?", words.HEADLINE, drawn_table(headline_table(found)))
    if found.speeds and found.results.suite.safe_speed is not None:
        lead = words.SPEED.format(success=found.results.suite.safe_speed.success)
        yield section("Safe speed", lead, panels("chart-speed") + folded_table(speed_table(found)))
    if found.headline:
        yield section("Success against device", words.DEVICE, panels("chart-device"))
    if found.ages:
        menus = choice("age", "by", AGE_CHOICES) + choice("score", "score", SCORE_CHOICES)
        body = f'<div class="choice">{menus}</div>\n{panels("chart-age")}'
        yield section("Accuracy against age", words.AGE, body)
    if found.headline:
        yield section("Streaming error against the model's", words.ERROR, panels("chart-error"))
    if found.losses:
        body = legend(LOSS_PARTS.values()) + panels("chart-loss") + folded_table(loss_table(found))
        yield section("Error or age?", words.LOSS, body)
    if found.headline:
        power = panels("chart-power") if found.powers else ""
        yield section("Slow-path work against success", words.WORK, panels("chart-work") + power)
    if found.scenes:
        scenes = "".join(drawn_scene(index, scene) for index, scene in enumerate(found.scenes))
        yield section("Hardest episodes", f"{words.HARDEST} {words.AGAIN}", scenes)
    elif found.hardest:
        texts = (f"{words.hard_episode_name(e)}: {words.hardness(e)}" for e in found.hardest)
        lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
        yield section("Hardest episodes", words.HARDEST, f"<ol>{lines}</ol>")
    if found.results.failures:
        yield section("Cells that failed", words.FAILED, tracebacks(found.results))
    yield section("Setup", "", setup(found.results))


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
