"""The rover's agent: its map, its use of age and of not knowing, and whole episodes."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

import asyncmde_sim
from asyncmde_sim.agents import AGENTS, make_agent
from asyncmde_sim.agents.base import STALE_S, PoseHistory, depth_points, odometry_pose
from asyncmde_sim.agents.grid import CELL_M, RANGE_M, OccupancyGrid
from asyncmde_sim.agents.route import bearing_aside, plan_route
from asyncmde_sim.envs.robots import make_quad, make_rover
from asyncmde_sim.envs.state import pose_vector, yaw_pose
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.raycast import pixel_rays

assert asyncmde_sim.__version__
CAMERA = Camera(width=112, height=84)
ROVER = make_rover(camera=CAMERA)
RAYS = pixel_rays(CAMERA)


def box_depth(front_m: float, side_m: float = 1e3, height_m: float = 0.45) -> np.ndarray:
    """What the rover's camera sees of a floor, a wall ``front_m`` ahead and walls ``side_m`` to each side."""
    x, y = RAYS[..., 0].astype(float), RAYS[..., 1].astype(float)
    with np.errstate(divide="ignore"):
        floor = np.where(y > 0, height_m / y, np.inf)
        sides = np.where(x != 0, side_m / np.abs(x), np.inf)
    return np.minimum(np.minimum(floor, sides), front_m).astype(np.float32)


def observe(
    pose: np.ndarray, depth: np.ndarray | None, time_s: float, age_s=0.0, goal=(5.0, 0.0, 0.0), speed=0.0
):
    return {
        "depth": np.zeros(RAYS.shape[:2], np.float32) if depth is None else depth,
        "has_depth": int(depth is not None),
        "depth_age": np.array([age_s], np.float32),
        "time": np.array([time_s], np.float32),
        "odometry": pose_vector(pose).astype(np.float32),
        "goal": np.array(goal, np.float32),
        "velocity": np.array([speed, 0, 0], np.float32),
    }


def test_depth_lands_on_the_wall_it_came_from():
    points = depth_points(box_depth(3.0), RAYS, yaw_pose(np.zeros(3), math.pi / 2) @ ROVER.T_body_camera)
    wall = points[points[:, 2] > 0.05]
    np.testing.assert_allclose(wall[:, 1], 3.0, atol=1e-3)
    assert np.abs(points[:, 2]).min() < 1e-3


def test_the_history_gives_the_pose_nearest_in_time():
    history = PoseHistory()
    for step in range(5):
        history.add(0.1 * step, yaw_pose(np.array([step, 0.0, 0.0]), 0.0))
    assert [history.at(t)[0, 3] for t in (-1.0, 0.0, 0.14, 0.16, 9.0)] == [0, 0, 1, 2, 4]
    with pytest.raises(ValueError, match="time must grow"):
        history.add(0.4, np.eye(4))
    with pytest.raises(RuntimeError, match="empty"):
        PoseHistory().at(0.0)


def test_odometry_round_trip():
    pose = yaw_pose(np.array([1.0, -2.0, 0.1]), 2.5)
    np.testing.assert_allclose(odometry_pose(pose_vector(pose)), pose, atol=1e-12)


def test_the_grid_holds_the_wall_and_frees_the_way_to_it():
    grid = OccupancyGrid(ROVER, RAYS)
    grid.integrate(box_depth(3.02), yaw_pose(np.zeros(3), 0.0))
    wall, way, behind = (grid.index(np.array([x, 0.0])) for x in (3.02, 2.0, 3.4))
    assert grid.occupied[tuple(wall)]
    assert grid.log_odds[tuple(way)] < 0 and grid.seen[tuple(way)]
    assert not grid.seen[tuple(behind)]
    assert not grid.seen[tuple(grid.index(np.array([-1.0, 0.0])))]


def test_what_moved_away_is_cleared_and_what_was_not_looked_at_is_kept():
    grid = OccupancyGrid(ROVER, RAYS)
    here = yaw_pose(np.zeros(3), 0.0)
    for _ in range(5):
        grid.integrate(box_depth(2.02), here)
    seen_at = tuple(grid.index(np.array([2.02, 0.0])))
    assert grid.occupied[seen_at]
    away = OccupancyGrid.index(np.array([0.0, 3.0]))
    grid.log_odds[tuple(away)] = 3.0
    for _ in range(12):
        grid.integrate(box_depth(4.0), here)
    assert not grid.occupied[seen_at]
    assert grid.occupied[tuple(away)]


def test_low_things_below_the_view_are_not_cleared():
    grid = OccupancyGrid(ROVER, RAYS)
    cell = tuple(grid.index(np.array([0.35, 0.0])))
    grid.log_odds[cell], grid._top[cell] = 3.0, 0.06
    tall = tuple(grid.index(np.array([0.35, 0.1])))
    grid.log_odds[tall], grid._top[tall] = 3.0, 0.4
    for _ in range(12):
        grid.integrate(box_depth(4.0), yaw_pose(np.zeros(3), 0.0))
    assert grid.occupied[cell] and not grid.occupied[tall]


