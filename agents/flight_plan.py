"""Candidate flights of a quadrotor: where a velocity command followed by braking would lead."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.agents.flight_memory import first_of_cells

Array = NDArray[np.float64]

STEP_S = 0.1
"""Time between the points of a predicted flight."""
TILT_LAG_S = 0.15
"""Time the robot takes to tilt into an acceleration."""
RESPONSE_PER_S = 4.0
"""Velocity error to acceleration of the onboard controller."""

AZIMUTHS = np.radians([0, 9, 19, 30, 43, 60, 85, 125, 170])
ELEVATIONS = np.radians([-50, -22, 0, 22, 50])


def fan(towards: Array) -> Array:
    """Unit directions (N, 3) around the direction ``towards`` (3,): to both sides, up and down."""
    azimuth = math.atan2(towards[1], towards[0])
    elevation = math.atan2(towards[2], math.hypot(towards[0], towards[1]))
    a = azimuth + np.concatenate([AZIMUTHS, -AZIMUTHS[1:]])
    e = np.clip(np.concatenate([ELEVATIONS, [elevation]]), -1.0, 1.0)
    a, e = (grid.ravel() for grid in np.meshgrid(a, e))
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)


def predict(
    commands: Array, position: Array, velocity: Array, accel: Array, fly_s: float, brake_mps2: float
) -> Array:
    """Flights that follow ``commands`` (N, 3) for ``fly_s`` seconds and then brake to a hover.

    Args:
        commands: Velocity commands, m/s.
        position: Where the robot is, (3,).
        velocity: Its velocity, (3,) m/s.
        accel: Its acceleration, (3,) m/s2.
        fly_s: Time until it begins to brake.
        brake_mps2: Largest acceleration and braking, m/s2.

    Returns:
        Positions (S, N, 3) every ``STEP_S``, long enough for the fastest to stop.
    """
    top = max(float(np.linalg.norm(commands, axis=1).max()), float(np.linalg.norm(velocity)))
    steps = math.ceil((fly_s + TILT_LAG_S + 1 / RESPONSE_PER_S + top / brake_mps2) / STEP_S)
    p = np.broadcast_to(position, commands.shape).copy()
    v = np.broadcast_to(velocity, commands.shape).copy()
    a = np.broadcast_to(accel, commands.shape).copy()
    blend = 1 - math.exp(-STEP_S / TILT_LAG_S)
    flights = np.empty((steps, *commands.shape))
    for k in range(steps):
        target = commands if k * STEP_S < fly_s else 0.0
        wanted = RESPONSE_PER_S * (target - v)
        size = np.sqrt(np.einsum("ij,ij->i", wanted, wanted))[:, None]
        wanted *= brake_mps2 / np.maximum(size, brake_mps2)
        a += blend * (wanted - a)
        p += STEP_S * (v + 0.5 * STEP_S * a)
        v += STEP_S * a
        flights[k] = p
    return flights


def free_reach(directions: Array, position: Array, points: Array, radius_m: float, limit_m: float) -> Array:
    """How far (N,) a sphere can go from ``position`` along unit ``directions`` (N, 3) before it is blocked.

    Obstacles are ``points`` (M, 3), thinned to cells of two thirds of the radius. At most ``limit_m``.
    """
    if not len(points):
        return np.full(len(directions), limit_m)
    offsets = (points[first_of_cells(points, 2 * radius_m / 3)] - position).astype(np.float32)
    along = directions.astype(np.float32) @ offsets.T
    across = np.einsum("ij,ij->i", offsets, offsets)[None] - along * along
    blocked = (along > 0) & (across < radius_m * radius_m)
    return np.where(blocked, along, limit_m).min(1).astype(np.float64)
