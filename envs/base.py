"""The common part of every environment: scene, robot, camera, observation, info and episode metrics."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.measure import EpisodeRecord, time_to_collision
from asyncmde_sim.envs.range_sensor import measure_ranges
from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.envs.state import BodyState, Odometry, pose_vector
from asyncmde_sim.scenes import check_backend, load_backend
from asyncmde_sim.scenes.backend import Mover, Rendering, SceneBackend
from asyncmde_sim.scenes.library import DIFFICULTY, SPLITS, scene_names

Observation = dict[str, Any]

MAX_DISTANCE_M = 1000.0
MAX_SPEED_MPS = 100.0
MAX_EPISODE_S = 1000.0
END_REWARD = 10.0
"""For success, and taken away for a collision."""
LOWEST_CAMERA_M = 0.01
"""What a collision takes through the floor still reads as so high above it."""


class NoEpisodeError(ValueError):
    """A scene has no episode that the environment's rules allow."""


@dataclass(frozen=True)
class EpisodePlan:
    """Where an episode starts and how long it may take.

    Args:
        start: State of the body at the start.
        time_limit_s: The episode is truncated at this time.
    """

    start: BodyState
    time_limit_s: float

    def __post_init__(self) -> None:
        if not 0 < self.time_limit_s <= MAX_EPISODE_S:
            raise ValueError(f"time_limit_s is {self.time_limit_s}, but it must be in (0, {MAX_EPISODE_S}]")


Plan = TypeVar("Plan", bound=EpisodePlan)