def test_one_stray_pixel_is_no_obstacle():
    grid = OccupancyGrid(ROVER, RAYS)
    depth = box_depth(4.0)
    depth[42, 56] = 1.0
    grid.integrate(depth, yaw_pose(np.zeros(3), 0.0))
    assert not grid.occupied[tuple(grid.index(np.array([1.0, 0.0])))]


def test_a_route_goes_round_a_wall_and_through_it_only_without_another_way():
    grid = OccupancyGrid(ROVER, RAYS)
    grid.seen[:] = True
    x = grid.index(np.array([1.0, 0.0]))[0]
    gap = slice(*grid.index(np.array([[0, 1.0], [0, 1.8]]))[:, 1])
    grid.log_odds[x, :] = 3.0
    grid.log_odds[x, gap] = -1.0
    ends = np.zeros(2), np.array([2.0, 0.0])
    route = plan_route(grid, *ends, room_m=0.2)
    crossing = route[np.argmin(np.abs(route[:, 0] - 1.0))]
    assert 1.1 < crossing[1] < 1.7
    grid.log_odds[x, gap] = 3.0
    closed = plan_route(grid, *ends, room_m=0.2)
    np.testing.assert_array_equal(closed[-1], ends[1])


@pytest.mark.parametrize("was_free", [True, False])
def test_only_what_came_to_where_it_was_free_is_forgotten_with_time(was_free):
    grid = OccupancyGrid(ROVER, RAYS)
    here = yaw_pose(np.zeros(3), 0.0)
    for _ in range(4 * was_free):
        grid.integrate(box_depth(3.0), here)
    for _ in range(3):
        grid.integrate(box_depth(1.52), here)
    front = tuple(OccupancyGrid.index(np.array([1.52 + ROVER.T_body_camera[0, 3], 0.0])))
    assert grid.occupied[front]
    grid.fade(np.zeros(2), 1.0)
    assert grid.occupied[front]
    grid.fade(np.zeros(2), 9.0)
    assert grid.occupied[front] != was_free


def test_a_step_aside_keeps_the_distance_that_there_is():
    grid = OccupancyGrid(ROVER, RAYS)
    corner = grid.index(np.array([0.2, -0.1]))
    here = np.zeros(2)
    assert bearing_aside(grid.room(here, 1.0), here, 0.0, 0.23) == 0.0
    grid.log_odds[tuple(corner)] = 3.0
    room = grid.room(here, 1.0)
    bearing = bearing_aside(room, here, 0.0, 0.23)
    assert 0.3 <= bearing <= 1.5, "the corner is to the right"
    clear, _ = room.at(np.linspace(0, 0.25, 6)[:, None] * [math.cos(bearing), math.sin(bearing)])
    assert (clear >= min(0.23, clear[0])).all()
    grid.log_odds[...] = 3.0
    assert bearing_aside(grid.room(here, 1.0), here, 0.7, 0.23) == 0.7


def test_when_stuck_it_goes_back_a_little_and_then_on():
    agent = make_agent("avoid", ROVER)
    poses = [yaw_pose(np.array([0.05 * k, 0.0, 0.0]), 0.0) for k in range(41)]
    for k, pose in enumerate(poses):
        agent.act(observe(pose, box_depth(4.0 - 0.05 * k), k / 30, speed=1.2))
    turned = [
        agent.act(observe(yaw_pose(poses[-1][:3, 3], 0.05 * j), box_depth(0.2), 2 + j / 30))
        for j in range(300)
    ]
    assert any(action[1] == np.float32(0.6) for action in turned), "it looks around"
    assert agent._refuge is not None and 0.7 < 2.0 - agent._refuge[0] < 1.3
    agent.act(observe(yaw_pose(np.array([*agent._refuge, 0.0]), 0.0), box_depth(3.0), 20.0, speed=0.3))
    assert agent._refuge is None


def test_an_old_estimate_is_placed_where_its_frame_was_captured():
    """Turning with depth that is 4 frames late builds the same map as turning with depth in time."""
    agents = [make_agent("avoid", ROVER) for _ in range(2)]
    poses = [yaw_pose(np.zeros(3), 0.1 * k) for k in range(12)]
    depths = [box_depth(2.0 + 0.1 * k) for k in range(12)]
    for k, pose in enumerate(poses):
        agents[0].act(observe(pose, depths[k], 0.1 * k))
    for k in range(12 + 4):
        pose = poses[min(k, 11)]
        depth = depths[k - 4] if k >= 4 else None
        agents[1].act(observe(pose, depth, 0.1 * k, age_s=0.4))
    # observed times are float32, and what fades with time is as exact as they are
    np.testing.assert_allclose(agents[0]._grid.log_odds, agents[1]._grid.log_odds, atol=1e-6)


def test_without_an_estimate_the_robot_stands_still():
    agent = make_agent("avoid", ROVER)
    for k in range(300):
        action = agent.act(observe(np.eye(4), None, k / 30))
        assert not action.any()


