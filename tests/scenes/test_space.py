"""Laws of free space and geodesic distance."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.mesh_io import from_trimesh
from asyncmde_sim.scenes.raycast import RaycastBackend

ROVER = RobotBody(0.18, 0.5)
QUAD = RobotBody(0.15, flies=True)


def box(low, high) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    return trimesh.creation.box(high - low, trimesh.transformations.translation_matrix((low + high) / 2))


def scene(*parts: trimesh.Trimesh) -> RaycastBackend:
    return RaycastBackend(from_trimesh(trimesh.util.concatenate(list(parts))), "scene")


@pytest.fixture(scope="module")
def walled() -> RaycastBackend:
    """An 8 x 6 m room; a wall at x = 0 reaches from y = -3 to y = 1, leaving a 2 m passage."""
    return scene(box([-4, -3, 0], [4, 3, 2.5]), box([-0.05, -3, 0], [0.05, 1, 2.5]))


@pytest.mark.parametrize("body, z", [(ROVER, 0.0), (QUAD, 1.2)])
def test_straight_line(walled, body, z):
    goal = np.array([3.0, 2.0, z])
    points = np.array([[3.0, -2, z], [1, 2, z], [1, -1, z], [2.5, 1.7, z], [-3, 2, z]])
    field = walled.distance_field(goal, body)
    straight = np.linalg.norm(points - goal, axis=1)
    np.testing.assert_allclose(field(points), straight, rtol=0.02, atol=0.02)
    near = goal + np.array([[0.0, 0, 0], [0.1, 0.05, 0]])
    np.testing.assert_allclose(field(near), np.linalg.norm(near - goal, axis=1))


@pytest.mark.parametrize("body, z", [(ROVER, 0.0), (QUAD, 1.2)])
def test_around_a_corner(walled, body, z):
    goal, start = np.array([2.0, -1.5, z]), np.array([-2.0, -1.5, z])
    radius = body.radius_m
    # A taut string around the wall's end: two tangents and an arc of the body's radius.
    leg = np.array([2.0 - 0.05, 2.5])
    distance = np.linalg.norm(leg)
    tangent = np.sqrt(distance**2 - radius**2)
    arc = radius * (np.arctan2(leg[1], leg[0]) + np.arcsin(radius / distance))
    exact = 2 * (tangent + arc) + 0.1
    assert walled.distance_field(goal, body)(start[None])[0] == pytest.approx(exact, rel=0.02)


def test_symmetry_and_triangle_inequality(walled):
    points = walled.sample_free(np.random.default_rng(1), ROVER, 6)
    table = np.array([walled.distance_field(p, ROVER)(points) for p in points])
    np.testing.assert_allclose(table, table.T, rtol=0.03, atol=0.05)
    through = (table[:, :, None] + table[None]).min(axis=1)
    assert (table <= through * 1.02 + 0.06).all()
    straight = np.linalg.norm(points[:, None] - points, axis=2)
    assert (table >= straight - 0.04).all()


@pytest.mark.parametrize("body", [ROVER, QUAD])
def test_samples_are_free_and_repeatable(walled, body):
    first, again = (walled.sample_free(np.random.default_rng(3), body, 50, 0.2) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (50, 3)
    assert walled.clearance(first, body).min() >= 0.2
    if body.flies:
        assert np.ptp(first[:, 2]) > 0.5
    else:
        np.testing.assert_allclose(first[:, 2], 0, atol=1e-6)
    assert np.isfinite(walled.distance_field(first[0], body)(first)).all()


def test_no_way_is_infinite():
    closed = scene(box([-4, -3, 0], [4, 3, 2.5]), box([1.0, -3, 0], [1.1, 3, 2.5]))
    for body, z in ((ROVER, 0.0), (QUAD, 1.0)):
        field = closed.distance_field(np.array([-2.0, 0, z]), body)
        assert np.isfinite(field(np.array([[-3.0, 1, z]])))
        assert field(np.array([[2.5, 0, z], [99.0, 0, z]])).tolist() == [np.inf, np.inf]
        other = closed.distance_field(np.array([2.5, 0, z]), body)
        assert other(np.array([[-3.0, 1, z]]))[0] == np.inf


def test_touching_a_wall_still_has_a_way(walled):
    field = walled.distance_field(np.array([3.0, 2.0, 0]), ROVER)
    touching = np.array([[3.99 - ROVER.radius_m, -1.0, 0]])
    assert walled.clearance(touching, ROVER)[0] == pytest.approx(0.01, abs=1e-6)
    assert field(touching)[0] == pytest.approx(np.hypot(0.81, 3.0), rel=0.03)


def test_body_decides_what_is_in_the_way():
    beam = scene(box([-4, -3, 0], [4, 3, 2.5]), box([-0.1, -3, 0.6], [0.1, 3, 0.8]))
    start, goal = np.array([[-2.0, 0, 0]]), np.array([2.0, 0, 0])
    assert beam.distance_field(goal, RobotBody(0.18, 0.5))(start)[0] == pytest.approx(4, rel=0.02)
    assert beam.distance_field(goal, RobotBody(0.18, 0.7))(start)[0] == np.inf
    lift = np.array([0, 0, 0.3])
    over = beam.distance_field(goal + lift, QUAD)(start + lift)[0]
    assert 4.0 < over < 4.6


def test_inside_of_furniture_and_outside_of_the_house_are_not_free():
    floor = box([-4, -3, -0.1], [4, 3, 0])
    block = box([-1, -1, 0], [1, 1, 1.5])
    walls = [box([-4, s * 3 - 0.05, 0], [4, s * 3 + 0.05, 2.5]) for s in (-1, 1)]
    walls += [box([s * 4 - 0.05, -3, 0], [s * 4 + 0.05, 3, 2.5]) for s in (-1, 1)]
    far = box([30, 30, 2], [30.1, 30.1, 2.1])
    house = scene(floor, block, *walls, far)
    assert house.floor_m == pytest.approx(0)
    for body in (ROVER, QUAD):
        points = house.sample_free(np.random.default_rng(0), body, 200)
        assert (np.abs(points[:, :2]) < [4, 3]).all()
        assert not ((np.abs(points[:, :2]) < 1).all(axis=1) & (points[:, 2] < 1.5)).any()


def test_scene_without_free_space():
    crammed = scene(box([0, 0, 0], [0.2, 0.2, 2.0]))
    for body in (ROVER, QUAD):
        with pytest.raises(ValueError, match=r"scene: the scene has no free space for a body of radius"):
            crammed.sample_free(np.random.default_rng(0), body, 1)
    wall = scene(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]]))
    with pytest.raises(ValueError, match="scene: no horizontal surface can be the floor"):
        wall.sample_free(np.random.default_rng(0), ROVER, 1)


def test_margin_that_fits_nowhere(walled):
    with pytest.raises(ValueError, match="use a smaller body or margin"):
        walled.sample_free(np.random.default_rng(0), ROVER, 1, margin_m=5.0)
