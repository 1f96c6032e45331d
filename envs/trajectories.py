"""Open-loop trajectories for recording: where the camera of a robot goes, without an agent or a goal.

Each is a function of backend, robot and random generator and gives one ``RigidMotion`` of the camera per
frame, ``robot.control_dt_ns`` apart. The body never touches the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.measure import sweep_rays
from asyncmde_sim.envs.paths import Way, geodesic_path, smooth_path
from asyncmde_sim.envs.quadrotor import Disturbance, DisturbanceParameters, Quadrotor
from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.envs.rover import advance_rover
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.backend import SceneBackend
from asyncmde_sim.scenes.camera import RigidMotion

ATTEMPTS = 40
"""Starts over after a touch; each attempt has its own start."""

Command = NDArray[np.float64]
Body = Callable[[Command], BodyState]
"""Moves a body one control step under a command (fractions of its limits) and gives its new state."""


@dataclass(frozen=True)
class Style:
    """How a random trajectory moves.

    Args:
        speed: Range of commanded forward speeds, fractions of the top speed.
        turn: Largest commanded yaw rate, fraction of the top rate.
        hold_s: Range of times for which a command is held.
        disturbance: Gusts and kicks of a flying robot.
    """

    speed: tuple[float, float]
    turn: float
    hold_s: tuple[float, float]
    disturbance: DisturbanceParameters


SMOOTH = Style((0.1, 0.8), 0.5, (0.4, 1.5), DisturbanceParameters(gust_mps=0.5, kicks_per_s=0.0))
AGGRESSIVE = Style((0.3, 1.0), 1.0, (0.15, 0.7), DisturbanceParameters())


def smooth_random(
    backend: SceneBackend, robot: RobotSpec, rng: np.random.Generator, num_frames: int
) -> list[RigidMotion]:
    """Wander at moderate speed with gentle turns.

    Raises:
        ValueError: ``num_frames`` is not positive or the scene has no room to move.
    """
    return _wander(backend, robot, rng, num_frames, SMOOTH)


def aggressive(
    backend: SceneBackend, robot: RobotSpec, rng: np.random.Generator, num_frames: int
) -> list[RigidMotion]:
    """Wander up to the robot's limits with abrupt commands; a flying robot is gusted and kicked.

    Raises:
        ValueError: ``num_frames`` is not positive or the scene has no room to move.
    """
    return _wander(backend, robot, rng, num_frames, AGGRESSIVE)


def expert(
    backend: SceneBackend, robot: RobotSpec, rng: np.random.Generator, num_frames: int
) -> list[RigidMotion]:
    """Follow shortest paths between random places, slowing down at bends and near obstacles.

    Raises:
        ValueError: ``num_frames`` is not positive or the scene has no room to move.
    """
    body = robot.body
    for _ in _attempts(backend, num_frames):
        start = backend.sample_free(rng, body, 1)[0]
        move, state = _body(robot, start, rng.uniform(-math.pi, math.pi), None)
        way, along, states = None, 0.0, [state]
        while len(states) < num_frames:
            if way is None or way.length - along < 0.5:
                way, along = _way_onward(backend, robot, state.position, rng), 0.0
                if way is None:
                    break
            along = _progress(way, along, state.position)
            state = move(_follow(backend, robot, state, way, along))
            states.append(state)
        if len(states) == num_frames and _free(backend, robot, states):
            return [s.camera_motion(robot.T_body_camera) for s in states]
    raise _no_room(backend, robot)


def _wander(
    backend: SceneBackend, robot: RobotSpec, rng: np.random.Generator, num_frames: int, style: Style
) -> list[RigidMotion]:
    dt_s = robot.control_dt_ns * 1e-9
    for _ in _attempts(backend, num_frames):
        start = backend.sample_free(rng, robot.body, 1)[0]
        disturbance = Disturbance(style.disturbance, rng) if robot.body.flies else None
        move, state = _body(robot, start, rng.uniform(-math.pi, math.pi), disturbance)
        states, held_s, command = [state], 0.0, _draw(robot, rng, style)
        while len(states) < num_frames:
            held_s -= dt_s
            if held_s <= 0:
                command, held_s = _draw(robot, rng, style), rng.uniform(*style.hold_s)
            if not _can_stop(backend, robot, state, command):
                command = _evade(backend, robot, rng, state, command, style)
                held_s = rng.uniform(0.4, 1.2)
            state = move(command)
            states.append(state)
        if _free(backend, robot, states):
            return [s.camera_motion(robot.T_body_camera) for s in states]
    raise _no_room(backend, robot)


def _attempts(backend: SceneBackend, num_frames: int) -> range:
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}, but a trajectory has at least 1 frame")
    return range(ATTEMPTS)


def _no_room(backend: SceneBackend, robot: RobotSpec) -> ValueError:
    return ValueError(
        f"scene {backend.name!r} has no room for a {robot.name} to move freely: use a larger scene or fewer "
        "frames"
    )


def _body(
    robot: RobotSpec, start: NDArray[np.float64], yaw: float, disturbance: Disturbance | None
) -> tuple[Body, BodyState]:
    dt_s = robot.control_dt_ns * 1e-9
    state = BodyState(yaw_pose(start, yaw))
    if not robot.body.flies:

        def drive(command: Command) -> BodyState:
            nonlocal state
            state = advance_rover(state, command, robot, dt_s)
            return state

        return drive, state

    quad = Quadrotor(start, yaw)
    limits = np.array([*[robot.max_speed_mps] * 3, robot.max_yaw_rate_radps])

    def fly(command: Command) -> BodyState:
        wind, push = (np.zeros(3), np.zeros(3)) if disturbance is None else disturbance.step(dt_s)
        quad.step(command * limits, dt_s, wind, push)
        motion = quad.motion
        return BodyState(motion.pose, motion.linear_velocity, motion.angular_velocity)

    return fly, state


def _draw(robot: RobotSpec, rng: np.random.Generator, style: Style) -> Command:
    speed = rng.uniform(*style.speed)
    turn = style.turn * rng.uniform(-1.0, 1.0)
    if not robot.body.flies:
        return np.array([speed, turn])
    aside, climb = rng.normal(0.0, 0.3), rng.normal(0.0, 0.15)
    direction = np.array([1.0, aside, climb]) / math.sqrt(1 + aside**2 + climb**2)
    return np.array([*speed * direction, turn])


def _evade(
    backend: SceneBackend,
    robot: RobotSpec,
    rng: np.random.Generator,
    state: BodyState,
    command: Command,
    style: Style,
) -> Command:
    """Another command that is safe, or else to stop; the sense of turning stays."""
    for _ in range(4):
        other = _draw(robot, rng, style)
        other[-1] = math.copysign(other[-1], command[-1])
        if _can_stop(backend, robot, state, other):
            return other
    turn = math.copysign(rng.uniform(0.4, 0.8), command[-1])
    return np.array([*[0.0] * (len(command) - 1), turn])


def _can_stop(backend: SceneBackend, robot: RobotSpec, state: BodyState, command: Command) -> bool:
    """Whether the way ahead is free over the stopping distance, along the velocity and as commanded."""
    wanted = np.zeros(3)
    wanted[: len(command) - 1] = command[:-1] * robot.max_speed_mps
    c, s = math.cos(state.yaw), math.sin(state.yaw)
    wanted = np.array([c * wanted[0] - s * wanted[1], s * wanted[0] + c * wanted[1], wanted[2]])
    reaction_s, margin = (0.35, 0.25) if robot.body.flies else (0.1, 0.12)
    for velocity in (state.velocity, wanted):
        speed = float(np.linalg.norm(velocity))
        if speed < 0.05:
            continue
        origins, directions, inside = sweep_rays(state, robot.body, velocity)
        gap = float((backend.range_along(origins, directions) - inside).min())
        if gap < speed * reaction_s + speed**2 / (2 * 0.7 * robot.max_accel_mps2) + margin:
            return False
    return True


def _free(backend: SceneBackend, robot: RobotSpec, states: list[BodyState]) -> bool:
    points = np.array([s.position for s in states])
    return bool((backend.clearance(points, robot.body) > 0).all())


def _way_onward(
    backend: SceneBackend, robot: RobotSpec, here: NDArray[np.float64], rng: np.random.Generator
) -> Way | None:
    goal = backend.sample_free(rng, robot.body, 1)[0]
    field = backend.distance_field(goal, robot.body)
    step_m = 0.3 if robot.body.flies else 0.15
    path = geodesic_path(field, here, goal, robot.body.flies, step_m)
    if path is None or len(path) < 4:
        return None
    smooth = smooth_path(path, backend, robot.body)
    return None if smooth is None else Way(smooth)


def _progress(way: Way, along: float, position: NDArray[np.float64]) -> float:
    candidates = along + np.linspace(0.0, 1.0, 21)
    ranges = np.linalg.norm(way.position(candidates) - position, axis=1)
    return float(min(candidates[int(np.argmin(ranges))], way.length))


def _follow(backend: SceneBackend, robot: RobotSpec, state: BodyState, way: Way, along: float) -> Command:
    """Pure pursuit: towards a point ahead on the way, slower where it bends or is narrow."""
    room = float(backend.clearance(state.position[None], robot.body)[0])
    cautious = min(1.0, 0.25 + room)
    ahead = 0.35 + 0.25 * float(np.linalg.norm(state.velocity))
    offset = way.position(along + ahead) - state.position
    bearing = math.atan2(offset[1], offset[0]) - state.yaw
    bearing = (bearing + math.pi) % (2 * math.pi) - math.pi
    turn = min(max(3.0 * bearing / robot.max_yaw_rate_radps, -1.0), 1.0)
    if not robot.body.flies:
        return np.array([0.9 * cautious * max(math.cos(bearing), 0.0) ** 2, turn])
    bend = float(way.direction(along) @ way.direction(along + 1.0))
    speed = 0.6 * cautious * max(bend, 0.3)
    direction = offset / max(float(np.linalg.norm(offset)), 1e-9)
    level = math.hypot(direction[0], direction[1])
    return np.array(
        [speed * level * math.cos(bearing), speed * level * math.sin(bearing), speed * direction[2], turn]
    )
