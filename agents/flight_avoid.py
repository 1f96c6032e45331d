"""Obstacle avoidance of a flying robot on depth alone."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from asyncmde_sim.agents.flight_memory import CameraState, SpaceMemory, View
from asyncmde_sim.agents.flight_plan import fan, free_reach, predict
from asyncmde_sim.envs.robots import RobotSpec

Array = NDArray[np.float64]

GRAVITY_MPS2 = 9.81
RANGE_M = 8.0
"""Obstacles beyond this do not matter to the next second of flight."""
SPEEDS = np.array([1.0, 0.65, 0.3])
"""Candidate speeds as fractions of the top speed."""
CLEAR_M = 0.75
"""Obstacles farther than this from a flight do not matter to it."""
HISTORY_S = 3.0


class FlightAvoidAgent:
    """Flies to the goal through what it has seen to be free, and always able to stop there.

    Every estimate is placed at the odometry of its capture time. Candidate velocity commands are rolled out
    (fly, then brake); a candidate counts if its whole flight stays clear of every remembered obstacle point
    and inside a remembered free frustum. The older the content, the wider the margin and the longer the
    assumed reaction, so old depth makes it slow. Without an estimate it hovers.

    Args:
        robot: The flying robot.
        margin_m: Wanted distance between the body's surface and any obstacle point.
        avoids: False ignores every obstacle (a control for experiments).
    """

    def __init__(self, robot: RobotSpec, margin_m: float = 0.15, avoids: bool = True) -> None:
        if not robot.body.flies:
            raise ValueError(f"robot {robot.name!r} does not fly: use the agent 'avoid' for ground robots")
        self.robot = robot
        self.margin_m = margin_m
        self.avoids = avoids
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget everything; the agent draws nothing, so ``seed`` changes nothing."""
        self._memory = SpaceMemory()
        self._history: deque[CameraState] = deque()
        self._flown: deque[Array] = deque(maxlen=60)
        self._last = np.zeros(3)

    def act(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        """The next action (4,) in [-1, 1]; see ``ExtremeMotion-v0`` for its meaning."""
        time_s = float(observation["time"][0])
        odometry = observation["odometry"].astype(np.float64)
        position, rotation = odometry[:3], Rotation.from_quat(odometry[[4, 5, 6, 3]]).as_matrix()
        velocity = rotation @ observation["velocity"].astype(np.float64)
        goal = position + rotation @ observation["goal"].astype(np.float64)
        self._remember(time_s, position, rotation, velocity, observation["gyro"].astype(np.float64))
        age = float(observation["content_age"][0])
        if int(observation["has_depth"]):
            self._look(observation["depth"], time_s - age)
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
        if self._memory.newest is None:
            self._last = np.zeros(3)
            return self._action(np.zeros(3), 0.0, yaw)
        lean = rotation[:2, 2] / max(rotation[2, 2], 0.3)
        accel = np.array([*(GRAVITY_MPS2 * lean), 0.0])
        command, look = self._plan(position, velocity, accel, goal, age)
        self._last = command
        return self._action(command, math.atan2(look[1], look[0]) - yaw, yaw)

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
        self._flown.append(position)

    def _look(self, depth: NDArray[np.float32], capture_s: float) -> None:
        """Take a new estimate into the memory, at the state in which its frame was captured."""
        state = min(self._history, key=lambda s: abs(s.time_s - capture_s))
        newest = self._memory.newest
        if newest is None or state.time_s > newest.state.time_s:
            self._memory.add(View.of_depth(depth, self.robot.camera, state, RANGE_M))

    def _plan(
        self, position: Array, velocity: Array, accel: Array, goal: Array, age_s: float
    ) -> tuple[Array, Array]:
        """The velocity command (3,) and the direction (3,) to look in, in the odometry frame."""
        robot = self.robot
        to_goal = goal - position
        distance = float(np.linalg.norm(to_goal))
        directions = fan(to_goal)
        top = min(robot.max_speed_mps, 0.5 + 1.5 * distance)
        speeds = top * SPEEDS[:, None, None]
        commands = np.concatenate([(speeds * directions).reshape(-1, 3), np.zeros((1, 3))])
        if not self.avoids:
            return top * to_goal / distance, to_goal
        brake = 0.7 * robot.max_accel_mps2
        flights = predict(commands, position, velocity, accel, 0.2 + 0.5 * min(age_s, 0.5), brake)
        radius = robot.body.radius_m
        margin = self.margin_m + min(0.3 * age_s, 0.2)
        points = self._memory.points
        points = points[np.abs(points - position).max(1) < RANGE_M]
        clear = self._clearance(flights, points) - radius
        seen = self._seen(flights, position)

        reach = free_reach(directions, position, points, radius + margin, min(RANGE_M, distance))
        ahead = distance - np.linalg.norm(position + directions * reach[:, None] - goal, axis=1)
        gain = distance - np.linalg.norm(flights[-1] - goal, axis=1)
        turn = np.linalg.norm(commands - self._last, axis=1) / robot.max_speed_mps
        ahead_each = np.append(np.tile(ahead, len(SPEEDS)), 0.0)
        worst = clear.min(0)
        wish = gain + 0.4 * ahead_each - 0.3 * turn - 1.5 * np.maximum(0.0, 1 - worst / 0.6)
        safe = worst > margin
        known = seen.all(0)
        look = commands[int(np.argmax(np.where(safe, wish, wish - 20.0)))]
        if not look.any():
            look = to_goal
        allowed = safe & known
        if allowed.any():
            return commands[int(np.argmax(np.where(allowed, wish, -np.inf)))], look
        # Nothing is both safe and known: keep away from what is there first, from the unknown next.
        first_hit = np.where(clear < 0.0, np.arange(len(flights))[:, None], len(flights)).min(0)
        choice = first_hit + 2.0 * np.minimum(worst, margin) / margin + 2.0 * seen.mean(0) + 0.05 * gain
        return commands[int(np.argmax(choice))], look

    def _clearance(self, flights: Array, points: Array) -> Array:
        """Distance (S, N) from each predicted position to the nearest point, at most ``CLEAR_M``."""
        if not len(points):
            return np.full(flights.shape[:2], CLEAR_M)
        tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
        found, _ = tree.query(flights.reshape(-1, 3), distance_upper_bound=CLEAR_M)
        return np.minimum(found, CLEAR_M).reshape(flights.shape[:2])

    def _seen(self, flights: Array, position: Array) -> NDArray[np.bool_]:
        """Whether each predicted position (S, N) has been seen free or been flown through."""
        flat = flights.reshape(-1, 3)
        seen = self._memory.seen_free(flat)
        near = np.linalg.norm(flights - position, axis=2) < 0.4
        rest = np.flatnonzero(~seen)
        flown = np.array(self._flown)[::6]
        if len(rest):
            gaps = np.linalg.norm(flat[rest, None] - flown[None], axis=2).min(1)
            seen[rest] = gaps < 0.3
        return seen.reshape(flights.shape[:2]) | near

    def _action(self, command: Array, yaw_error: float, yaw: float) -> NDArray[np.float32]:
        """The action for a velocity command in the odometry frame and a wanted turn."""
        c, s = math.cos(yaw), math.sin(yaw)
        error = math.remainder(yaw_error, 2 * math.pi)
        level = np.array([c * command[0] + s * command[1], c * command[1] - s * command[0], command[2]])
        turn = 4.0 * error / self.robot.max_yaw_rate_radps
        return np.clip([*(level / self.robot.max_speed_mps), turn], -1.0, 1.0).astype(np.float32)
