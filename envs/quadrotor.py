"""A quadrotor: rigid-body dynamics with four lagging rotors, its onboard controller, gusts and kicks.

World z up, body x forward, y left, z up; quaternions are ``(w, x, y, z)`` and turn body into world.
The arithmetic is on plain floats: at three components that is several times faster than arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.camera import RigidMotion

GRAVITY_MPS2 = 9.81
SUBSTEPS = 8
"""Steps of the physics and of the onboard controller in one control step (480 Hz at 60 Hz)."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class QuadrotorParameters:
    """A 0.45 kg quadrotor with 0.22 m between opposite rotors, and the gains of its controller.

    Args:
        mass_kg: Mass.
        inertia_kgm2: Principal moments of inertia about body x, y, z.
        arm_m: Distance of each rotor from body x and from body y ("X" layout).
        yaw_moment_m: Torque about body z for one newton of rotor thrust.
        max_rotor_thrust_n: Largest thrust of one rotor; the smallest is 0.
        rotor_lag_s: Time constant of a rotor's thrust (first order).
        drag_per_s: Linear drag of the body against the air, (m/s2) / (m/s).
        max_accel_mps2: Largest acceleration that the velocity controller asks for.
        max_tilt_rad: Largest tilt that it asks for.
        max_body_rate_radps: Largest body rate that the attitude controller asks for, per axis.
        max_yaw_rate_radps: Largest yaw rate that can be commanded.
        velocity_gain_per_s: Velocity error to acceleration.
        velocity_integral_per_s2: Integrated velocity error to acceleration.
        attitude_gain_per_s: Tilt error to body rate.
        rate_gain_per_s: Body-rate error to angular acceleration.
    """

    mass_kg: float = 0.45
    inertia_kgm2: Vector = (2.3e-3, 2.3e-3, 4.2e-3)
    arm_m: float = 0.078
    yaw_moment_m: float = 0.016
    max_rotor_thrust_n: float = 2.8
    rotor_lag_s: float = 0.025
    drag_per_s: float = 0.35
    max_accel_mps2: float = 9.0
    max_tilt_rad: float = 0.9
    max_body_rate_radps: float = 6.0
    max_yaw_rate_radps: float = 3.0
    velocity_gain_per_s: float = 4.0
    velocity_integral_per_s2: float = 2.0
    attitude_gain_per_s: float = 8.0
    rate_gain_per_s: float = 20.0

    def __post_init__(self) -> None:
        values = {**self.__dict__, **{f"inertia_kgm2[{i}]": j for i, j in enumerate(self.inertia_kgm2)}}
        del values["inertia_kgm2"]
        for name, value in values.items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, but it must be positive and finite")
        if self.max_tilt_rad >= math.pi / 2:
            raise ValueError(f"max_tilt_rad is {self.max_tilt_rad}, but tilted by pi/2 nothing holds it up")
        if 4 * self.max_rotor_thrust_n <= self.mass_kg * GRAVITY_MPS2:
            raise ValueError(
                f"max_rotor_thrust_n is {self.max_rotor_thrust_n}, but four rotors must lift "
                f"{self.mass_kg * GRAVITY_MPS2:.2f} N: use stronger rotors or a lighter body"
            )


