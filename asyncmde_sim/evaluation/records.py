"""What a rollout leaves behind: one row per step, one per episode, and the summary that follows from them.

Nothing measured on the host is in the tables, so the same seed gives the same tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.transform import Rotation

from asyncmde_sim.files import write_whole
from asyncmde_sim.metrics.statistics import wilson_interval

Row = dict[str, Any]

SCORES = ("abs_rel", "delta1", "streaming_abs_rel", "streaming_delta1")
"""Metric depth scores of one frame; null while there is no estimate."""

OBSTACLE_SCORES = ("obstacle_abs_rel", "streaming_obstacle_abs_rel")
"""AbsRel on obstacles alone; null also while none is in view."""

ALL_SCORES = (*SCORES, *OBSTACLE_SCORES)

AGES = ("depth_age_s", "content_age_s", "refresh_age_s")
"""Since the frames behind depth and memory were captured, and since the refresh landed."""

COUNTS = ("frames_dropped", "slow_runs", "fast_runs")

STEP_SCHEMA = pa.schema(
    [
        ("episode", pa.int64()),
        ("step", pa.int64()),
        ("time_ns", pa.int64()),
        *((f"camera_{axis}_m", pa.float64()) for axis in "xyz"),
        *((f"camera_q{part}", pa.float64()) for part in "wxyz"),
        ("speed_mps", pa.float64()),
        ("distance_to_goal_m", pa.float64()),
        ("coverage", pa.float64()),
        ("clearance_m", pa.float64()),
        ("time_to_collision_s", pa.float64()),
        ("collided", pa.bool_()),
        ("success", pa.bool_()),
        ("reward", pa.float64()),
        ("action", pa.list_(pa.float64())),
        ("has_depth", pa.bool_()),
        *((age, pa.float64()) for age in AGES),
        ("trust", pa.float64()),
        *((score, pa.float64()) for score in ALL_SCORES),
        *((count, pa.int64()) for count in COUNTS),
    ]
)
"""One row per step, at the end of the step. Poses: ``T_world_camera``; no estimate: ages are null.

Without a goal its distance is null, and the coverage where nothing is explored.
"""

METRICS = (
    "spl",
    "soft_spl",
    "coverage",
    "mean_coverage",
    "path_length",
    "shortest_path",
    "min_clearance",
    "min_time_to_collision",
    "time_under_1s_ttc",
    "duration_s",
)

MEANS = (*ALL_SCORES, *AGES)

EPISODE_SCHEMA = pa.schema(
    [
        ("episode", pa.int64()),
        ("seed", pa.int64()),
        ("scene", pa.string()),
        ("steps", pa.int64()),
        ("success", pa.bool_()),
        ("collided", pa.bool_()),
        *((metric, pa.float64()) for metric in METRICS),
        *((mean, pa.float64()) for mean in MEANS),
        ("frames_seen", pa.int64()),
        *((count, pa.int64()) for count in COUNTS),
    ]
)
"""One row per finished episode; scores and ages are means over its steps with an estimate.

