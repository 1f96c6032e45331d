"""Pieces of the report's page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape

from asyncmde_sim.evaluation.report.scenes import Moment, Scene
from asyncmde_sim.evaluation.report.tables import Row, Table
from asyncmde_sim.evaluation.report.words import hard_episode_name, hardness, machine_lines
from asyncmde_sim.evaluation.suite import Results
from asyncmde_sim.evaluation.suite.suite import suite_text


def section(title: str, lead: str, body: str) -> str:
    """A part of the page; ``lead`` and ``body`` are HTML."""
    intro = f"<p>{lead}</p>\n" if lead else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{intro}{body}\n</section>"


def panels(name: str) -> str:
    """Where ``page.js`` puts a chart for each environment."""
    return f'<div class="panels" id="{name}"></div>\n'


def legend(colours: Iterable[tuple[str, str]]) -> str:
    """Titles with their colours."""
    items = "".join(f'<span><i style="background:{c}"></i>{escape(title)}</span>' for title, c in colours)
    return f'<div class="legend">{items}</div>\n'


def choice(name: str, title: str, options: Mapping[str, str]) -> str:
    """A menu that ``page.js`` listens to."""
    items = "".join(f'<option value="{key}">{escape(text)}</option>' for key, text in options.items())
    menu = f'<select data-choice="{name}">{items}</select>'
    return f"<label>{escape(title)}{menu}</label>\n"


def drawn_table(table: Table) -> str:
    """A table with a part for each environment, and bars for its rates."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    bodies = []
    for environment, rows in table.groups.items():
        title = f'<tr><th colspan="{len(table.columns)}">{escape(environment)}</th></tr>'
        bodies.append("\n".join(("<tbody>", title, *map(_row, rows), "</tbody>")))
    body = "\n".join((f"<thead><tr>{head}</tr></thead>", *bodies))
    return f'<div class="scroll"><table>\n{body}\n</table></div>'


def folded_table(table: Table) -> str:
    """A table to be unfolded: a chart says the same."""
    return f"<details><summary>The same as a table</summary>\n{drawn_table(table)}\n</details>"


def _row(row: Row) -> str:
    first, second, *others = map(escape, row.texts)
    if row.rate is not None:
        value, low, high = (100 * v for v in (row.rate.value, row.rate.low, row.rate.high))
        drawn = f'<b style="width:{value:.1f}%"></b><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        second = f'<span class="rate">{drawn}</span>{second}'
    cells = "".join(f"<td>{text}</td>" for text in (second, *others))
    return f'<tr data-cell="{escape(row.cell.key)}"><th>{first}</th>{cells}</tr>'


def drawn_scene(index: int, scene: Scene) -> str:
    """One of the hardest episodes."""
    episode = scene.episode
    shown = f"{hardness(episode)} Shown: {episode.cell.name}; {scene.outcome}."
    note = "" if scene.note is None else f'<p class="alert">{escape(scene.note)}</p>\n'
    video = ""
    if scene.video is not None:
        source = f'src="{_embedded(scene.video, "video/mp4")}"'
        video = f'<video controls muted playsinline preload="metadata" {source}></video>\n'
    return (
        f'<article class="scene">\n<h3>{escape(hard_episode_name(episode))}</h3>\n'
        f"<p>{escape(shown)}</p>\n{note}{video}{''.join(map(_moment, scene.moments))}"
        f'<div class="plot tall" id="scene-{index}"></div>\n</article>\n'
    )


def _moment(moment: Moment) -> str:
    shots = "".join(_shot(title, picture) for title, picture in moment.panels.items())
    pairs = ((escape(name), escape(value)) for name, value in moment.figures.items())
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
    title = escape(moment.title[0].upper() + moment.title[1:])
    body = f'<div class="shots">{shots}</div>\n<dl class="figures">{figures}</dl>'
    return f'<div class="moment"><h4>{title}</h4>\n{body}</div>\n'


def _shot(title: str, picture: bytes | None) -> str:
    shown = '<div class="none">none</div>'
    if picture is not None:
        kind = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
        shown = f'<img alt="{escape(title)}" src="{_embedded(picture, kind)}">'
    return f"<figure>{shown}<figcaption>{escape(title)}</figcaption></figure>"


def _embedded(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def tracebacks(results: Results) -> str:
    """What failed, to be unfolded."""
    return "\n".join(
        _folded(f"{results.cells[key].name}: {text.strip().splitlines()[-1]}", text)
        for key, text in results.failures.items()
    )


def setup(results: Results) -> str:
    """Hardware, the suite and every config."""
    machines = "".join(f"<li>{escape(line)}</li>" for line in machine_lines(results))
    configs = "\n".join(
        _folded(f"{cell.name} ({key})", json.dumps(cell.config.as_dict(), indent=1))
        for key, cell in results.cells.items()
    )
    return (
        f"<p>Run on:</p>\n<ul>{machines}</ul>\n{_folded('The suite', suite_text(results.suite))}\n"
        f"<details><summary>The configs of all {len(results.cells)} cells</summary>\n{configs}\n</details>"
    )


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
