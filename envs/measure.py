"""What an episode is measured by: time to collision and the navigation metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.envs.state import BodyState
from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend

MAX_TIME_TO_COLLISION_S = 60.0
"""Longer times, and motion that leads nowhere, are reported as this."""

MOVER_HORIZON_M = 6.0
"""Movers farther away than this do not count as approaching."""

TIME_TO_COLLISION_ALARM_S = 1.0


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
        offsets = np.array([0 * side, inset * side, -inset * side, inset * up, -inset * up])
    else:
        heights = np.array([0.15, 0.9]) * body.height_m
        offsets = np.array([k * inset * side + [0, 0, h] for h in heights for k in (-1.0, 0.0, 1.0)])
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


@dataclass
class EpisodeRecord:
    """Accumulates one episode's measurements; lengths in metres, times in seconds."""

    shortest_path: float
    path_length: float = 0.0
    min_clearance: float = float("inf")
    min_time_to_collision: float = MAX_TIME_TO_COLLISION_S
    time_under_1s_ttc: float = 0.0
    duration_s: float = 0.0

    def add(self, moved_m: float, dt_s: float, clearance_m: float, ttc_s: float) -> None:
        """Add one step: the way moved, its time, and the clearance and time to collision at its end."""
        self.path_length += moved_m
        self.duration_s += dt_s
        self.min_clearance = min(self.min_clearance, clearance_m)
        self.min_time_to_collision = min(self.min_time_to_collision, ttc_s)
        if ttc_s < TIME_TO_COLLISION_ALARM_S:
            self.time_under_1s_ttc += dt_s

    def metrics(self, success: bool, collided: bool, distance_to_goal: float) -> dict[str, float]:
        """The episode's metrics. SPL: Anderson et al. 2018; SoftSPL: Datta et al. 2020 (both geodesic)."""
        efficiency = self.shortest_path / max(self.path_length, self.shortest_path)
        progress = min(max(1.0 - distance_to_goal / self.shortest_path, 0.0), 1.0)
        return {
            "success": float(success),
            "spl": float(success) * efficiency,
            "soft_spl": progress * efficiency,
            "path_length": self.path_length,
            "shortest_path": self.shortest_path,
            "min_clearance": self.min_clearance,
            "min_time_to_collision": self.min_time_to_collision,
            "time_under_1s_ttc": self.time_under_1s_ttc,
            "duration_s": self.duration_s,
            "collided": float(collided),
        }