def test_age_makes_it_slower_and_a_wall_makes_it_stop():
    def speed(front_m: float, age_s: float) -> float:
        agent, goal = make_agent("avoid", ROVER), (0.9 * front_m, 0.0, 0.0)
        for k in range(3):
            action = agent.act(observe(np.eye(4), box_depth(front_m, 1.5), 1.0 + k / 30, age_s, goal))
        return float(action[0])

    assert speed(2.5, 0.0) == pytest.approx(1.0, abs=0.05)
    assert speed(1.2, 1.0) < 0.7 * speed(1.2, 0.0)
    assert speed(0.26, 0.0) == 0.0


def test_it_slows_between_walls_the_more_the_nearer_they_are():
    speeds = []
    for side_m in (1.5, 0.45, 0.35, 0.3):
        agent = make_agent("avoid", ROVER)
        for k in range(3):
            action = agent.act(observe(np.eye(4), box_depth(2.5, side_m), 1.0 + k / 30, goal=(2.2, 0.0, 0.0)))
        speeds.append(float(action[0]))
    assert speeds[0] > speeds[1] > speeds[-1] > 0 and speeds == sorted(speeds, reverse=True)


def test_a_short_cut_keeps_the_room_that_the_route_has():
    """Past a corner the robot does not head for the farthest place that a straight line just reaches."""
    agent = make_agent("avoid", ROVER)
    grid = agent._grid
    grid.seen[:] = True
    low, high = grid.index(np.array([[0.1, 0.4], [0.5, 1.4]]))
    grid.log_odds[low[0] : high[0], low[1] : high[1]] = 3.0
    ahead = [(x, 0.0) for x in np.arange(0, 0.91, 0.05)]
    agent._route = np.array([*ahead, *((0.9, y) for y in np.arange(0.05, 0.5, 0.05))])
    here = np.zeros(2)
    room = grid.room(here, 2.2)
    bearing = agent._target_bearing(here, room)
    reach = np.linspace(0.0, 0.9, 40)[:, None]
    clear, _ = room.at(here + reach * [math.cos(bearing), math.sin(bearing)])
    kept, _ = room.at(agent._route)
    assert clear.min() >= kept.min() - CELL_M - 1e-9


def test_it_never_drives_fast_into_what_it_has_not_seen():
    agent = make_agent("avoid", ROVER)
    blank = np.zeros(RAYS.shape[:2], np.float32)
    action = agent.act(observe(np.eye(4), blank, 0.0))
    assert action[0] * ROVER.max_speed_mps <= 0.25 + 1e-6
    behind = agent.act(observe(np.eye(4), box_depth(3.0), 1.0, goal=(-3.0, 0.1, 0.0)))
    assert behind[0] == 0 and abs(behind[1]) > 0.5, "it turns round before it drives"


def test_reset_forgets_the_last_episode():
    agent = make_agent("avoid", ROVER)
    first = [agent.act(observe(np.eye(4), box_depth(2.0, 0.6), k / 30)) for k in range(20)]
    agent.reset(seed=1)
    again = [agent.act(observe(np.eye(4), box_depth(2.0, 0.6), k / 30)) for k in range(20)]
    np.testing.assert_array_equal(first, again)


def test_it_arrives_in_another_room_and_blind_it_does_not(scene):
    def play(depth: str, most: int) -> dict:
        env = gym.make("asyncmde_sim:IndoorStatic-v0", depth=depth, scene=scene, camera=CAMERA)
        agent = make_agent("avoid", env.unwrapped.robot)
        observation, info = env.reset(seed=11)
        agent.reset(seed=11)
        for _ in range(most):
            observation, _, terminated, truncated, info = env.step(agent.act(observation))
            if terminated or truncated:
                break
        return info

    assert play("oracle", 1200)["success"]
    blind = play("blind", 60)
    assert not blind["success"] and blind["speed"] == 0


def test_agents_are_made_by_name_for_each_robot():
    assert type(make_agent("avoid", ROVER)) is not type(make_agent("avoid", make_quad()))
    with pytest.raises(ValueError, match=f"levitate.*{next(iter(AGENTS))}"):
        make_agent("levitate", ROVER)


def test_the_grids_range_is_within_a_pixel_per_cell():
    assert RANGE_M / make_rover().camera.focal_px < CELL_M


def test_it_slows_as_depth_grows_old_then_stops_and_goes_on_with_newer_depth():
    agent, speeds = make_agent("avoid", ROVER), []
    for age_s in (0.0, 0.3, 0.6, 0.9, STALE_S + 0.05, 2.0, 0.0):
        agent.reset()
        agent.act(observe(np.eye(4), box_depth(2.0), 0.0))
        speeds.append(float(agent.act(observe(np.eye(4), box_depth(2.0), 0.1 + age_s, age_s, speed=0.5))[0]))
    assert speeds[0] > 0 and speeds == [*sorted(speeds[:-1], reverse=True), speeds[-1]]
    assert speeds[4:] == [0.0, 0.0, speeds[0]]
    agent.reset()
    turned = agent.act(observe(np.eye(4), box_depth(2.0), 9.0, 3.0, goal=(0.0, 5.0, 0.0)))
    assert turned.tolist() == [0.0, 0.0]
