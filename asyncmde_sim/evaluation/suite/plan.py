"""What is left to run: a function of the suite and the results so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncmde_sim.evaluation.suite.cells import Cell, at_speed, product, treated
from asyncmde_sim.evaluation.suite.results import Results
from asyncmde_sim.evaluation.suite.speed import next_share
from asyncmde_sim.evaluation.suite.suite import Suite
from asyncmde_sim.evaluation.suite.work import Job
from asyncmde_sim.runtime.registry import DEVICELESS
from asyncmde_sim.runtime.treatments import DELAY_ONLY, ERROR_ONLY

Success = Mapping[str, Mapping[int, bool]]
"""Whether the robot arrived, by a cell's key and a seed."""


def fixed_cells(suite: Suite) -> dict[Cell, int]:
    """The cells that do not depend on results, and the number of episodes of each.

    Raises:
        ValueError: An option of a cell is unknown or out of bounds.
        OSError: A file is missing.
    """
    cells: dict[Cell, int] = {}
    for cell in product(suite):
        cells[cell] = suite.seeds.count
        if suite.loss_split and cell.config.depth not in DEVICELESS:
            for treatment in (ERROR_ONLY, DELAY_ONLY):
                cells.setdefault(treated(cell, treatment), suite.seeds.count)
    return cells


def speed_cells(suite: Suite, cell: Cell, success: Success) -> list[Cell]:
    """The cells of the search for the safe speed beside a cell of the product: all tried, and the next."""
    search = suite.safe_speed
    if search is None or cell.config.depth == "blind":
        return []
    tried: dict[float, float] = {}
    cells: list[Cell] = []
    while (share := next_share(search, tried)) is not None:
        cells.append(at_speed(cell, share))
        found = success.get(cells[-1].key, {})
        if not all(seed in found for seed in suite.speed_seeds):
            break
        tried[share] = sum(found[seed] for seed in suite.speed_seeds) / len(suite.speed_seeds)
    return cells


class Plan:
    """Hands out the episodes that are left, and learns what came of them.

    Episodes that see the same scene come one after another. With a shard, those of other seeds are left to
    other machines, and so is the search for the safe speed until all are merged.

    Args:
        suite: The suite.
        fixed: What ``fixed_cells`` gives.
        results: What there is already.
        shard: Index and number of parts of the seeds, such as (0, 2).
    """

    def __init__(
        self, suite: Suite, fixed: Mapping[Cell, int], results: Results, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self._suite, self._shard = suite, shard
        self._failed = set(results.failures)
        self._success: dict[str, dict[int, bool]] = {}
        columns = (results.episodes[name].to_pylist() for name in ("cell", "seed", "success"))
        for key, seed, success in zip(*columns, strict=True):
            self._success.setdefault(key, {})[seed] = success
        self.wanted: dict[Cell, int] = {}
        self._searched = [cell for cell in fixed if cell.is_product]
        self._pending: list[Job] = []
        self._running: list[Job] = []
        self._want(fixed)
        self._search()

    @property
    def left(self) -> Sequence[Job]:
        """Episodes that have not ended."""
        return [*self._running, *self._pending]

    def take(self, last: Job | None) -> Job | None:
        """The next episode for a worker, given its last: of the same scene, or of one that no other has."""
        if not self._pending:
            return None
        taken = {job.scene for job in self._running}
        ranks = [
            0 if last is not None and job.scene == last.scene else 1 if job.scene not in taken else 2
            for job in self._pending
        ]
        job = self._pending.pop(ranks.index(min(ranks)))
        self._running.append(job)
        return job

    def ended(self, job: Job, success: bool) -> None:
        """An episode has ended."""
        self._running.remove(job)
        self._success.setdefault(job.cell.key, {})[job.seed] = success
        self._search()

    def failed(self, job: Job) -> None:
        """A cell has failed: none of its episodes are handed out any more."""
        self._running.remove(job)
        self._failed.add(job.cell.key)
        self._pending = [other for other in self._pending if other.cell.key != job.cell.key]

    def _search(self) -> None:
        if self._shard[1] == 1:
            count = len(self._suite.speed_seeds)
            for cell in self._searched:
                self._want(dict.fromkeys(speed_cells(self._suite, cell, self._success), count))

    def _want(self, cells: Mapping[Cell, int]) -> None:
        index, parts = self._shard
        order = {e.label: i for i, e in enumerate(self._suite.environments)}
        known = {cell.key: episodes for cell, episodes in self.wanted.items()}
        for cell, episodes in cells.items():
            if episodes <= known.get(cell.key, 0):
                continue
            self.wanted[cell] = episodes
            if cell.key in self._failed:
                continue
            done = self._success.get(cell.key, {})
            for episode, seed in list(enumerate(self._suite.seeds))[known.get(cell.key, 0) : episodes]:
                if seed not in done and episode % parts == index:
                    self._pending.append(Job(cell, episode, seed))
        self._pending.sort(key=lambda job: (job.seed, order[job.cell.environment]))
