"""The rover's dynamics and its state: exact arcs, limits, frames."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asyncmde_sim.envs.robots import RobotSpec, camera_mount, make_rover
from asyncmde_sim.envs.rover import MAX_YAW_ACCEL_RADPS2, advance_rover
from asyncmde_sim.envs.state import BodyState, Odometry, inverse_pose, pose_vector, yaw_pose
from asyncmde_sim.scenes.backend import RobotBody

ROVER = make_rover()
DT_S = ROVER.control_dt_ns * 1e-9


def drive(state: BodyState, action, steps: int) -> list[BodyState]:
    states = [state]
    for _ in range(steps):
        states.append(advance_rover(states[-1], np.array(action, float), ROVER, DT_S))
    return states


def test_constant_commands_end_on_a_circle():
    circling = drive(BodyState(yaw_pose(np.array([1.0, 2.0, 0.0]), 0.3)), (0.8, 0.5), 120)[60:]
    radius = 0.8 * ROVER.max_speed_mps / (0.5 * ROVER.max_yaw_rate_radps)
    centres = [s.position + radius * s.rotation[:, 1] for s in circling]
    np.testing.assert_allclose(centres, np.broadcast_to(centres[0], np.shape(centres)), atol=1e-9)


def test_acceleration_stays_within_the_limits_and_velocity_is_the_poses_derivative():
    rng = np.random.default_rng(0)
    state = BodyState(np.eye(4))
    for _ in range(200):
        after = advance_rover(state, rng.uniform(-1, 1, 2), ROVER, DT_S)
        speeds = [float(s.to_body(s.velocity)[0]) for s in (state, after)]
        assert abs(speeds[1] - speeds[0]) <= ROVER.max_accel_mps2 * DT_S + 1e-9
        assert abs(after.rate[2] - state.rate[2]) <= MAX_YAW_ACCEL_RADPS2 * DT_S + 1e-9
        assert abs(after.to_body(after.velocity)[1]) < 1e-9
        moved = np.linalg.norm(after.position - state.position)
        assert moved == pytest.approx(abs(sum(speeds)) / 2 * DT_S, abs=2e-5)
        state = after


def test_top_speed_and_yaw_rate_are_reached_and_not_exceeded():
    last = drive(BodyState(np.eye(4)), (1.0, -1.0), 60)[-1]
    assert np.linalg.norm(last.velocity) == pytest.approx(ROVER.max_speed_mps)
    assert last.rate[2] == pytest.approx(-ROVER.max_yaw_rate_radps)


def test_the_cameras_motion_is_the_derivative_of_its_pose():
    states = drive(BodyState(np.eye(4)), (0.7, 0.6), 61)
    robot_mount = camera_mount((0.2, 0.05, 0.4), 0.1)
    now, after = (s.camera_motion(robot_mount) for s in states[-2:])
    predicted = now.poses_at(np.array([DT_S]))[0]
    np.testing.assert_allclose(predicted[:3, :3], after.pose[:3, :3], atol=1e-6)
    np.testing.assert_allclose(predicted[:3, 3], after.pose[:3, 3], atol=2e-3)


def test_a_pitched_camera_looks_up():
    assert camera_mount((0, 0, 0), 0.2)[2, 2] == pytest.approx(math.sin(0.2))
    np.testing.assert_allclose(camera_mount((0, 0, 0))[:3, 2], [1, 0, 0])


def test_exact_odometry_is_the_pose_from_the_start():
    start = yaw_pose(np.array([3.0, -2.0, 0.5]), 2.0)
    odometry = Odometry(start, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(pose_vector(odometry.pose), [0, 0, 0, 1, 0, 0, 0], atol=1e-12)
    moved = start @ yaw_pose(np.array([1.0, 0.5, 0.0]), -0.7)
    odometry.update(moved, DT_S)
    np.testing.assert_allclose(odometry.pose, inverse_pose(start) @ moved, atol=1e-12)


def test_odometry_drift_grows_with_its_size_and_keeps_a_rotation():
    def error(noise: float) -> float:
        final = []
        for seed in range(20):
            odometry = Odometry(np.eye(4), noise, np.random.default_rng(seed))
            for step in range(1, 100):
                odometry.update(yaw_pose(np.array([0.05 * step, 0, 0]), 0.0), 0.05)
            np.testing.assert_allclose(odometry.pose[:3, :3] @ odometry.pose[:3, :3].T, np.eye(3), atol=1e-9)
            final.append(np.linalg.norm(odometry.pose[:3, 3] - [4.95, 0, 0]))
        return float(np.mean(final))

    small, large = error(0.01), error(0.1)
    assert 0 < 3 * small < large


@pytest.mark.parametrize("name", ["max_speed_mps", "max_yaw_rate_radps", "max_accel_mps2", "control_dt_ns"])
def test_a_robot_without_limits_is_refused(name):
    values = {
        "name": "r",
        "body": RobotBody(0.1, 0.2),
        "camera": ROVER.camera,
        "T_body_camera": np.eye(4),
        "control_dt_ns": 1,
        "max_speed_mps": 1.0,
        "max_yaw_rate_radps": 1.0,
        "max_accel_mps2": 1.0,
    }
    with pytest.raises(ValueError, match=f"{name} is -1"):
        RobotSpec(**{**values, name: -1})
