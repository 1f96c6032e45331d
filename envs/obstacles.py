"""Obstacles that cross a robot's way when it comes near: they wait beside it until they are set off.

What a robot can do against them is a matter of the time between seeing and acting; see Falanga, Kim and
Scaramuzza, "How Fast Is Too Fast? The Role of Perception Latency in High-Speed Sense and Avoid" (RA-L 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.paths import Way
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import RigidMotion
from asyncmde_sim.scenes.generate.movers import mover_mesh

KIND = "panel"
"""Its width lies along its way: a robot must know early to which side it can still get out of it."""
ATTEMPTS = 12
"""Places tried for each obstacle; a course too narrow for them all gets fewer."""
SWEEP_GAP_M = 0.05
ENDS_M = (5.0, 3.0)
"""Along the way, no obstacle is nearer than this to the start and to the goal."""
TRAVEL_M = (2.0, 3.0)
"""Range of the length of a rail, whose middle lies on the way."""
NEAR_M = 1.2
"""A robot this near to the rail's plane sets the obstacle off however slow it is."""


@dataclass(frozen=True)
class Runner:
    """A panel that waits at one end of a level rail, runs to the other at constant speed, and stays there.

    It is set off when a robot, at its present velocity, would cross the rail within ``lead_s``, the time in
    which the panel comes to the middle of the rail.

    Args:
        start: World position of the panel's foot while it waits, (3,).
        heading_rad: Direction in which it runs; its face looks across.
        travel_m: Length of the rail.
        lead_s: See above.
    """

    start: NDArray[np.float64]
    heading_rad: float
    travel_m: float
    lead_s: float

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit vector (3,) in which it runs."""
        return _level(self.heading_rad)

    @property
    def speed_mps(self) -> float:
        """Its speed once it runs."""
        return self.travel_m / 2 / self.lead_s

    def at(self, since_s: float) -> Mover:
        """The panel at a time since it was set off (negative: before), with its exact velocity."""
        run_s = 2 * self.lead_s
        velocity = self.speed_mps * self.direction
        foot = self.start + min(max(since_s, 0.0), run_s) * velocity
        pose = yaw_pose(foot, self.heading_rad - math.pi / 2)
        return Mover(KIND, RigidMotion(pose, velocity * (0.0 <= since_s < run_s)))

    def is_set_off_by(self, robot: BodyState) -> bool:
        """Whether a robot is about to cross the rail."""
        along = self.direction
        across = np.array([-along[1], along[0], 0.0])
        to_rail = float((self.start - robot.position) @ across)
        closing = float(robot.velocity @ across)
        if abs(to_rail) <= NEAR_M:
            crossing = robot.position
        elif to_rail * closing > 0 and to_rail / closing <= self.lead_s:
            crossing = robot.position + to_rail / closing * robot.velocity
        else:
            return False
        return bool(0.0 <= float((crossing - self.start) @ along) <= self.travel_m)


def draw_runners(
    backend: SceneBackend, way: Way, count: int, lead_s: tuple[float, float], rng: np.random.Generator
) -> list[Runner]:
    """Up to ``count`` obstacles that cross a way, evenly spread, clear of the scene over their whole run.

    Args:
        backend: The scene.
        way: The way that they cross.
        count: How many are wanted.
        lead_s: Range of the warning that they give.
        rng: Draws places, lengths and times.
    """
    runners: list[Runner] = []
    low, high = ENDS_M[0], max(way.length - ENDS_M[1], ENDS_M[0])
    half_height = float(mover_mesh(KIND).bounds[1, 2]) / 2
    for index in range(count):
        for _ in range(ATTEMPTS):
            along = low + (high - low) * (index + rng.uniform()) / count
            direction = way.direction(along, span_m=1.0)
            side = math.pi / 2 * rng.choice([-1, 1])
            heading = math.atan2(direction[1], direction[0]) + side + rng.uniform(-0.5, 0.5)
            travel = rng.uniform(*TRAVEL_M)
            start = way.position(along) - [0.0, 0.0, half_height] - travel / 2 * _level(heading)
            runner = Runner(start, heading, travel, rng.uniform(*lead_s))
            if _run_is_clear(backend, runner):
                runners.append(runner)
                break
    return runners


def _level(heading_rad: float) -> NDArray[np.float64]:
    return np.array([math.cos(heading_rad), math.sin(heading_rad), 0.0])


def _run_is_clear(backend: SceneBackend, runner: Runner) -> bool:
    """Whether points spread over the mesh can move all the way without meeting the scene."""
    bounds = mover_mesh(KIND).bounds
    half = (bounds[1] - bounds[0]) / 2
    grid = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
    local = bounds.mean(axis=0) + grid * (half + SWEEP_GAP_M)
    pose = runner.at(0.0).motion.pose
    points = local @ pose[:3, :3].T + pose[:3, 3]
    ranges = backend.range_along(points, np.broadcast_to(runner.direction, points.shape))
    if (ranges < runner.travel_m).any():
        return False
    middles = points[len(grid) // 2] + np.linspace(0, runner.travel_m, 9)[:, None] * runner.direction
    radius = float(min(half[0], half[1]))
    return bool((backend.clearance(middles, RobotBody(radius, flies=True)) > SWEEP_GAP_M).all())
