"""Obstacle avoidance of a flying robot on depth alone."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from asyncmde_sim.agents.base import STALE_S
from asyncmde_sim.agents.flight_map import CourseMap
from asyncmde_sim.agents.flight_memory import CameraState, SpaceMemory, View
from asyncmde_sim.agents.flight_plan import STEP_S, fan, free_reach, predict
from asyncmde_sim.envs.robots import RobotSpec

Array = NDArray[np.float64]

GRAVITY_MPS2 = 9.81
SPEED_UP_MPS = 1.2
"""A command ahead is at most this much faster than the flight: leaning far forward, it sees only floor."""
SINK_MPS = 2.0
"""It sinks no faster: it does not see what is below, and a tilted robot cannot stop its fall."""
RANGE_M = 8.0
"""Obstacles beyond this do not matter to the next second of flight."""
SPEEDS = np.array([1.0, 0.65, 0.3])
"""Candidate speeds as fractions of the top speed."""
CLEAR_M = 0.75
"""Obstacles farther than this from a flight do not matter to it."""
CLOSE_M, CLOSE_COST = 0.6, 0.5
"""A flight nearer than this to an obstacle costs up to so many metres of progress."""
NEAR_M = 0.4
"""Space this near counts as seen: the body has nearly filled it."""
HISTORY_S = 3.0
ROUTE_INTERVAL = 15
"""Plans between two updates of the way to the goal."""
PLAN_INTERVAL_S = 0.03
"""It looks and plans again after this time: at every second step of 60 Hz."""
BATCH = 24
"""Candidates are checked in order of their wish, this many at a time, until none can do better."""
CARRY_S = 0.8
"""Moving points are carried on at their velocity for at most this long."""
TRAIL_STEPS = 8
"""What follows a moving point fills the way of at most this many planning steps behind it."""
SWERVE_MPS2 = 2.0
"""They may accelerate this much, so where they will be becomes uncertain ..."""
MAX_BLUR_M = 0.3
"""... up to this."""


class Choice(NamedTuple):
    """The best candidate so far, None if there is none, and its score."""

    candidate: int | None = None
    score: float = -math.inf

    def or_better(self, candidates: NDArray[np.intp], scores: Array) -> Choice:
        """This one, or the best of ``candidates`` (N,) if its score is higher."""
        top = int(np.argmax(scores))
        return Choice(int(candidates[top]), float(scores[top])) if scores[top] > self.score else self


class FlightAvoidAgent:
    """Flies to the goal through what it has seen to be free, and always able to stop there.

    Every estimate is placed at the odometry of its capture time. Candidate velocity commands are rolled out
    (fly, then brake); a candidate counts if its whole flight stays clear of every remembered obstacle point
    and in space that was seen free. The older the content, the wider the margin and the longer the
    assumed reaction, so old depth makes it slow. Without an estimate, or with one older than
    ``base.STALE_S``, it hovers.

    Args:
        robot: The flying robot.
        margin_m: Wanted distance between the body's surface and any obstacle point.
    """

    def __init__(self, robot: RobotSpec, margin_m: float = 0.15) -> None:
        if not robot.body.flies:
            raise ValueError(f"robot {robot.name!r} does not fly: use the agent 'avoid' for ground robots")
        self.robot = robot
        self.margin_m = margin_m
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget everything; the agent draws nothing, so ``seed`` changes nothing."""
        self._memory = SpaceMemory()
        self._history: deque[CameraState] = deque()
        self._map: CourseMap | None = None
        self._plans = 0
        self._last = np.zeros(3)
        self._gaze: Array | None = None
        self._planned_s: float | None = None

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """The next action (4,) in [-1, 1]; see ``ExtremeMotion-v0`` for its meaning."""
        time_s = float(observation["time"][0])
        odometry = observation["odometry"].astype(np.float64)
        position, rotation = odometry[:3], Rotation.from_quat(odometry[[4, 5, 6, 3]]).as_matrix()
        velocity = rotation @ observation["velocity"].astype(np.float64)
        goal = position + rotation @ observation["goal"].astype(np.float64)
        self._remember(time_s, position, rotation, velocity, observation["gyro"].astype(np.float64))
        age = float(observation["depth_age"][0])
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
        if self._planned_s is not None and time_s - self._planned_s < PLAN_INTERVAL_S:
            return self._action(self._last, yaw)
        if int(observation["has_depth"]):
            self._look(observation["depth"], time_s - age)
        if self._memory.newest is None or age > STALE_S:
            self._last = np.zeros(3)
            return self._action(self._last, yaw)
        self._planned_s = time_s
        lean = rotation[:2, 2] / max(rotation[2, 2], 0.3)
        accel = np.array([*(GRAVITY_MPS2 * lean), 0.0])
        self._last, self._gaze = self._plan(position, velocity, accel, goal, age, yaw)
        return self._action(self._last, yaw)

    def _remember(
        self, time_s: float, position: Array, rotation: Array, velocity: Array, gyro: Array
    ) -> None:
        mount = self.robot.T_body_camera
        lever = rotation @ np.cross(gyro, mount[:3, 3])
        self._history.append(
            CameraState(
                time_s=time_s,
                rotation=rotation @ mount[:3, :3],
                position=position + rotation @ mount[:3, 3],
                velocity=velocity + lever,
                rate=mount[:3, :3].T @ gyro,
            )
        )
        while time_s - self._history[0].time_s > HISTORY_S:
            self._history.popleft()

    def _look(self, depth: NDArray[np.float32], capture_s: float) -> None:
        """Take a new estimate into the memory, at the state in which its frame was captured."""
        state = min(self._history, key=lambda s: abs(s.time_s - capture_s))
        newest = self._memory.newest
        if newest is None or state.time_s > newest.state.time_s:
            self._memory.add(View.of_depth(depth, self.robot.camera, state, RANGE_M))

    def _plan(
        self, position: Array, velocity: Array, accel: Array, goal: Array, age_s: float, yaw: float
    ) -> tuple[Array, Array]:
        """The velocity command (3,) and the direction (3,) to look in, in the odometry frame."""
        robot = self.robot
        to_goal = goal - position
        distance = float(np.linalg.norm(to_goal))
        top = min(robot.max_speed_mps, 0.5 + 1.5 * distance)
        course = self._charted(position, goal)
        directions = fan(course.direction(position, min(2.0, distance)))
        kept = [v / np.linalg.norm(v) for v in (to_goal, self._last) if v.any()]
        directions = np.concatenate([directions, kept])
        wanted = (top * SPEEDS[:, None, None] * directions).reshape(-1, 3)
        wanted = np.concatenate([wanted, np.zeros((1, 3))])
        commands = _gentle(wanted, velocity, np.array([math.cos(yaw), math.sin(yaw), 0.0]))
        brake = 0.7 * robot.max_accel_mps2
        flights = predict(commands, position, velocity, accel, 0.2 + 0.5 * min(age_s, 0.5), brake)
        radius = robot.body.radius_m
        margin = self.margin_m + min(0.3 * age_s, 0.2)
        points = self._memory.points
        points = points[np.abs(points - position).max(1) < RANGE_M]

        reach = free_reach(directions, position, points, radius + margin, min(RANGE_M, distance))
        here = float(course.to_go(position[None])[0])
        ahead = here - course.to_go(position + directions * reach[:, None])
        gain = here - course.to_go(flights[-1])
        turn = np.linalg.norm(commands - self._last, axis=1) / robot.max_speed_mps
        wish = gain + 0.4 * np.append(np.tile(ahead, len(SPEEDS)), 0.0) - 0.5 * turn
        ghosts = self._ghosts(position, age_s)
        floor_m = course.floor_m

        tree = cKDTree(points, balanced_tree=False, compact_nodes=False) if len(points) else None
        order = np.argsort(-wish, kind="stable")
        best, look, fallback = Choice(), Choice(), Choice()
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            if wish[batch[0]] <= best.score:
                break
            flown = flights[:, batch]
            clear = np.minimum(
                self._clearance(flown, tree), self._moving_clearance(flown - position, ghosts, age_s)
            )
            clear = np.minimum(clear, flown[..., 2] - floor_m)
            clear -= radius
            worst = clear.min(0)
            score = wish[batch] - CLOSE_COST * np.maximum(0.0, 1 - worst / CLOSE_M)
            safe = worst > margin
            seen = self._seen(flown, position)
            look = look.or_better(batch, np.where(safe, score, -np.inf))
            best = best.or_better(batch, np.where(safe & seen.all(0), score, -np.inf))
            if best.candidate is None:
                # Nothing is both safe and known: as long as possible free, then known, best by braking.
                until = 2 * _steps_until(clear < 0.0) + _steps_until(~seen)
                slow = 1 - np.linalg.norm(commands[batch], axis=1) / robot.max_speed_mps
                room = np.clip(worst / margin, -1.0, 1.0)
                fallback = fallback.or_better(batch, until + 2.0 * room + slow)
        chosen = commands[fallback.candidate if best.candidate is None else best.candidate]
        if look.candidate is None or not wanted[look.candidate].any():
            return chosen, to_goal
        return chosen, wanted[look.candidate]

    def _charted(self, position: Array, goal: Array) -> CourseMap:
        """The map, brought up to date now and then."""
        if self._map is None:
            self._map = CourseMap(position, goal)
        if self._plans % 3 == 0 and self._memory.newest is not None:
            self._map.add(self._memory.newest, self._memory.spread)
        if self._plans % ROUTE_INTERVAL == 0:
            self._map.refresh()
        self._plans += 1
        return self._map

    def _clearance(self, flights: Array, tree: cKDTree | None) -> Array:
        """Distance (S, N) from each predicted position to the nearest point, at most ``CLEAR_M``."""
        if tree is None:
            return np.full(flights.shape[:2], CLEAR_M)
        found, _ = tree.query(flights.reshape(-1, 3), distance_upper_bound=CLEAR_M)
        return np.minimum(found, CLEAR_M).reshape(flights.shape[:2])

    def _moving_clearance(self, flights: Array, ghosts: tuple[Array, Array], age_s: float) -> Array:
        """The same to the space that moving points will have swept by then, blurred with time."""
        points, arrival_s = ghosts
        if not len(points):
            return np.full(flights.shape[:2], CLEAR_M)
        flat = flights.reshape(-1, 3)
        squared = (
            np.einsum("ij,ij->i", flat, flat)[:, None]
            + np.einsum("ij,ij->i", points, points)[None]
            - 2 * flat @ points.T
        ).reshape(*flights.shape[:2], -1)
        times = STEP_S * np.arange(1, len(flights) + 1)
        squared += np.where(arrival_s[None] > times[:, None] + STEP_S / 2, np.inf, 0.0)[:, None]
        blur = np.minimum(SWERVE_MPS2 / 2 * (age_s + times) ** 2, MAX_BLUR_M)
        return np.minimum(np.sqrt(np.maximum(squared.min(2), 0.0)) - blur[:, None], CLEAR_M)

    def _ghosts(self, position: Array, age_s: float) -> tuple[Array, Array]:
        """Where the moving points will be (N, 3), relative to ``position``, and how soon (N,), seconds.

        Only the front of a thing is seen to move. What follows it fills the way that the front has come since
        it was last seen, so that way is taken, too.
        """
        points, velocity = self._memory.moving
        near = np.flatnonzero(np.linalg.norm(points - position, axis=1) < RANGE_M)
        near = near[:: max(1, len(near) // 60)]
        ahead_s = STEP_S * np.arange(-TRAIL_STEPS, math.ceil((age_s + CARRY_S) / STEP_S))
        paths = points[near] + ahead_s[:, None, None] * velocity[near] - position
        arrival_s = np.broadcast_to((ahead_s - age_s)[:, None], paths.shape[:2])
        taken = ahead_s[:, None] >= -self._memory.moving_unseen_s[near]
        return paths[taken], arrival_s[taken]

    def _seen(self, flights: Array, position: Array) -> NDArray[np.bool_]:
        """Whether each predicted position (S, N) has been seen free."""
        flat = flights.reshape(-1, 3)
        assert self._map is not None and self._memory.newest is not None
        seen = self._map.seen_free(flat) | self._memory.newest.sees_free(flat)
        near = np.linalg.norm(flights - position, axis=2) < NEAR_M
        return seen.reshape(flights.shape[:2]) | near

    def _action(self, command: Array, yaw: float) -> NDArray[np.float32]:
        """The action for a velocity command in the odometry frame, turning towards the gaze."""
        c, s = math.cos(yaw), math.sin(yaw)
        error = 0.0
        if self._gaze is not None:
            error = math.remainder(math.atan2(self._gaze[1], self._gaze[0]) - yaw, 2 * math.pi)
        level = np.array([c * command[0] + s * command[1], c * command[1] - s * command[0], command[2]])
        turn = 4.0 * error / self.robot.max_yaw_rate_radps
        return np.clip([*(level / self.robot.max_speed_mps), turn], -1.0, 1.0).astype(np.float32)


def _gentle(commands: Array, velocity: Array, heading: Array) -> Array:
    """Velocity commands (N, 3) that let it see where it flies: it speeds up ahead and sinks only so fast."""
    speed_up = np.maximum(0.0, (commands - velocity) @ heading - SPEED_UP_MPS)
    commands = commands - speed_up[:, None] * heading
    return np.maximum(commands, (-np.inf, -np.inf, -SINK_MPS))


def _steps_until(bad: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Steps (N,) before the first of ``bad`` (S, N), S where there is none."""
    return np.where(bad.any(0), bad.argmax(0), len(bad))
