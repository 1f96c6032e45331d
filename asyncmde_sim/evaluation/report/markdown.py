"""The report in Markdown, for a paper or a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from asyncmde_sim.evaluation.report.gather import Findings
from asyncmde_sim.evaluation.report.tables import Table, headline_table, loss_table, speed_table
from asyncmde_sim.evaluation.report.words import (
    INTERVALS,
    about,
    hard_episode_name,
    hardness,
    machine_lines,
    unfinished,
)
from asyncmde_sim.evaluation.suite.suite import suite_text


def markdown(found: Findings) -> str:
    """The report's tables, and how to get them again."""
    return "\n\n".join(_parts(found)) + "\n"


def _parts(found: Findings) -> Iterator[str]:
    results = found.results
    yield f"# {results.suite.name}"
    yield " ".join((about(results), *unfinished(results)))
    if found.headline:
        yield "## Does the robot arrive?"
        yield _table(headline_table(found))
    if found.speeds:
        yield "## Safe speed"
        yield _table(speed_table(found))
    if found.losses:
        yield "## Error or age?"
        yield _table(loss_table(found))
    if found.hardest:
        yield "## Hardest episodes"
        yield "\n".join(f"* {hard_episode_name(episode)}: {hardness(episode)}" for episode in found.hardest)
    if results.failures:
        yield "## Cells that failed"
        yield "\n".join(
            f"* {results.cells[key].name}: `{traceback.strip().splitlines()[-1]}`"
            for key, traceback in results.failures.items()
        )
    yield "## Setup"
    yield "\n".join(f"* {line}" for line in machine_lines(results))
    yield f"Code {results.code_version}. {INTERVALS}"
    yield f"```yaml\n{suite_text(results.suite)}```"


def _table(table: Table) -> str:
    parts = []
    for environment, rows in table.groups.items():
        lines = [table.columns, tuple("---" for _ in table.columns), *(row.texts for row in rows)]
        parts.append(f"**{environment}**\n\n" + "\n".join(map(_line, lines)))
    return "\n\n".join(parts)


def _line(texts: tuple[str, ...]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
