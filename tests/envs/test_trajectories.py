"""Open-loop trajectories stay free, are smooth, and repeat."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from asyncmde_sim.envs.robots import make_quad, make_rover
from asyncmde_sim.envs.state import inverse_pose
from asyncmde_sim.envs.trajectories import aggressive, expert, smooth_random

FRAMES = 50

every_style = pytest.mark.parametrize("style", [smooth_random, expert, aggressive], ids=lambda f: f.__name__)
every_robot = pytest.mark.parametrize("make_robot", [make_rover, make_quad], ids=lambda f: f.__name__)


@every_robot
@every_style
def test_the_camera_moves_freely_as_its_velocity_says(backend, style, make_robot):
    robot = make_robot()
    frames = 3 * FRAMES if robot.body.flies else FRAMES
    motions = style(backend, robot, np.random.default_rng(1), frames)
    assert len(motions) == frames
    mount = inverse_pose(robot.T_body_camera)
    bodies = np.array([(m.pose @ mount)[:3, 3] for m in motions])
    assert (backend.clearance(bodies, robot.body) > 0).all()
    assert np.ptp(bodies, axis=0).max() > 0.2, "it moves"
    dt_s = robot.control_dt_ns * 1e-9
    for now, after in itertools.pairwise(motions):
        mean = (now.linear_velocity + after.linear_velocity) / 2
        np.testing.assert_allclose((after.pose - now.pose)[:3, 3] / dt_s, mean, atol=0.25)
        predicted = now.poses_at(np.array([dt_s]))[0]
        assert np.abs(predicted[:3, :3] - after.pose[:3, :3]).max() < 0.1


@every_style
def test_the_rover_stays_level_at_its_height_and_within_its_limits(backend, style):
    robot = make_rover()
    for motion in style(backend, robot, np.random.default_rng(2), FRAMES):
        np.testing.assert_allclose(motion.pose[2, :3], [0, -1, 0], atol=1e-9)
        assert motion.pose[2, 3] == pytest.approx(0.45, abs=0.03)
        assert np.linalg.norm(motion.linear_velocity) <= robot.max_speed_mps + 1e-6
        assert np.linalg.norm(motion.angular_velocity) <= robot.max_yaw_rate_radps + 1e-6


def test_aggressive_flight_turns_harder_than_smooth_flight(backend):
    def rate(style) -> float:
        motions = style(backend, make_quad(), np.random.default_rng(3), 120)
        return float(np.mean([np.linalg.norm(m.angular_velocity) for m in motions]))

    assert rate(aggressive) > 1.3 * rate(smooth_random)


@every_style
def test_the_same_generator_gives_the_same_trajectory(backend, style):
    one, other = (style(backend, make_rover(), np.random.default_rng(4), 20) for _ in range(2))
    assert all(np.array_equal(a.pose, b.pose) for a, b in zip(one, other, strict=True))


@every_style
def test_no_frames_are_refused(backend, style):
    with pytest.raises(ValueError, match="num_frames is 0"):
        style(backend, make_rover(), np.random.default_rng(0), 0)