What the environment's task does not have (SPL, or coverage) is null.
"""


def step_row(
    episode: int,
    step: int,
    observation: Mapping[str, Any],
    action: Sequence[float],
    reward: float,
    info: Mapping[str, Any],
) -> Row:
    """The row of one step from what ``env.step`` returned."""
    pose = np.asarray(info["T_world_camera"], dtype=np.float64)
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    has_depth = bool(observation["has_depth"])
    scores = info.get("depth_scores", {})
    return {
        "episode": episode,
        "step": step,
        "time_ns": int(info["time_ns"]),
        **{f"camera_{axis}_m": float(value) for axis, value in zip("xyz", pose[:3, 3], strict=True)},
        **{f"camera_q{part}": float(value) for part, value in zip("wxyz", (w, x, y, z), strict=True)},
        "speed_mps": float(info["speed"]),
        "distance_to_goal_m": _number(info.get("distance_to_goal")),
        "coverage": _number(info.get("coverage")),
        "clearance_m": float(info["clearance"]),
        "time_to_collision_s": float(info["time_to_collision"]),
        "collided": bool(info["collided"]),
        "success": bool(info["success"]),
        "reward": float(reward),
        "action": [float(value) for value in action],
        "has_depth": has_depth,
        **{age: float(observation[age[:-2]][0]) if has_depth else None for age in AGES},
        "trust": float(observation["trust"][0]) if "trust_map" in info else None,
        **{score: _number(scores.get(score)) for score in ALL_SCORES},
        **{count: int(info[count]) for count in COUNTS},
    }


def episode_row(
    episode: int, seed: int, scene: str, steps: Sequence[Row], metrics: Mapping[str, float]
) -> Row:
    """The row of one finished episode from its step rows and the environment's ``episode_metrics``."""
    last = steps[-1]
    return {
        "episode": episode,
        "seed": seed,
        "scene": scene,
        "steps": len(steps),
        "success": bool(metrics["success"]),
        "collided": bool(metrics["collided"]),
        **{metric: _number(metrics.get(metric)) for metric in METRICS},
        **{mean: _mean(row[mean] for row in steps) for mean in MEANS},
        "frames_seen": len(steps) + 1,
        **{count: last[count] for count in COUNTS},
    }


def summarise(episodes: pa.Table, steps: pa.Table, steps_per_s: float | None) -> dict[str, Any]:
    """The summary of a rollout.

    Scores and ages are means over all steps with an estimate, each step counting once (depth scores are
    pooled per frame, then averaged); counts are totals over the episodes. All but ``steps_per_s`` follows
    from the tables.

    Args:
        episodes: Table with ``EPISODE_SCHEMA``, at least one row.
        steps: Table with ``STEP_SCHEMA``, the steps of these episodes.
        steps_per_s: Environment steps per second of host time spent stepping; None if not measured.

    Raises:
        ValueError: There are no episodes.
    """
    count = episodes.num_rows
    successes, collisions = (sum(episodes[name].to_pylist()) for name in ("success", "collided"))
    interval, collision_interval = wilson_interval(successes, count), wilson_interval(collisions, count)

    def mean(table: pa.Table, name: str) -> float | None:
        return _mean(table[name].to_pylist())

    def milliseconds(name: str) -> float | None:
        value = mean(steps, name)
        return None if value is None else 1e3 * value

    return {
        "episodes": count,
        "steps": steps.num_rows,
        "success_rate": successes / count,
        "success_ci": list(interval),
        "collision_rate": collisions / count,
        "collision_ci": list(collision_interval),
        "spl": mean(episodes, "spl"),
        "soft_spl": mean(episodes, "soft_spl"),
        "coverage": mean(episodes, "coverage"),
        "mean_coverage": mean(episodes, "mean_coverage"),
        "duration_s": mean(episodes, "duration_s"),
        "min_clearance_m": mean(episodes, "min_clearance"),
        "min_time_to_collision_s": mean(episodes, "min_time_to_collision"),
        "time_under_1s_ttc_s": mean(episodes, "time_under_1s_ttc"),
        **{score: mean(steps, score) for score in ALL_SCORES},
        "has_depth_rate": mean(steps, "has_depth"),
        **{f"{age[:-2]}_ms": milliseconds(age) for age in AGES},
        **{name: sum(episodes[name].to_pylist()) for name in ("frames_seen", *COUNTS)},
        "steps_per_s": steps_per_s,
    }


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as parquet, whole or not at all."""
    write_whole(path, lambda temporary: pq.write_table(table, temporary))


def write_json(values: Mapping[str, Any], path: Path) -> None:
    """Write values as strict JSON, whole or not at all; what is not a finite number becomes null."""
    text = json.dumps(_strict(values), indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _mean(values: Iterable[float | None]) -> float | None:
    present = [float(value) for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
