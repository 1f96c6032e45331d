"""The floor plan of a map: what is occupied, free and not seen, and frontiers and ways on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import asyncmde_sim
from asyncmde_sim.agents.floor_route import speeds, travel_times, way_back
from asyncmde_sim.agents.frontiers import find_frontiers
from asyncmde_sim.envs.robots import make_rover
from asyncmde_sim.envs.state import yaw_pose
from asyncmde_sim.mapping import FloorPlan, MapConfig, TsdfMap, floor_plan
from asyncmde_sim.scenes.camera import Camera, RigidMotion

assert asyncmde_sim.__version__
ROVER = make_rover(camera=Camera(width=112, height=84))
PLACE = np.array([2.0, 2.5, 0.0])
BLIND = PLACE[:2] + 0.6 * np.stack([np.cos(np.arange(20)), np.sin(np.arange(20))], axis=1)
BLIND = np.concatenate([PLACE[None, :2], (PLACE[:2] + BLIND) / 2, BLIND])
"""Where the camera at ``PLACE`` cannot see the floor, the robot has been."""


def seen_from(backend, views):
    """The map of the two rooms from views (x, y, yaw)."""
    tsdf = TsdfMap(MapConfig(voxel_m=0.05))
    for x, y, yaw in views:
        pose = yaw_pose(np.array([x, y, 0.0]), yaw) @ ROVER.T_body_camera
        tsdf.fuse(backend.render(ROVER.camera, RigidMotion(pose)).depth, ROVER.camera.pinhole, pose)
    return tsdf


@pytest.fixture(scope="module")
def plan(backend):
    views = [(2.0, 2.5, yaw) for yaw in np.arange(8) * math.pi / 4]
    return floor_plan(seen_from(backend, views), 0.0, 0.5, BLIND, ROVER.body.radius_m)


def cell(plan, x, y):
    return tuple(plan.index(np.array([x, y])))


def test_walls_and_the_box_are_occupied_and_the_floor_is_free(plan):
    for x, y in ((0.0, 2.5), (2.0, 0.0), (2.0, 5.0), (3.0, 2.5)):
        near = plan.room_m[cell(plan, x, y)]
        assert near < 0.1, (x, y)
    for x, y in ((1.0, 2.5), (2.0, 1.5), (2.0, 3.5), (4.0, 1.0)):
        assert plan.free[cell(plan, x, y)], (x, y)
    hidden = cell(plan, 4.5, 2.5)
    assert not plan.free[hidden] and not plan.occupied[hidden], "behind the box nothing was seen"


def test_room_is_the_distance_to_what_is_occupied(plan):
    x, y = np.argwhere(plan.occupied).T
    place = plan.index(np.array([1.0, 2.5]))
    nearest = np.hypot(x - place[0], y - place[1]).min() * plan.cell_m
    assert plan.room_m[tuple(place)] == pytest.approx(nearest)


def test_cells_and_points_round_trip(plan):
    cells = np.array([[0, 0], [7, 9]])
    np.testing.assert_array_equal(plan.index(plan.centre(cells)), cells)
    np.testing.assert_allclose(plan.centres[7, 9], plan.centre(cells[1]))


def test_where_the_robot_was_is_free_whatever_the_map_says(backend):
    wall = np.array([[0.0, 2.5]])
    tsdf = seen_from(backend, [(2.0, 2.5, math.pi)])
    there = floor_plan(tsdf, 0.0, 0.5, wall, 0.18)
    assert there.free[tuple(there.index(wall[0]))]
    elsewhere = floor_plan(tsdf, 0.0, 0.5, PLACE[None, :2], 0.18)
    assert not elsewhere.free[tuple(elsewhere.index(wall[0]))]


def test_a_goal_that_was_not_seen_is_in_the_plan(backend):
    goal = np.array([30.0, -20.0])
    tsdf = seen_from(backend, [(2.0, 2.5, 0.0)])
    plan = floor_plan(tsdf, 0.0, 0.5, PLACE[None, :2], 0.18, goal)
    np.testing.assert_allclose(plan.centre(plan.index(goal)), goal, atol=plan.cell_m)


def test_ways_go_around_the_box_and_keep_their_distance(plan):
    start, goal = np.array([2.0, 2.5]), np.array([4.0, 1.0])
    speed = speeds(plan, [start], 0.24, unseen_speed=0.0)
    times = travel_times(plan, speed, start)
    way = way_back(plan, times, goal)[::-1]
    np.testing.assert_allclose(way[0], start, atol=plan.cell_m)
    np.testing.assert_allclose(way[-1], goal, atol=plan.cell_m)
    assert plan.room_m[tuple(plan.index(way).T)].min() > 0.2
    length = np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    assert np.linalg.norm(goal - start) <= length < 1.5 * np.linalg.norm(goal - start)
    wall = plan.centre(np.argwhere(plan.occupied & (plan.room_m == 0))[0])
    assert np.isinf(times[cell(plan, *wall)]), "no way into a wall"


def test_from_within_an_obstacle_there_is_no_way():
    occupied = np.ones((20, 20), bool)
    occupied[:, :5] = False
    plan = FloorPlan(np.zeros(2), 0.05, occupied, ~occupied)
    times = travel_times(plan, np.where(occupied, 0.0, 1.0), np.array([0.5, 0.5]))
    assert np.isfinite(times).sum() == 1


def test_frontiers_lie_between_the_free_and_the_unseen(plan):
    start = PLACE[:2]
    times = travel_times(plan, speeds(plan, [start], 0.24, 0.0), start)
    frontiers = find_frontiers(plan, times)
    assert frontiers
    for frontier in frontiers:
        assert plan.free[tuple(plan.index(frontier.points).T)].all()
        assert np.isfinite(times[tuple(plan.index(frontier.place))])
    behind_box = min(np.linalg.norm(f.points - [4.5, 2.5], axis=1).min() for f in frontiers)
    assert behind_box < 1.0


def test_nothing_unseen_has_no_frontier():
    shape = (40, 40)
    occupied = np.ones(shape, bool)
    occupied[1:-1, 1:-1] = False
    plan = FloorPlan(np.zeros(2), 0.05, occupied, ~occupied)
    times = np.where(plan.free, 1.0, np.inf)
    assert find_frontiers(plan, times) == []


def test_a_cell_is_not_both():
    with pytest.raises(ValueError, match="both occupied and free"):
        FloorPlan(np.zeros(2), 0.05, np.ones((2, 2), bool), np.ones((2, 2), bool))
