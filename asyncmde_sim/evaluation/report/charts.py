"""The numbers behind a report's charts, as its page embeds them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from asyncmde_sim.evaluation.records import AGES, SCORES
from asyncmde_sim.evaluation.report.gather import FACETS, Findings, facet_of
from asyncmde_sim.evaluation.report.scenes import Scene
from asyncmde_sim.evaluation.report.tables import LOSS_PARTS, speed_text
from asyncmde_sim.evaluation.suite.findings import Rate
from asyncmde_sim.metrics.statistics import PairedDifference

DIGITS = 5
SCENE_S = 8.0
"""How much of an episode's end its chart shows."""


def chart_data(found: Findings) -> dict[str, Any]:
    """What ``page.js`` draws: cells by key with their facets, and rows that name their cell.

    Every rate is ``[value, low, high, episodes]``, every difference ``[mean, low, high, pairs]``. Sizes are
    those of the suite and not of its episodes.
    """
    cells = found.results.product
    return {
        "facets": [[facet, FACETS[facet]] for facet in found.varying],
        "values": {facet: found.values(facet) for facet in FACETS},
        "cells": {
            cell.key: {
                "name": cell.name,
                "short": found.short(cell),
                **{facet: facet_of(cell, facet) for facet in FACETS},
            }
            for cell in cells
        },
        "rows": _rows(found),
        "parts": [[part, title, colour] for part, (title, colour) in LOSS_PARTS.items()],
        "losses": [
            {
                "cell": row.cell.key,
                **{part: _difference(getattr(row, part)) for part in ("lost", *LOSS_PARTS)},
            }
            for row in found.losses
        ],
        "speeds": [
            {
                "cell": row.cell.key,
                "speed": _rounded((row.speed_mps, row.low_mps, row.high_mps)),
                "text": f"{speed_text(row.speed_mps, row.unsafe_mps)} m/s "
                f"({row.low_mps:.2f} to {row.high_mps:.2f})",
            }
            for row in found.speeds
        ],
        "scenes": [_scene(f"scene-{index}", scene) for index, scene in enumerate(found.scenes)],
    }


def _rows(found: Findings) -> list[dict[str, Any]]:
    ages: dict[str, dict[str, Any]] = {}
    for point in found.ages:
        line = ages.setdefault(point.cell, {}).setdefault(point.age, {"age": [], "steps": [], "episodes": []})
        line["age"].append(round(point.age_s, DIGITS))
        line["steps"].append(point.steps)
        line["episodes"].append(point.episodes)
        for score in SCORES:
            line.setdefault(score, []).append(round(point.means[score], DIGITS))
            line.setdefault(f"{score}_half", []).append(round(point.halves[score], DIGITS))
    return [
        {
            "cell": row.cell.key,
            "success": _rate(row.success),
            "abs_rel": row.means["abs_rel"],
            "streaming_abs_rel": row.means["streaming_abs_rel"],
            "slow_runs_per_s": None if row.cell.device is None else row.slow_runs_per_s,
            "power_w": found.powers.get(row.cell.key),
            "ages": ages.get(row.cell.key),
        }
        for row in found.headline
    ]


def _scene(name: str, scene: Scene) -> dict[str, Any]:
    end = scene.steps[-1]["time_ns"]
    steps = [step for step in scene.steps if end - step["time_ns"] <= 1e9 * SCENE_S]

    def column(key: str, factor: float = 1.0) -> list[float | None]:
        return [None if s[key] is None else round(factor * s[key], DIGITS) for s in steps]

    return {
        "id": name,
        "time_s": column("time_ns", 1e-9),
        **{f"{age.removesuffix('_s')}_ms": column(age, 1e3) for age in AGES},
        **{key: column(key) for key in ("clearance_m", "abs_rel", "streaming_abs_rel")},
    }


def _rate(rate: Rate) -> list[float]:
    return [*_rounded((rate.value, rate.low, rate.high)), rate.episodes]


def _difference(difference: PairedDifference) -> list[float]:
    return [*_rounded((difference.mean, difference.low, difference.high)), difference.pairs]


def _rounded(values: Sequence[float]) -> list[float]:
    assert all(math.isfinite(value) for value in values)
    return [round(value, DIGITS) for value in values]