class Quadrotor:
    """The state of one quadrotor, hovering after construction.

    Args:
        position: World position (3,), m.
        yaw_rad: Heading, radians from world x towards world y.
        parameters: Its body and gains.
    """

    def __init__(
        self,
        position: Sequence[float] | NDArray[np.float64] = (0.0, 0.0, 0.0),
        yaw_rad: float = 0.0,
        parameters: QuadrotorParameters | None = None,
    ) -> None:
        self.parameters = parameters or QuadrotorParameters()
        x, y, z = (float(v) for v in position)
        self._p: Vector = (x, y, z)
        self._v: Vector = (0.0, 0.0, 0.0)
        self._q = (math.cos(yaw_rad / 2), 0.0, 0.0, math.sin(yaw_rad / 2))
        self._w: Vector = (0.0, 0.0, 0.0)
        self._integral: Vector = (0.0, 0.0, 0.0)
        hover = self.parameters.mass_kg * GRAVITY_MPS2 / 4
        self._rotors = (hover, hover, hover, hover)

    @property
    def position(self) -> NDArray[np.float64]:
        """World position (3,), m."""
        return np.array(self._p)

    @property
    def velocity(self) -> NDArray[np.float64]:
        """World velocity (3,), m/s."""
        return np.array(self._v)

    @property
    def quaternion(self) -> NDArray[np.float64]:
        """Unit quaternion (4,) ``w x y z`` of the attitude."""
        return np.array(self._q)

    @property
    def body_rate(self) -> NDArray[np.float64]:
        """Rotation rate (3,) in the body frame, rad/s."""
        return np.array(self._w)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """Rotation matrix (3, 3) from body to world."""
        return np.array(_matrix(self._q))

    @property
    def motion(self) -> RigidMotion:
        """The pose ``T_world_body`` now with its velocity and rate."""
        pose = np.eye(4)
        pose[:3, :3] = self.rotation
        pose[:3, 3] = self._p
        return RigidMotion(pose, self.velocity, self.body_rate)

    def step(
        self,
        command: Sequence[float] | None,
        duration_s: float,
        wind: Sequence[float] = (0.0, 0.0, 0.0),
        angular_push: Sequence[float] = (0.0, 0.0, 0.0),
        substeps: int = SUBSTEPS,
    ) -> None:
        """Fly for ``duration_s`` under one velocity command.

        Args:
            command: ``(forward, left, up, yaw rate)`` in m/s and rad/s in the yaw-levelled body frame;
                None stops the rotors.
            duration_s: Time to advance, seconds.
            wind: Velocity of the air in the world (3,), m/s.
            angular_push: Angular acceleration that a disturbance adds, body frame (3,), rad/s2.
            substeps: Number of equal steps of physics and controller.
        """
        wind_now = (float(wind[0]), float(wind[1]), float(wind[2]))
        push = (float(angular_push[0]), float(angular_push[1]), float(angular_push[2]))
        target = None if command is None else tuple(float(c) for c in command)
        dt = duration_s / substeps
        for _ in range(substeps):
            matrix = _matrix(self._q)
            thrusts = (0.0, 0.0, 0.0, 0.0) if target is None else self._control(target, matrix, dt)
            self._advance(thrusts, matrix, wind_now, push, dt)

    def _control(
        self, command: tuple[float, ...], matrix: tuple[Vector, Vector, Vector], dt: float
    ) -> tuple[float, float, float, float]:
        """The onboard controller: velocity PI, tilt P, rate P, mixer. Returns rotor thrusts, N."""
        k = self.parameters
        (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = matrix
        norm = math.hypot(m00, m10)
        cos_yaw, sin_yaw = (m00 / norm, m10 / norm) if norm > 1e-6 else (1.0, 0.0)
        cx = cos_yaw * command[0] - sin_yaw * command[1]
        cy = sin_yaw * command[0] + cos_yaw * command[1]
        ex = cx - self._v[0]
        ey = cy - self._v[1]
        ez = command[2] - self._v[2]
        if ex * ex + ey * ey + ez * ez < 1.0:
            gain, most = k.velocity_integral_per_s2 * dt, k.max_accel_mps2 / 2
            ix, iy, iz = self._integral
            self._integral = (
                _clip(ix + gain * ex, most),
                _clip(iy + gain * ey, most),
                _clip(iz + gain * ez, most),
            )
        ax = k.velocity_gain_per_s * ex + self._integral[0] + k.drag_per_s * cx
        ay = k.velocity_gain_per_s * ey + self._integral[1] + k.drag_per_s * cy
        az = _clip(k.velocity_gain_per_s * ez + self._integral[2], 0.6 * GRAVITY_MPS2)
        lift = az + GRAVITY_MPS2
        sideways = math.hypot(ax, ay)
        most = min(k.max_accel_mps2, lift * math.tan(k.max_tilt_rad))
        if sideways > most:
            ax, ay = ax * most / sideways, ay * most / sideways
        size = math.sqrt(ax * ax + ay * ay + lift * lift)
        # The wanted direction of body z, seen from the body; the turn towards it is z x wanted.
        bx = (m00 * ax + m10 * ay + m20 * lift) / size
        by = (m01 * ax + m11 * ay + m21 * lift) / size
        bz = (m02 * ax + m12 * ay + m22 * lift) / size
        sine = math.hypot(bx, by)
        scale = k.attitude_gain_per_s * (math.atan2(sine, bz) / sine if sine > 1e-9 else 1.0)
        yaw_rate = _clip(command[3], k.max_yaw_rate_radps)
        most = k.max_body_rate_radps
        rx = _clip(-scale * by + m20 * yaw_rate, most)
        ry = _clip(scale * bx + m21 * yaw_rate, most)
        rz = _clip(m22 * yaw_rate, most)
        jx, jy, jz = k.inertia_kgm2
        wx, wy, wz = self._w
        tx = jx * k.rate_gain_per_s * (rx - wx) / (4 * k.arm_m)
        ty = jy * k.rate_gain_per_s * (ry - wy) / (4 * k.arm_m)
        tz = jz * k.rate_gain_per_s / 2 * (rz - wz) / (4 * k.yaw_moment_m)
        lift_each = k.mass_kg * size * max(bz, 0.2) / 4
        top = k.max_rotor_thrust_n
        tz = _clip(tz, 0.35 * top)
        # Rotors: front left, rear right (one sense of rotation), front right, rear left (the other).
        return (
            min(max(lift_each + tx - ty - tz, 0.0), top),
            min(max(lift_each - tx + ty - tz, 0.0), top),
            min(max(lift_each - tx - ty + tz, 0.0), top),
            min(max(lift_each + tx + ty + tz, 0.0), top),
        )

    def _advance(
        self,
        thrusts: tuple[float, float, float, float],
        matrix: tuple[Vector, Vector, Vector],
        wind: Vector,
        push: Vector,
        dt: float,
    ) -> None:
        """One semi-implicit Euler step of the rigid body."""
        k = self.parameters
        blend = 1 - math.exp(-dt / k.rotor_lag_s)
        f0, f1, f2, f3 = (f + blend * (t - f) for f, t in zip(self._rotors, thrusts, strict=True))
        self._rotors = (f0, f1, f2, f3)
        thrust = (f0 + f1 + f2 + f3) / k.mass_kg
        drag = k.drag_per_s
        vx, vy, vz = self._v
        vx += dt * (matrix[0][2] * thrust - drag * (vx - wind[0]))
        vy += dt * (matrix[1][2] * thrust - drag * (vy - wind[1]))
        vz += dt * (matrix[2][2] * thrust - drag * (vz - wind[2]) - GRAVITY_MPS2)
        self._v = (vx, vy, vz)
        self._p = (self._p[0] + dt * vx, self._p[1] + dt * vy, self._p[2] + dt * vz)
        jx, jy, jz = k.inertia_kgm2
        wx, wy, wz = self._w
        self._w = (
            wx + dt * ((k.arm_m * (f0 - f1 - f2 + f3) - (jz - jy) * wy * wz) / jx + push[0]),
            wy + dt * ((k.arm_m * (-f0 + f1 - f2 + f3) - (jx - jz) * wz * wx) / jy + push[1]),
            wz + dt * ((k.yaw_moment_m * (-f0 - f1 + f2 + f3) - (jy - jx) * wx * wy) / jz + push[2]),
        )
        self._q = _turned(self._q, self._w, dt)


@dataclass(frozen=True)
class DisturbanceParameters:
    """How hard the air and the kicks hit.

    Args:
        gust_mps: Standard deviation of the wind's velocity, per axis (half of it vertically).
        gust_time_s: Correlation time of the wind (an Ornstein-Uhlenbeck process).
        kicks_per_s: Mean rate of kicks (a Poisson process).
        kick_radps: Largest body rate that a kick would give a free body, about x and y (about z half of
            it: the rotors' authority is weak there); the smallest is half of that.
        kick_time_s: How long a kick lasts.
    """

    gust_mps: float = 1.5
    gust_time_s: float = 0.8
    kicks_per_s: float = 0.4
    kick_radps: float = 12.0
    kick_time_s: float = 0.1

    def __post_init__(self) -> None:
        for name in ("gust_mps", "kicks_per_s", "kick_radps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, but it must be finite and not negative")
        for name in ("gust_time_s", "kick_time_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, but it must be positive and finite")


class Disturbance:
    """Gusts and kicks, drawn step by step from one generator.

    Args:
        parameters: How hard they are.
        rng: Source of all randomness.
    """

    def __init__(self, parameters: DisturbanceParameters, rng: np.random.Generator) -> None:
        self.parameters = parameters
        self._rng = rng
        self._scale = parameters.gust_mps * np.array([1.0, 1.0, 0.5])
        self._wind = self._scale * rng.standard_normal(3)
        self._push = np.zeros(3)
        self._push_left_s = 0.0

    def step(self, duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The wind (3,) in m/s (world) and the angular push (3,) in rad/s2 (body) of the next time span."""
        k = self.parameters
        keep = math.exp(-duration_s / k.gust_time_s)
        noise = self._rng.standard_normal(3)
        self._wind = keep * self._wind + math.sqrt(1 - keep * keep) * self._scale * noise
        self._push_left_s -= duration_s
        kicked = self._rng.random() < -math.expm1(-k.kicks_per_s * duration_s)
        if kicked and self._push_left_s <= 0:
            axis = self._rng.standard_normal(3)
            rate = k.kick_radps * self._rng.uniform(0.5, 1.0)
            self._push = axis / np.linalg.norm(axis) * (1.0, 1.0, 0.5) * rate / k.kick_time_s
            self._push_left_s = k.kick_time_s
        push = self._push if self._push_left_s > 0 else np.zeros(3)
        return self._wind.copy(), push.copy()


def _clip(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _matrix(q: tuple[float, float, float, float]) -> tuple[Vector, Vector, Vector]:
    """The rotation matrix of a unit quaternion, by rows."""
    w, x, y, z = q
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def _turned(
    q: tuple[float, float, float, float], rate: Vector, dt: float
) -> tuple[float, float, float, float]:
    """``q`` after turning at a constant body rate for ``dt``, exactly, and normalised."""
    w, x, y, z = q
    speed = math.sqrt(rate[0] * rate[0] + rate[1] * rate[1] + rate[2] * rate[2])
    half = speed * dt / 2
    c, s = math.cos(half), (math.sin(half) / speed if speed > 1e-12 else dt / 2)
    a, b, d = s * rate[0], s * rate[1], s * rate[2]
    nw, nx = w * c - x * a - y * b - z * d, w * a + x * c + y * d - z * b
    ny, nz = w * b - x * d + y * c + z * a, w * d + x * b - y * a + z * c
    n = 1 / math.sqrt(nw * nw + nx * nx + ny * ny + nz * nz)
    return nw * n, nx * n, ny * n, nz * n
