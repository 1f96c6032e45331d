"""Agents that steer the robots."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium as gym

from asyncmde_sim.agents.base import Agent
from asyncmde_sim.agents.learned.folders import is_policy, shipped_policies
from asyncmde_sim.envs.robots import RobotSpec

AGENTS: dict[str, dict[bool, str]] = {
    "avoid": {
        False: "asyncmde_sim.agents.rover_avoid:RoverAvoidAgent",
        True: "asyncmde_sim.agents.flight_avoid:FlightAvoidAgent",
    },
    "straight": dict.fromkeys((False, True), "asyncmde_sim.agents.straight:StraightAgent"),
    "plan": {False: "asyncmde_sim.agents.plan:PlanAgent"},
    "explore": {False: "asyncmde_sim.agents.explore:ExploreAgent"},
}
"""Every agent's name, and its class for a robot that flies and one that does not."""

GOALLESS = ("explore",)
"""Agents that need no goal."""


def make_agent(name: str, robot: RobotSpec) -> Agent:
    """The agent of this name for a robot.

    Raises:
        ValueError: There is no such agent, or not for this robot; the message lists all that there are.
    """
    if name not in AGENTS:
        raise ValueError(
            f"unknown agent {name!r}: choose one of {', '.join(sorted((*AGENTS, *shipped_policies())))}, or "
            "the folder of a policy that scripts/train_agent.py wrote"
        )
    if robot.body.flies not in AGENTS[name]:
        able = [other for other, classes in AGENTS.items() if robot.body.flies in classes]
        raise ValueError(
            f"agent {name!r} cannot steer the robot {robot.name!r}: choose one of {', '.join(sorted(able))}"
        )
    module, class_name = AGENTS[name][robot.body.flies].split(":")
    return getattr(importlib.import_module(module), class_name)(robot)


def agent_for(env: gym.Env[Any, Any], name: str | None = None) -> Agent:
    """The agent of this name for an environment, or the policy of this folder; by default its usual agent.

    Raises:
        ValueError: There is no such agent, or not for this environment; the message says what there is.
    """
    name = name or usual_agent(env)
    if name not in AGENTS and (name in shipped_policies() or is_policy(name)):
        from asyncmde_sim.agents.learned.agent import LearnedAgent  # the written agents need no torch

        return LearnedAgent.load(name, env)
    agent = make_agent(name, env.unwrapped.robot)  # type: ignore[attr-defined]
    if name not in GOALLESS and not _has_goal(env):
        raise ValueError(
            f"agent {name!r} needs a goal, but the environment has none: choose {', '.join(GOALLESS)}"
        )
    return agent


def usual_agent(env: gym.Env[Any, Any]) -> str:
    """``avoid``, or ``explore`` where there is no goal."""
    return "avoid" if _has_goal(env) else "explore"


def _has_goal(env: gym.Env[Any, Any]) -> bool:
    return "goal" in env.observation_space.spaces  # type: ignore[attr-defined]


__all__ = ["AGENTS", "Agent", "agent_for", "make_agent", "usual_agent"]
