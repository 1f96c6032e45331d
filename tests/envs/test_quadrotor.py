"""Laws of the quadrotor's dynamics, its controller and its disturbances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asyncmde_sim.envs.quadrotor import (
    GRAVITY_MPS2,
    Disturbance,
    DisturbanceParameters,
    Quadrotor,
    QuadrotorParameters,
)

DT = 1 / 60
HOVER = (0.0, 0.0, 0.0, 0.0)


def fly(quad: Quadrotor, command, seconds: float, **kwargs) -> list[np.ndarray]:
    velocities = []
    for _ in range(round(seconds / DT)):
        quad.step(command, DT, **kwargs)
        velocities.append(quad.velocity)
    return velocities


def tilt(quad: Quadrotor) -> float:
    return math.acos(min(1.0, quad.rotation[2, 2]))


def test_hover_stays_bit_for_bit_in_still_air():
    quad = Quadrotor((1.0, 2.0, 1.5), yaw_rad=0.7)
    fly(quad, HOVER, 2.0)
    np.testing.assert_allclose(quad.position, (1.0, 2.0, 1.5), atol=1e-9)
    np.testing.assert_allclose(quad.body_rate, 0, atol=1e-9)


def test_free_fall_loses_the_energy_that_gravity_gives():
    k = QuadrotorParameters(drag_per_s=1e-12, rotor_lag_s=1e-9)
    quad = Quadrotor((0, 0, 10.0), parameters=k)
    fly(quad, None, 1.0, substeps=64)
    assert quad.velocity[2] == pytest.approx(-GRAVITY_MPS2, rel=1e-6)
    energy = GRAVITY_MPS2 * quad.position[2] + quad.velocity @ quad.velocity / 2
    assert energy == pytest.approx(GRAVITY_MPS2 * 10.0, rel=1e-3)


def test_a_tumbling_free_body_keeps_its_angular_momentum():
    k = QuadrotorParameters(rotor_lag_s=1e-9)
    quad = Quadrotor(parameters=k)
    quad.step(None, 0.1, angular_push=(40.0, -25.0, 30.0), substeps=400)

    def momentum() -> np.ndarray:
        return quad.rotation @ (np.array(k.inertia_kgm2) * quad.body_rate)

    before = momentum()
    quad.step(None, 1.0, substeps=20000)
    np.testing.assert_allclose(momentum(), before, rtol=2e-3, atol=2e-5)


def test_the_attitude_stays_a_rotation_under_rough_flight():
    quad, rng = Quadrotor(), np.random.default_rng(0)
    for _ in range(300):
        quad.step(rng.uniform(-6, 6, 4), DT, rng.normal(size=3) * 3, rng.normal(size=3) * 50)
        assert np.linalg.norm(quad.quaternion) == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(quad.rotation @ quad.rotation.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("velocity", [(6, 0, 0), (0, 3, 0), (0, 0, 2), (3, -3, 1), (-4, 0, -1)])
@pytest.mark.parametrize("yaw", [0.0, 2.0])
def test_the_velocity_reaches_its_command_in_the_yaw_levelled_frame(velocity, yaw):
    quad = Quadrotor(yaw_rad=yaw)
    velocities = fly(quad, (*velocity, 0.0), 3.0)
    c, s = math.cos(yaw), math.sin(yaw)
    wanted = np.array([c * velocity[0] - s * velocity[1], s * velocity[0] + c * velocity[1], velocity[2]])
    np.testing.assert_allclose(velocities[-1], wanted, atol=0.15)
    speed = np.linalg.norm(wanted)
    assert max(np.linalg.norm(v) for v in velocities) < 1.15 * speed + 0.1
    reached = next(i for i, v in enumerate(velocities) if np.linalg.norm(v - wanted) < 0.2 * speed)
    assert reached * DT < 1.3


def test_steady_wind_is_flown_against():
    quad = Quadrotor()
    fly(quad, HOVER, 8.0, wind=(4.0, 0.0, 0.0))
    np.testing.assert_allclose(quad.velocity, 0, atol=0.05)
    assert quad.rotation[0, 2] < -0.05, "it leans into the wind"


def test_yaw_rate_is_reached_and_limited():
    quad = Quadrotor()
    fly(quad, (0, 0, 0, 2.0), 2.0)
    assert quad.body_rate[2] == pytest.approx(2.0, abs=0.05)
    fly(quad, (0, 0, 0, 100.0), 3.0)
    assert quad.body_rate[2] == pytest.approx(quad.parameters.max_yaw_rate_radps, abs=0.05)


def test_tilt_body_rate_and_acceleration_stay_within_their_limits():
    quad, k = Quadrotor(), QuadrotorParameters()
    before = quad.velocity
    for i in range(240):
        quad.step((6.0 if i // 40 % 2 else -6.0, 0, 0, 0), DT)
        assert tilt(quad) < k.max_tilt_rad + 0.1
        assert np.all(np.abs(quad.body_rate) < 1.25 * k.max_body_rate_radps)
        assert np.linalg.norm((quad.velocity - before)[:2]) / DT < k.max_accel_mps2 * 1.3 + k.drag_per_s * 6
        before = quad.velocity


def test_a_kick_throws_the_attitude_and_the_controller_recovers():
    quad = Quadrotor()
    peak_rate = peak_tilt = 0.0
    for i in range(60):
        quad.step(HOVER, DT, angular_push=(0.0, 80.0, 0.0) if i < 6 else (0.0, 0.0, 0.0))
        peak_rate, peak_tilt = max(peak_rate, abs(quad.body_rate[1])), max(peak_tilt, tilt(quad))
    assert 2.0 < peak_rate < 9.0
    assert 0.25 < peak_tilt < 1.3
    assert tilt(quad) < 0.1
    calm = Quadrotor()
    fly(calm, HOVER, 1.0)
    assert tilt(calm) < 1e-6, "without a kick nothing happens"


def test_doubling_the_substeps_changes_the_flight_little():
    coarse, fine = Quadrotor(), Quadrotor()
    for _ in range(120):
        coarse.step((5, 1, 0.5, 1.0), DT)
        fine.step((5, 1, 0.5, 1.0), DT, substeps=16)
    np.testing.assert_allclose(coarse.position, fine.position, atol=0.05)


def test_the_motion_predicts_the_next_pose():
    quad = Quadrotor()
    fly(quad, (4, 1, 0, 1.0), 0.5)
    predicted = quad.motion.poses_at(np.array([1e-3]))[0]
    quad.step((4, 1, 0, 1.0), 1e-3)
    np.testing.assert_allclose(quad.motion.pose, predicted, atol=1e-4)


def test_disturbances_repeat_by_seed_and_differ_between_seeds():
    def run(seed: int) -> np.ndarray:
        d = Disturbance(DisturbanceParameters(), np.random.default_rng(seed))
        return np.array([np.concatenate(d.step(DT)) for _ in range(300)])

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_gusts_are_stationary_with_the_stated_spread_and_correlation():
    k = DisturbanceParameters(gust_mps=2.0, gust_time_s=0.5, kicks_per_s=0)
    d = Disturbance(k, np.random.default_rng(0))
    wind = np.array([d.step(0.05)[0] for _ in range(40000)])
    np.testing.assert_allclose(wind.std(0), (2.0, 2.0, 1.0), rtol=0.06)
    lagged = np.mean(wind[10:, 0] * wind[:-10, 0]) / 4.0
    assert lagged == pytest.approx(math.exp(-1), abs=0.06)


def test_kicks_come_at_their_rate_and_last_their_time():
    k = DisturbanceParameters(kicks_per_s=0.5, kick_radps=8.0)
    d = Disturbance(k, np.random.default_rng(1))
    pushes = np.array([np.linalg.norm(d.step(DT)[1]) for _ in range(60 * 600)])
    on = pushes > 0
    kicks = np.count_nonzero(on[1:] & ~on[:-1])
    assert 240 < kicks < 340
    assert on.sum() * DT / kicks == pytest.approx(k.kick_time_s, rel=0.2)
    assert np.all((pushes[on] >= 20 - 1e-9) & (pushes[on] <= 80 + 1e-9))
    calm = Disturbance(DisturbanceParameters(gust_mps=0, kicks_per_s=0), np.random.default_rng(1))
    assert all(not np.any(np.concatenate(calm.step(DT))) for _ in range(100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuadrotorParameters(mass_kg=0), "mass_kg is 0"),
        (lambda: QuadrotorParameters(inertia_kgm2=(1e-3, -1.0, 1e-3)), r"inertia_kgm2\[1\] is -1.0"),
        (lambda: QuadrotorParameters(max_tilt_rad=2.0), "max_tilt_rad is 2.0"),
        (lambda: QuadrotorParameters(max_rotor_thrust_n=0.5), "stronger rotors"),
        (lambda: DisturbanceParameters(gust_mps=-1), "gust_mps is -1"),
        (lambda: DisturbanceParameters(kick_time_s=0), "kick_time_s is 0"),
    ],
)
def test_impossible_parameters_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
