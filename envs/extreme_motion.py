"""A quadrotor that is thrown about flies fast through a cluttered hall."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.base import NoEpisodeError
from asyncmde_sim.envs.navigation import GoalPlan, NavigationEnv
from asyncmde_sim.envs.obstacles import draw_runners
from asyncmde_sim.envs.paths import Way, geodesic_path
from asyncmde_sim.envs.quadrotor import Disturbance, DisturbanceParameters, Quadrotor
from asyncmde_sim.envs.robots import QUAD_CAMERA, make_quad
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.backend import DistanceField, Mover
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.habitat.dataset import parse_dataset_scene
from asyncmde_sim.scenes.library import DIFFICULTY, resolve_scene

END_MARGIN_M = 0.3
"""Clearance of start and goal."""
MIN_WAY_M = 8.0
"""Shortest geodesic distance from start to goal."""
TIME_FACTOR = 2.5
"""The time limit is this many times the shortest path at top speed ..."""
TIME_EXTRA_S = 2.0
"""... plus this for starting, looking round and stopping."""
PARTS = 2
"""Instants checked for collision in one control step."""


class ExtremeMotion(NavigationEnv):
    """A quadrotor races through a hall, past obstacles that run across its way, in gusts and under kicks.

    The four actions are velocities forward, left and up in the yaw-levelled body frame and the yaw rate, as
    fractions of the top speed and top yaw rate; a command faster than the top speed is shortened to it. An
    onboard controller with perfect knowledge of attitude and velocity flies them. The fixed camera has a
    rolling shutter and motion blur unless another is given; the habitat backend has no rolling shutter, and
    there all rows of the image are exposed at once.

    Success is being within 1 m of the goal (geodesic; the robot flies through it rather than stopping). The
    time limit is 2.5 times the shortest path at top speed plus 2 s, so creeping does not arrive.

    Args:
        difficulty: 0 to 1: density of clutter, number of the moving obstacles and how late they
            start, strength of gusts, rate and strength of kicks.
        max_speed_mps: Top speed; None is the robot's default.
        camera: The camera; None is the robot's own.
        backend: See ``SceneEnv``.
        **options: See ``SceneEnv``.

    Raises:
        ValueError: ``difficulty`` is outside [0, 1], or another option is unknown or out of range.
    """

    scene_kind: ClassVar[Literal["flat", "hall"]] = "hall"
    action_size: ClassVar[int] = 4
    goal_radius_m: ClassVar[float] = 1.0

    def __init__(
        self,
        *,
        difficulty: float = DIFFICULTY,
        max_speed_mps: float | None = None,
        camera: Camera | None = None,
        backend: str = "raycast",
        **options: Any,
    ) -> None:
        if camera is None and backend != "raycast":
            camera = replace(QUAD_CAMERA, readout_s=0.0)
        super().__init__(make_quad(max_speed_mps, camera), difficulty=difficulty, backend=backend, **options)
        self.disturbance = DisturbanceParameters(
            gust_mps=3.0 * difficulty, kicks_per_s=difficulty, kick_radps=4.0 + 8.0 * difficulty
        )

    def _plan_episode(self, rng: np.random.Generator) -> GoalPlan:
        start, goal, field = self._start_and_goal(rng)
        path = geodesic_path(field, start, goal, flies=True)
        way = Way(np.array([start, goal]) if path is None else path)
        count = round(0.24 * self.difficulty * way.length)
        lead = (0.9 - 0.4 * self.difficulty, 1.1 - 0.4 * self.difficulty)
        self._runners = draw_runners(self.backend, way, count, lead, rng)
        self._set_off_s = [math.inf] * len(self._runners)
        yaw = math.atan2(*(goal - start)[1::-1]) + rng.uniform(-0.3, 0.3)
        self._quad = Quadrotor(start, yaw)
        self._disturbance = Disturbance(self.disturbance, np.random.default_rng(rng.integers(2**62)))
        shortest = float(field(start[None])[0])
        limit = TIME_FACTOR * shortest / self.robot.max_speed_mps + TIME_EXTRA_S
        return GoalPlan(BodyState(yaw_pose(start, yaw)), limit, goal, shortest)

    def _advance(self, action: NDArray[np.float64], rng: np.random.Generator) -> Sequence[BodyState]:
        velocity = action[:3] * self.robot.max_speed_mps
        velocity /= max(1.0, float(np.linalg.norm(action[:3])))
        command = (*velocity, action[3] * self.robot.max_yaw_rate_radps)
        wind, push = self._disturbance.step(self.dt_s)
        states = []
        for _ in range(PARTS):
            self._quad.step(command, self.dt_s / PARTS, wind, push, substeps=8 // PARTS)
            motion = self._quad.motion
            states.append(BodyState(motion.pose, motion.linear_velocity, motion.angular_velocity))
        for index, runner in enumerate(self._runners):
            if self._set_off_s[index] == math.inf and runner.is_set_off_by(states[-1]):
                self._set_off_s[index] = self.time_s + self.dt_s
        return states

    def _movers_at(self, time_s: float) -> tuple[Mover, ...]:
        return tuple(r.at(time_s - t) for r, t in zip(self._runners, self._set_off_s, strict=True))

    def _start_and_goal(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], DistanceField]:
        """Start and goal at opposite ends of a generated course, far apart in any other scene."""
        body = self.robot.body
        ends = course_ends(self._scene)
        for _ in range(10):
            if ends is None:
                points = self.backend.sample_free(rng, body, 40, END_MARGIN_M)
                apart = np.linalg.norm(points - points[0], axis=1)
                starts, goals = points[:1], points[np.argsort(-apart)[:5]]
            else:
                drawn = (rng.uniform(low, high, (6, 3)) for low, high in rng.permutation(ends))
                starts, goals = (p[self.backend.clearance(p, body) > END_MARGIN_M] for p in drawn)
            if not (len(starts) and len(goals)):
                continue
            rng.shuffle(goals)
            field = self.backend.distance_field(goals[0], body)
            ways = field(starts)
            far = np.isfinite(ways) & (ways >= MIN_WAY_M)
            if far.any():
                return starts[int(np.argmax(far))], goals[0], field
        raise NoEpisodeError(
            f"scene {self.backend.name!r} has no start and goal {MIN_WAY_M} m apart for this robot: "
            "use a larger scene"
        )


def course_ends(scene: str) -> NDArray[np.float64] | None:
    """Low and high corners (2, 2, 3) of the areas named start and goal in a scene's sidecar, if any."""
    if parse_dataset_scene(scene) is not None:
        return None
    sidecar = resolve_scene(scene).with_suffix(".json")
    if not sidecar.exists():
        return None
    areas = {area["name"]: area for area in json.loads(sidecar.read_text()).get("spawn", [])}
    if not {"start", "goal"} <= areas.keys():
        return None
    corners = []
    for area in (areas["start"], areas["goal"]):
        (x0, y0, x1, y1), (z0, z1) = area["rect"], area["z"]
        corners.append([[x0, y0, z0], [x1, y1, z1]])
    return np.array(corners, dtype=np.float64)
