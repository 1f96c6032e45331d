"""Controls: whether an environment tells sight from blindness, fresh depth from late, slow from fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.records import Row
from asyncmde_sim.evaluation.rollout import Results, prepare, run
from asyncmde_sim.metrics.statistics import wilson_interval


@dataclass(frozen=True)
class Condition:
    """What is asked of the environment and the agent, and what a table calls it."""

    label: str
    config: RolloutConfig


def conditions(
    base: RolloutConfig, latencies_ms: Sequence[float], speeds: Sequence[float], late_ms: float
) -> Iterator[Condition]:
    """The controls of one environment.

    Args:
        base: Environment, scene and camera.
        latencies_ms: Ages of true depth.
        speeds: Top speeds as fractions of the robot's own, with fresh depth and with depth ``late_ms`` old.
        late_ms: See ``speeds``.
    """
    true = replace(base, depth="oracle", device="ideal", video=False)
    yield Condition("true depth", true)
    yield Condition("no depth", replace(true, depth="blind"))
    yield Condition("straight to the goal", replace(true, depth="blind", agent="straight"))
    for latency in latencies_ms:
        yield Condition(f"true depth, {latency:g} ms old", replace(true, latency_ms=latency))
    rollout = prepare(true, true.seed)
    own = rollout.env.unwrapped.robot.max_speed_mps  # type: ignore[attr-defined]
    rollout.env.close()
    for fraction in speeds:
        speed = round(fraction * own, 2)
        fast = replace(true, max_speed=speed)
        yield Condition(f"true depth, {speed:g} m/s", fast)
        yield Condition(f"true depth, {late_ms:g} ms old, {speed:g} m/s", replace(fast, latency_ms=late_ms))


def run_episodes(config: RolloutConfig, seed: int, episodes: int) -> list[Row]:
    """Rows of the episode table for ``episodes`` seeds from ``seed``."""
    results = Results()
    rollout = prepare(config, seed)
    run(rollout, episodes, seed, results)
    rollout.env.close()
    return results.episode_rows


def figures(condition: Condition, rows: Sequence[Row]) -> Row:
    """Success, collisions, SPL and time over the rows of one condition."""
    count = len(rows)
    successes = sum(r["success"] for r in rows)
    means = {name: sum(r[name] for r in rows) / count for name in ("spl", "duration_s")}
    return {
        "env": condition.config.env,
        "condition": condition.label,
        "episodes": count,
        "success_rate": successes / count,
        "success_ci": list(wilson_interval(successes, count)),
        "collision_rate": sum(r["collided"] for r in rows) / count,
        **means,
        "config": {k: v for k, v in asdict(condition.config).items() if k not in ("out", "seed", "episodes")},
    }
