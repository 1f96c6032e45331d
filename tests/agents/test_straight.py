"""The control agent arrives where nothing is in the way."""

import numpy as np
import pytest

from asyncmde_sim.agents import make_agent
from asyncmde_sim.envs.quadrotor import Quadrotor
from asyncmde_sim.envs.robots import RobotSpec, make_quad, make_rover
from asyncmde_sim.envs.rover import advance_rover
from asyncmde_sim.envs.state import BodyState, pose_vector, yaw_pose

GOALS = [(5.0, 0.0, 0.0), (3.0, 3.0, 0.0), (-4.0, 1.0, 0.0)]


def observe(state: BodyState, goal: np.ndarray) -> dict:
    return {"odometry": pose_vector(state.pose), "goal": state.to_body(goal - state.position)}


@pytest.mark.parametrize("goal", GOALS)
def test_the_ground_robot_arrives_in_the_open(goal):
    robot = make_rover()
    agent, state = make_agent("straight", robot), BodyState(yaw_pose(np.zeros(3), 0.0))
    for _ in range(600):
        action = agent.act(observe(state, np.array(goal)))
        state = advance_rover(state, action.astype(float), robot, robot.control_dt_ns * 1e-9)
        if np.linalg.norm(state.position - goal) < 0.2:
            return
    pytest.fail(f"it stands at {state.position}")


@pytest.mark.parametrize("goal", [(x, y, 1.0) for x, y, _ in GOALS])
def test_the_quadrotor_flies_through_the_goal_at_top_speed(goal):
    robot: RobotSpec = make_quad()
    agent, quad = make_agent("straight", robot), Quadrotor()
    for _ in range(240):
        state = BodyState(quad.motion.pose, quad.velocity, quad.body_rate)
        action = agent.act(observe(state, np.array(goal))).astype(float)
        assert np.linalg.norm(action[:3]) == pytest.approx(1.0, abs=1e-5)
        quad.step((*(robot.max_speed_mps * action[:3]), robot.max_yaw_rate_radps * action[3]), 1 / 60)
        if np.linalg.norm(quad.position - goal) < 1.0:
            return
    pytest.fail(f"it is at {quad.position}")
