"""Time to collision against scenes and movers whose answer is known, and the episode's metrics."""

from __future__ import annotations

import numpy as np
import pytest

from asyncmde_sim.envs.measure import MAX_TIME_TO_COLLISION_S, EpisodeRecord, time_to_collision
from asyncmde_sim.envs.state import BodyState, yaw_pose
from asyncmde_sim.scenes.backend import Mover, RobotBody
from asyncmde_sim.scenes.camera import RigidMotion

CYLINDER = RobotBody(0.2, 0.5)
SPHERE = RobotBody(0.2, flies=True)


def state_at(position, velocity=(0.0, 0.0, 0.0)) -> BodyState:
    return BodyState(yaw_pose(np.array(position, float), 0.0), np.array(velocity, float))


def person(position, velocity=(0.0, 0.0, 0.0)) -> Mover:
    return Mover("person_a", RigidMotion(yaw_pose(np.array(position, float), 0.0), np.array(velocity, float)))


@pytest.mark.parametrize(("body", "height"), [(CYLINDER, 0.0), (SPHERE, 0.25)])
@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_driving_at_a_wall_takes_the_gap_over_the_speed(backend, body, height, speed):
    ttc = time_to_collision(backend, state_at((8.0, 4.0, height), (speed, 0, 0)), body)
    assert ttc == pytest.approx((12.0 - 8.0 - 0.2) / speed, rel=0.02)


@pytest.mark.parametrize("body", [CYLINDER, SPHERE])
def test_a_body_that_only_grazes_an_edge_counts(backend, body):
    beside = state_at((1.0, 2.8 + 0.15, 0.25 * body.flies), (1.0, 0, 0))
    past = state_at((1.0, 2.8 + 0.25, 0.25 * body.flies), (1.0, 0, 0))
    assert time_to_collision(backend, beside, body) < 2.01 < 4 < time_to_collision(backend, past, body)


def test_standing_still_is_safe_unless_somebody_comes(backend):
    still = state_at((8.0, 2.5, 0.0))
    assert time_to_collision(backend, still, CYLINDER) == MAX_TIME_TO_COLLISION_S
    assert time_to_collision(backend, still, CYLINDER, [person((10, 2.5, 0))]) == MAX_TIME_TO_COLLISION_S
    coming = person((10, 2.5, 0), (-1.0, 0, 0))
    assert 1.2 < time_to_collision(backend, still, CYLINDER, [coming]) < 2.0
    leaving = person((10, 2.5, 0), (1.0, 0, 0))
    assert time_to_collision(backend, still, CYLINDER, [leaving]) == MAX_TIME_TO_COLLISION_S


def test_only_the_closing_speed_counts(backend):
    driving = state_at((7.0, 2.5, 0.0), (1.0, 0, 0))
    fleeing = [person((9.0, 2.5, 0), (1.0, 0, 0))]
    nobody = time_to_collision(backend, driving, CYLINDER)
    assert time_to_collision(backend, driving, CYLINDER, fleeing) == nobody
    oncoming = [person((9.0, 2.5, 0), (-1.0, 0, 0))]
    standing = [person((9.0, 2.5, 0))]
    two, one = (time_to_collision(backend, driving, CYLINDER, m) for m in (oncoming, standing))
    assert one == pytest.approx(2 * two, rel=0.05)


def test_a_record_adds_up():
    record = EpisodeRecord(step_s=0.5)
    for clearance, ttc in ((1.0, 3.0), (0.4, 0.9), (0.6, 0.5)):
        record.add(2.0, clearance, ttc)
    metrics = record.metrics()
    assert metrics == {
        "path_length": 6.0,
        "min_clearance": 0.4,
        "min_time_to_collision": 0.5,
        "time_under_1s_ttc": 1.0,
        "duration_s": 1.5,
    }
