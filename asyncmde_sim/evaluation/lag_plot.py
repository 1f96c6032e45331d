"""A picture of accuracy against lag."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncmde_sim.files import write_whole

FORMATS = (".png", ".pdf", ".svg")
LABELS = {
    "foundation": "slow path on every frame",
    "async-odometry": "async-odometry",
    "async": "async",
    "fast": "fast path without memory",
}


def check_plot(file: Path) -> None:
    """Check that a plot can be drawn into a file.

    Raises:
        ValueError: Its ending is not a picture's, or the extra ``plot`` is not installed.
        FileNotFoundError: Its folder does not exist.
    """
    if file.suffix not in FORMATS:
        raise ValueError(f"plot is {file}, but its name must end in one of {', '.join(FORMATS)}")
    if not file.absolute().parent.is_dir():
        raise FileNotFoundError(f"plot is {file}, but there is no folder {file.parent}: make it first")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError("a plot needs the extra 'plot': pip install 'asyncmde-sim[plot]'") from error


def plot_lags(figures: Mapping[str, Mapping[str, Any]], file: Path) -> None:
    """Draw delta1 without alignment by lag, a panel for each group of sequences, and write it whole.

    Args:
        figures: For each group what ``depth_accuracy.summarise`` gives.
        file: PNG, PDF or SVG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4 * len(figures), 7), 3.5), layout="constrained")
    panels = figure.subplots(1, len(figures), squeeze=False)[0]
    for panel, (group, summary) in zip(panels, figures.items(), strict=True):
        for number, (source, label) in enumerate(LABELS.items()):
            values = summary["delta1_by_lag"].get(source, [])
            if values:
                panel.plot(values, f"C{number}o-", markersize=3, label=label)
        panel.set(title=group, xlabel="frames since the refresh")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("δ1, no alignment")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(LABELS))
    write_whole(file, lambda path: figure.savefig(path, dpi=150))
