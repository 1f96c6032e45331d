"""What an episode is measured by: time to collision and the navigation metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.state import BodyState
from asyncmde_sim.metrics.navigation import min_time_to_collision, time_under_ttc
from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend

MAX_TIME_TO_COLLISION_S = 60.0
"""Longer times, and motion that leads nowhere, are reported as this."""

MOVER_HORIZON_M = 6.0
"""Movers farther away than this do not count as approaching."""


def sweep_rays(
    state: BodyState, body: RobotBody, velocity: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rays that stand for the volume a body sweeps when it moves with ``velocity`` (3,), not zero.

    Returns:
        Origins (N, 3), unit directions (N, 3) and the part of each ray inside the body (N,), metres.
    """
    direction = velocity / np.linalg.norm(velocity)
    side = np.cross([0.0, 0.0, 1.0], direction)
    if np.linalg.norm(side) < 1e-6:
        side = np.array([1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    inset = 0.95 * body.radius_m
    if body.flies:
        up = np.cross(direction, side)
        angles = np.arange(8) * np.pi / 4
        rim = inset * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up)
        offsets = np.concatenate([np.zeros((1, 3)), rim / 2, rim])
    else:
        aside, up = np.linspace(-inset, inset, 9), np.array([0.0, 0.0, body.height_m])
        offsets = np.array([k * side + part * up for part in (0.15, 0.9) for k in aside])
    radial = offsets if body.flies else offsets * [1.0, 1.0, 0.0]
    across = np.linalg.norm(np.cross(radial, direction), axis=1)
    inside = np.sqrt(np.maximum(body.radius_m**2 - across**2, 0.0))
    return state.position + offsets, np.broadcast_to(direction, offsets.shape), inside


def time_to_collision(
    backend: SceneBackend, state: BodyState, body: RobotBody, movers: Sequence[Mover] = ()
) -> float:
    """True range along the velocity over the closing speed, seconds, at most 60.

    Against the scene the closing speed is the body's own. A mover counts when the body would meet it first
    along their relative velocity; standing still does not help against one that walks up to the robot.
    """
    shortest = MAX_TIME_TO_COLLISION_S
    speed = float(np.linalg.norm(state.velocity))
    if speed > 1e-3:
        origins, directions, inside = sweep_rays(state, body, state.velocity)
        gap = np.maximum(backend.range_along(origins, directions) - inside, 0.0).min()
        shortest = min(shortest, float(gap) / speed)
    for mover in movers:
        offset = mover.motion.pose[:3, 3] - state.position
        relative = state.velocity - mover.motion.linear_velocity
        closing = float(np.linalg.norm(relative))
        if closing < 1e-3 or float(offset @ relative) <= 0 or np.linalg.norm(offset) > MOVER_HORIZON_M:
            continue
        origins, directions, inside = sweep_rays(state, body, relative)
        with_mover = backend.range_along(origins, directions, [mover])
        first = with_mover < backend.range_along(origins, directions) - 1e-4
        if first.any():
            gap = np.maximum(with_mover - inside, 0.0)[first].min()
            shortest = min(shortest, float(gap) / closing)
    return shortest


class EpisodeRecord:
    """Accumulates one episode's measurements; lengths in metres, times in seconds.

    Args:
        step_s: Time of a step.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self.path_m = 0.0
        """Way moved so far."""
        self._min_clearance_m = math.inf
        self._times_to_collision: list[float] = []

    def add(self, moved_m: float, clearance_m: float, time_to_collision_s: float) -> None:
        """Add one step: the way moved, and the clearance and time to collision at its end."""
        self.path_m += moved_m
        self._min_clearance_m = min(self._min_clearance_m, clearance_m)
        self._times_to_collision.append(time_to_collision_s)

    def metrics(self) -> dict[str, float]:
        """The episode's metrics, after at least one step."""
        return {
            "path_length": self.path_m,
            "min_clearance": self._min_clearance_m,
            "min_time_to_collision": min_time_to_collision(self._times_to_collision),
            "time_under_1s_ttc": time_under_ttc(self._times_to_collision, self._step_s),
            "duration_s": len(self._times_to_collision) * self._step_s,
        }
