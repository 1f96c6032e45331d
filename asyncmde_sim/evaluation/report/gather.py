"""All that a report shows, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from asyncmde_sim.evaluation.report.ages import AgePoint, accuracy_by_age
from asyncmde_sim.evaluation.report.hardest import HardEpisode, hardest_episodes
from asyncmde_sim.evaluation.report.scenes import Scene, show
from asyncmde_sim.evaluation.suite import Cell, Results, headline, loss_split, safe_speed
from asyncmde_sim.evaluation.suite.findings import HeadlineRow, LossRow
from asyncmde_sim.evaluation.suite.speed import SafeSpeedRow

FACETS = {
    "depth": "depth source",
    "device": "device",
    "environment": "environment",
    "refresh": "refresh",
    "agent": "agent",
}
"""What cells of the product differ in, and what a reader calls it."""
NO_DEVICE = "no device"
MOST_STEPS = 4000
"""Steps that the hardest episodes may have together, each of which is simulated again."""


@dataclass(frozen=True)
class Findings:
    """What is known of a suite.

    Args:
        results: The results.
        headline: A row for each cell with episodes.
        speeds: The safe speeds.
        losses: Where success was lost.
        ages: Accuracy by age.
        powers: Mean power in watts of each cell whose device was measured with its power, by key.
        hardest: The hardest episodes.
        scenes: Those of them that were run again.
    """

    results: Results
    headline: list[HeadlineRow]
    speeds: list[SafeSpeedRow]
    losses: list[LossRow]
    ages: list[AgePoint]
    powers: Mapping[str, float]
    hardest: list[HardEpisode]
    scenes: list[Scene]

    @property
    def varying(self) -> list[str]:
        """The facets that tell cells apart."""
        return [facet for facet in FACETS if len(self.values(facet)) > 1]

    def values(self, facet: str) -> list[str]:
        """Values of a facet in the suite's order; at the end ``NO_DEVICE``."""
        found = dict.fromkeys(facet_of(cell, facet) for cell in self.results.product)
        return sorted(filter(None, found), key=NO_DEVICE.__eq__)

    def short(self, cell: Cell) -> str:
        """A cell's name within its environment."""
        device = "" if cell.device is None else f" on {cell.device}"
        others = (facet_of(cell, f) for f in ("refresh", "agent") if f in self.varying)
        return ", ".join((f"{cell.depth}{device}", *(o for o in others if o)))


def gather(
    results: Results, hardest: int, rerun: bool, tell: Callable[[str], None] = lambda line: None
) -> Findings:
    """Compute what a report shows.

    Args:
        results: The results.
        hardest: How many of the hardest episodes to name.
        rerun: Whether to run them again for their videos.
        tell: Is told which of them is being run.
    """
    rows = headline(results)
    episodes = hardest_episodes(results, hardest, MOST_STEPS)
    return Findings(
        results=results,
        headline=rows,
        speeds=safe_speed(results),
        losses=loss_split(results),
        ages=accuracy_by_age(results, [row.cell.key for row in rows]),
        powers=measured_powers([row.cell for row in rows]),
        hardest=episodes,
        scenes=[*_scenes(results, episodes, tell)] if rerun else [],
    )


def _scenes(
    results: Results, episodes: Sequence[HardEpisode], tell: Callable[[str], None]
) -> Iterator[Scene]:
    for number, episode in enumerate(episodes, 1):
        tell(f"{number} of {len(episodes)}: {episode.environment}, seed {episode.seed}, again")
        yield show(results, episode)


def facet_of(cell: Cell, facet: str) -> str:
    """A cell's value of a facet; empty where it has none."""
    value = getattr(cell, facet)
    return str(value or (NO_DEVICE if facet == "device" else ""))


def measured_powers(cells: list[Cell]) -> dict[str, float]:
    """Mean power of each cell whose device is the trace of a device that told its power, by key."""
    powers = {}
    for cell in cells:
        path = Path(cell.config.device or "")
        if cell.device is None or path.suffix != ".parquet" or not path.is_file():
            continue
        watts = pq.read_table(path, columns=["power_w"])["power_w"].drop_null().to_numpy()
        if len(watts):
            powers[cell.key] = float(np.mean(watts))
    return powers