class SceneEnv(gym.Env[Observation, NDArray[np.float32]], Generic[Plan]):
    """A robot with one camera in an indoor scene.

    The camera captures a frame at each control step. The reward is what the task gained, plus 10 for its
    success and minus 10 for a collision. An episode terminates at either and is truncated at its time limit.
    Subclasses say what the task is, plan episodes, move the body and the movers.

    Args:
        robot: The robot, with its camera.
        scene: A scene's name, the path of a mesh or, for the habitat backend, ``CONFIG:NAME`` for a scene of
            one of Habitat's datasets; None draws from ``split`` in each episode.
        split: Split of the scene library.
        num_scenes: How many scenes of the split are used.
        difficulty: 0 to 1: density of clutter in the split's scenes, and what a subclass says.
        backend: Name of the renderer: ``raycast``, or ``habitat``, which has a process of its own for this
            environment; see ``scenes.load_backend``.
        restart: If that process dies, the step raises ``WorkerLostError``, and the next ``reset`` starts
            another one; without this it raises the same error again.
        render_mode: None or ``"rgb_array"`` (the camera's image).
        odometry_noise: Drift of the odometry, see ``Odometry``.

    Raises:
        ValueError: An option is unknown or out of range; the message says what exists.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    scene_kind: ClassVar[Literal["flat", "hall"]]
    action_size: ClassVar[int]

    def __init__(
        self,
        robot: RobotSpec,
        *,
        scene: str | None = None,
        split: str = "val",
        num_scenes: int = 10,
        difficulty: float = DIFFICULTY,
        backend: str = "raycast",
        restart: bool = False,
        render_mode: str | None = None,
        odometry_noise: float = 0.0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
        if num_scenes < 1:
            raise ValueError(f"num_scenes is {num_scenes}, but at least 1 is needed")
        if not 0 <= difficulty <= 1:
            raise ValueError(f"difficulty is {difficulty}, but it must lie in [0, 1]")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"unknown render_mode {render_mode!r}: choose None or 'rgb_array'")
        if not (math.isfinite(odometry_noise) and odometry_noise >= 0):
            raise ValueError(f"odometry_noise is {odometry_noise}, but it must be finite and not negative")
        check_backend(backend, scene, robot.camera)
        self.robot = robot
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1e9 / robot.control_dt_ns)}
        self.difficulty = difficulty
        drawn = scene_names(self.scene_kind, split, num_scenes, difficulty)
        self._scenes = drawn if scene is None else [scene]
        self._backend_name = backend
        self._restart = restart
        self._odometry_noise = odometry_noise
        self._plan: Plan | None = None
        self._over = True
        self.action_space = gym.spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)
        self.observation_space = gym.spaces.Dict(
            {
                "image": gym.spaces.Box(0, 255, (robot.camera.height, robot.camera.width, 3), np.uint8),
                "velocity": symmetric_box(np.full(3, MAX_SPEED_MPS)),
                "gyro": symmetric_box(np.full(3, MAX_SPEED_MPS)),
                "odometry": symmetric_box(np.array([MAX_DISTANCE_M] * 3 + [1.001] * 4)),
                "time": gym.spaces.Box(0.0, MAX_EPISODE_S + 1.0, (1,), np.float32),
                **self._task_spaces(),
            }
        )

    # What a subclass provides

    @abstractmethod
    def _plan_episode(self, rng: np.random.Generator) -> Plan:
        """Draw an episode in ``self.backend``.

        Raises:
            NoEpisodeError: The scene has none.
        """

    @abstractmethod
    def _begin_task(self) -> None:
        """Start the task of ``self.plan``; the first frame is captured."""

    @abstractmethod
    def _progress(self) -> tuple[float, bool]:
        """What the task gained in the step that ended, and whether it is done, unless the robot collided."""

    def _task_spaces(self) -> dict[str, gym.spaces.Box]:
        """The spaces of what the task adds to the observation."""
        return {}

    def _task_observation(self) -> dict[str, NDArray[np.float64]]:
        """What the task adds to the observation; it is clipped to its space."""
        return {}

    @abstractmethod
    def _task_info(self) -> dict[str, float]:
        """What the task adds to info."""

    @abstractmethod
    def _task_metrics(self, success: bool) -> dict[str, float]:
        """What the task adds to the metrics of an episode that has ended."""

    @abstractmethod
    def _advance(self, action: NDArray[np.float64], rng: np.random.Generator) -> Sequence[BodyState]:
        """Move the body from ``self.state`` by one control step; ``action`` (N,) is within [-1, 1].

        Returns the states in between, in order, ending with the state at the end of the step. Each is checked
        for collision. State beyond the body's own is kept by the subclass and started in ``_plan_episode``.
        """

    def _movers_at(self, time_s: float) -> tuple[Mover, ...]:
        """The moving objects at a time since the start of the episode."""
        return ()

    # Gymnasium's interface

    @property
    def dt_s(self) -> float:
        """Time of one control step, seconds."""
        return self.robot.control_dt_ns * 1e-9

    @property
    def plan(self) -> Plan:
        """The running episode's plan."""
        if self._plan is None:
            raise RuntimeError("there is no episode yet: call reset() first")
        return self._plan

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``seed`` decides its scene, start, goal, movers and every disturbance."""
        super().reset(seed=seed, options=options)
        draws = self.np_random.integers(2**62, size=4)
        self._scene = self._scenes[int(draws[0]) % len(self._scenes)]
        self._load()
        plan_rng, self._motion_rng, odometry_rng = (np.random.default_rng(d) for d in draws[1:])
        self._sensor_rng, self._range_rng = (np.random.default_rng([int(draws[1]), i]) for i in (1, 2))
        self._plan = self._plan_episode(plan_rng)
        self.state = self._plan.start
        self._steps = 0
        self._over = False
        self._odometry = Odometry(self.state.pose, self._odometry_noise, odometry_rng)
        self._record = EpisodeRecord(self.dt_s)
        self._movers = self._movers_at(0.0)
        self._capture()
        self._begin_task()
        clearance = self._clearance([self.state])
        return self._observe(), self._info(clearance, self._time_to_collision(), False, False)

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Advance one control step; see the class for rewards and endings.

        Raises:
            ValueError: The action is misshapen or not finite.
            RuntimeError: The episode is over or has not begun.
        """
        if self._over:
            raise RuntimeError("the episode is over or has not begun: call reset() first")
        states = self._advance(self._checked(action), self._motion_rng)
        way = np.array([self.state.position, *(s.position for s in states)])
        moved = float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())
        self.state = states[-1]
        self._steps += 1
        self._movers = self._movers_at(self.time_s)
        self._odometry.update(self.state.pose, self.dt_s)
        self._capture()
        clearance = self._clearance(states)
        ttc = self._time_to_collision()
        self._record.add(moved, clearance, ttc)
        gained, done = self._progress()
        collided = clearance <= 0
        success = done and not collided
        terminated = collided or success
        truncated = not terminated and self.time_s >= self.plan.time_limit_s
        self._over = terminated or truncated
        info = self._info(clearance, ttc, collided, success)
        if self._over:
            info["episode_metrics"] = {
                "success": float(success),
                "collided": float(collided),
                **self._record.metrics(),
                **self._task_metrics(success),
            }
        reward = gained + END_REWARD * (int(success) - int(collided))
        return self._observe(), reward, terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The camera's newest image, (H, W, 3) uint8, or None without a render mode."""
        if self.render_mode is None:
            return None
        if self._plan is None:
            raise RuntimeError("there is nothing to render yet: call reset() first")
        return self._rendering.rgb.copy()

    def close(self) -> None:
        """Release what renders for this environment alone; a reset makes it anew."""
        backend = self.__dict__.pop("backend", None)
        if backend is not None:
            backend.close()
        self._over = True

    # Parts

    @property
    def time_s(self) -> float:
        """Simulated time since the start of the episode, seconds."""
        return self._steps * self.robot.control_dt_ns * 1e-9

    def _checked(self, action: NDArray[np.float32]) -> NDArray[np.float64]:
        values = np.asarray(action, dtype=np.float64)
        if values.shape != self.action_space.shape:
            raise ValueError(f"the action has shape {values.shape}, but {self.action_space.shape} is needed")
        if not np.isfinite(values).all():
            raise ValueError(f"the action is {values.tolist()}, but every value must be finite")
        return np.clip(values, -1.0, 1.0)

    def _load(self) -> None:
        before: SceneBackend | None = self.__dict__.get("backend")
        self.backend: SceneBackend = load_backend(self._scene, self._backend_name, before, self._restart)

    def _clearance(self, states: Sequence[BodyState]) -> float:
        points = np.array([s.position for s in states])
        return float(self.backend.clearance(points, self.robot.body, self._movers).min())

    def _time_to_collision(self) -> float:
        return time_to_collision(self.backend, self.state, self.robot.body, self._movers)

    def _capture(self) -> None:
        motion = self.state.camera_motion(self.robot.T_body_camera)
        self._rendering: Rendering = self.backend.render(
            self.robot.camera, motion, self._movers, self._sensor_rng
        )

    def _observe(self) -> Observation:
        state = self.state
        values = {
            "velocity": state.to_body(state.velocity),
            "gyro": state.rate,
            "odometry": pose_vector(self._odometry.pose),
            "time": np.array([self.time_s]),
            **self._task_observation(),
        }
        spaces = self.observation_space
        bounded = {
            k: np.clip(v.astype(np.float32), spaces[k].low, spaces[k].high)  # type: ignore[index]
            for k, v in values.items()
        }
        return {"image": self._rendering.rgb.copy(), **bounded}

    def _info(self, clearance: float, ttc: float, collided: bool, success: bool) -> dict[str, Any]:
        T_world_camera = self.state.pose @ self.robot.T_body_camera
        height = float(T_world_camera[2, 3]) - self.backend.floor_m
        return {
            "time_ns": self._steps * self.robot.control_dt_ns,
            "true_depth": self._rendering.depth.copy(),
            "T_world_camera": T_world_camera,
            "T_odometry_camera": self._odometry.pose @ self.robot.T_body_camera,
            "camera_height_m": max(height, LOWEST_CAMERA_M),
            "ranges": measure_ranges(self._rendering.depth, self.robot.camera, self._range_rng),
            **self._task_info(),
            "clearance": clearance,
            "speed": float(np.linalg.norm(self.state.velocity)),
            "time_to_collision": ttc,
            "collided": collided,
            "success": success,
        }

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "backend"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._plan is not None:
            self._load()


def symmetric_box(bound: NDArray[np.float64]) -> gym.spaces.Box:
    """The box from ``-bound`` to ``bound``."""
    high = bound.astype(np.float32)
    return gym.spaces.Box(-high, high, dtype=np.float32)
