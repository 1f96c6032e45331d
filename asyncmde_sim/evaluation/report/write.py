"""Writes the two files of a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from asyncmde_sim.evaluation.report.gather import gather
from asyncmde_sim.evaluation.report.markdown import markdown
from asyncmde_sim.evaluation.report.page import page
from asyncmde_sim.evaluation.suite import Results
from asyncmde_sim.files import write_whole

HARDEST = 3


def check_report() -> None:
    """Check that what draws the charts is installed.

    Raises:
        ValueError: It is not.
    """
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise ValueError("a report needs the extra 'report': pip install 'asyncmde-sim[report]'") from error


def write_report(
    results: Results,
    folder: Path,
    hardest: int = HARDEST,
    rerun: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Write ``report.html``, which needs nothing else, and ``report.md``, each whole or not at all.

    Args:
        results: The results, finished or not.
        folder: Where to; it must be there.
        hardest: How many of the hardest episodes to show.
        rerun: Whether to run these again, for their videos and what was seen: seconds to minutes.
        tell: Is told which of them is being run.

    Raises:
        ValueError: The extra ``report`` is not installed.
        OSError: The folder cannot be written.
    """
    check_report()
    from plotly.offline import get_plotlyjs

    found = gather(results, hardest, rerun, tell)
    html, text = page(found, get_plotlyjs()), markdown(found)
    write_whole(folder / "report.html", lambda path: path.write_text(html, encoding="utf-8"))
    write_whole(folder / "report.md", lambda path: path.write_text(text, encoding="utf-8"))
