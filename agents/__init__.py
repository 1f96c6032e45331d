"""Agents that steer the robots."""

from __future__ import annotations

import importlib

from asyncmde_sim.agents.base import Agent
from asyncmde_sim.envs.robots import RobotSpec

AGENTS: dict[str, dict[bool, str]] = {
    "avoid": {
        False: "asyncmde_sim.agents.rover_avoid:RoverAvoidAgent",
        True: "asyncmde_sim.agents.flight_avoid:FlightAvoidAgent",
    },
    "straight": dict.fromkeys((False, True), "asyncmde_sim.agents.straight:StraightAgent"),
}
"""Every agent's name, and its class for a robot that flies and one that does not."""


def make_agent(name: str, robot: RobotSpec) -> Agent:
    """The agent of this name for a robot.

    Raises:
        ValueError: There is no such agent; the message lists all.
    """
    if name not in AGENTS:
        raise ValueError(f"unknown agent {name!r}: choose one of {', '.join(sorted(AGENTS))}")
    module, class_name = AGENTS[name][robot.body.flies].split(":")
    return getattr(importlib.import_module(module), class_name)(robot)


__all__ = ["AGENTS", "Agent", "make_agent"]
