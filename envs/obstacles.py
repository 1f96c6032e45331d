"""Obstacles that move by a law of time: bags that swing from a pivot and panels that slide to and fro."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.envs.paths import Way
from asyncmde_sim.envs.quadrotor import GRAVITY_MPS2
from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import RigidMotion
from asyncmde_sim.scenes.generate.movers import mover_mesh

SWING_KINDS = ("bag", "ball")
SLIDE_KIND = "panel"
ATTEMPTS = 12
"""Places tried for each obstacle; a course too narrow for them all gets fewer."""
SWEEP_GAP_M = 0.05
ENDS_M = (3.0, 2.0)
"""Along the way, no obstacle is nearer than this to the start and to the goal."""


@dataclass(frozen=True)
class Swing:
    """A mesh that hangs from a pivot and swings in a vertical plane, as a small-angle pendulum.

    Args:
        kind: Kind of its mesh, whose foot hangs ``length_m`` below the pivot.
        pivot: World position of the pivot, (3,).
        heading_rad: Direction in which it swings.
        length_m: Distance from the pivot to the mesh's foot.
        amplitude_rad: Largest angle from the vertical.
        phase_rad: Phase at time 0.
        haste: Factor on the natural frequency; above 1 it is driven.
    """

    kind: str
    pivot: NDArray[np.float64]
    heading_rad: float
    length_m: float
    amplitude_rad: float
    phase_rad: float
    haste: float = 1.0

    @property
    def frequency_radps(self) -> float:
        """Angular frequency of the swing."""
        return self.haste * math.sqrt(GRAVITY_MPS2 / self.length_m)

    def at(self, time_s: float) -> Mover:
        """The mesh at a time, with its exact velocity."""
        phase = self.frequency_radps * time_s + self.phase_rad
        angle = self.amplitude_rad * math.sin(phase)
        rate = self.amplitude_rad * self.frequency_radps * math.cos(phase)
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("ZY", [self.heading_rad, angle]).as_matrix()
        pose[:3, 3] = self.pivot + pose[:3, :3] @ [0.0, 0.0, -self.length_m]
        velocity = pose[:3, :3] @ [-rate * self.length_m, 0.0, 0.0]
        return Mover(self.kind, RigidMotion(pose, velocity, np.array([0.0, rate, 0.0])))


@dataclass(frozen=True)
class Slide:
    """A mesh that slides to and fro along a straight line, harmonically.

    Args:
        kind: Kind of its mesh.
        centre: World position of its foot in the middle of the line, (3,).
        heading_rad: Direction of the line, and of the mesh's y axis (its face looks across the line).
        travel_m: Largest distance from the middle.
        period_s: Time there and back.
        phase_rad: Phase at time 0.
    """

    kind: str
    centre: NDArray[np.float64]
    heading_rad: float
    travel_m: float
    period_s: float
    phase_rad: float

    @property
    def frequency_radps(self) -> float:
        """Angular frequency of the motion."""
        return 2 * math.pi / self.period_s

    def at(self, time_s: float) -> Mover:
        """The mesh at a time, with its exact velocity."""
        frequency = self.frequency_radps
        phase = frequency * time_s + self.phase_rad
        along = np.array([math.cos(self.heading_rad), math.sin(self.heading_rad), 0.0])
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("z", self.heading_rad - math.pi / 2).as_matrix()
        pose[:3, 3] = self.centre + self.travel_m * math.sin(phase) * along
        return Mover(self.kind, RigidMotion(pose, self.travel_m * frequency * math.cos(phase) * along))


Obstacle = Swing | Slide


def draw_obstacles(
    backend: SceneBackend, way: Way, count: int, speed_mps: tuple[float, float], rng: np.random.Generator
) -> list[Obstacle]:
    """Up to ``count`` obstacles that cross a way, evenly spread, clear of the scene over their whole sweep.

    Args:
        backend: The scene.
        way: The way that they cross.
        count: How many are wanted.
        speed_mps: Range of their top speeds.
        rng: Draws kinds, places, speeds and phases.
    """
    obstacles: list[Obstacle] = []
    low, high = ENDS_M[0], max(way.length - ENDS_M[1], ENDS_M[0])
    for index in range(count):
        make: Callable[..., Obstacle] = _swing if rng.random() < 0.6 else _slide
        for _ in range(ATTEMPTS):
            along = low + (high - low) * (index + rng.uniform()) / count
            direction = way.direction(along, span_m=1.0)
            heading = math.atan2(direction[1], direction[0]) + math.pi / 2 + rng.uniform(-0.5, 0.5)
            obstacle = make(backend, way.position(along), heading, rng.uniform(*speed_mps), rng)
            if _sweep_is_clear(backend, obstacle):
                obstacles.append(obstacle)
                break
    return obstacles


def _swing(
    backend: SceneBackend, middle: NDArray[np.float64], heading: float, speed: float, rng: np.random.Generator
) -> Swing:
    """A bag or ball that passes through ``middle``, hanging from the ceiling or from 2.5 m above."""
    kind = SWING_KINDS[int(rng.integers(len(SWING_KINDS)))]
    height = float(mover_mesh(kind).bounds[1, 2])
    ceiling = float(backend.range_along(middle[None], np.array([[0.0, 0.0, 1.0]]))[0])
    rise = max(min(ceiling, 2.5), height)
    length = rise + height / 2
    amplitude = rng.uniform(0.5, 0.8)
    natural = amplitude * math.sqrt(GRAVITY_MPS2 * length)
    phase = rng.uniform(0, 2 * math.pi)
    pivot = middle + np.array([0.0, 0.0, rise])
    return Swing(kind, pivot, heading, length, amplitude, phase, speed / natural)


def _slide(
    backend: SceneBackend, middle: NDArray[np.float64], heading: float, speed: float, rng: np.random.Generator
) -> Slide:
    """A panel whose middle passes through ``middle``."""
    height = float(mover_mesh(SLIDE_KIND).bounds[1, 2])
    travel = rng.uniform(0.8, 1.5)
    phase = rng.uniform(0, 2 * math.pi)
    centre = middle - np.array([0.0, 0.0, height / 2])
    return Slide(SLIDE_KIND, centre, heading, travel, 2 * math.pi * travel / speed, phase)


def _sweep_is_clear(backend: SceneBackend, obstacle: Obstacle) -> bool:
    """Whether points spread over the mesh can move all the way without meeting the scene."""
    bounds = mover_mesh(obstacle.kind).bounds
    half = (bounds[1] - bounds[0]) / 2
    grid = np.array([[a, b, c] for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)])
    local = bounds.mean(axis=0) + grid * (half + SWEEP_GAP_M)
    period = 2 * math.pi / obstacle.frequency_radps
    poses = [obstacle.at(period * k / 16).motion.pose for k in range(17)]
    points = np.array([local @ pose[:3, :3].T + pose[:3, 3] for pose in poses])
    steps = np.diff(points, axis=0).reshape(-1, 3)
    lengths = np.linalg.norm(steps, axis=1)
    ranges = backend.range_along(points[:-1].reshape(-1, 3), steps / np.maximum(lengths, 1e-9)[:, None])
    if (ranges < lengths).any():
        return False
    middles = points[::4, len(grid) // 2]
    radius = float(min(half[0], half[1]))
    return bool((backend.clearance(middles, RobotBody(radius, flies=True)) > SWEEP_GAP_M).all())
