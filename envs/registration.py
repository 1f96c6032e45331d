"""Registers the project's environments with Gymnasium."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym

ENVIRONMENTS = {
    "IndoorStatic-v0": "asyncmde_sim.envs.indoor:IndoorStatic",
    "IndoorDynamic-v0": "asyncmde_sim.envs.indoor:IndoorDynamic",
    "IndoorExplore-v0": "asyncmde_sim.envs.explore:IndoorExplore",
    "ExtremeMotion-v0": "asyncmde_sim.envs.extreme_motion:ExtremeMotion",
}
"""Every environment's id and class."""


def check_environment(name: str) -> None:
    """Check that the project has an environment of this id.

    Raises:
        ValueError: It has not; the message says which there are.
    """
    if name not in ENVIRONMENTS:
        raise ValueError(f"unknown environment {name!r}: choose one of {', '.join(ENVIRONMENTS)}")


def make_environment(
    env_class: str,
    *,
    depth: str | None = "oracle",
    device: str | None = None,
    refresh: str = "free",
    latency_ms: float = 0.0,
    weights: str | None = None,
    engine: str | None = None,
    align: str | None = None,
    clock: str = "simulated",
    treatment: str = "whole",
    **options: Any,
) -> gym.Env[Any, Any]:
    """An environment whose observation holds estimated depth.

    Args:
        env_class: ``module:class`` of the plain environment.
        depth: Name of the depth source; None gives the plain environment.
        device: Latency profile or trace, by name or file; see ``make_source``.
        refresh: When the slow path starts again.
        latency_ms: Constant latency on top of the profile.
        weights: Name or folder of the networks' weights; None is the shipped ones.
        engine: What runs the networks; see ``make_source``.
        align: What brings a relative model's depth to metres, see ``runtime.make_source``.
        clock: ``simulated`` or ``wall``, see ``runtime.make_source``.
        treatment: What of the source's error and delay is kept, see ``runtime.make_source``.
        **options: Options of the plain environment.

    Raises:
        ValueError: An option is unknown; the message says what exists.
    """
    module, name = env_class.split(":")
    env: gym.Env[Any, Any] = getattr(importlib.import_module(module), name)(**options)
    if depth is None:
        return env
    from asyncmde_sim.envs.depth_wrapper import DepthWrapper
    from asyncmde_sim.runtime import make_source

    camera = env.unwrapped.robot.camera  # type: ignore[attr-defined]
    focal = camera.focal_share
    source = make_source(depth, device, refresh, latency_ms, weights, focal, engine, align, clock, treatment)
    return DepthWrapper(env, source)


def register_environments() -> None:
    """Register every environment of the project (idempotent)."""
    for name, env_class in ENVIRONMENTS.items():
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point="asyncmde_sim.envs.registration:make_environment",
                kwargs={"env_class": env_class},
            )
