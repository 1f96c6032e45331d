"""The flying agent in analytic worlds of pillars, flown with the real dynamics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.agents import Agent
from asyncmde_sim.agents.flight_avoid import FlightAvoidAgent
from asyncmde_sim.agents.flight_map import CourseMap, Extent
from asyncmde_sim.agents.flight_memory import CameraState, SpaceMemory, View, moving_points
from asyncmde_sim.agents.flight_plan import free_reach, predict
from asyncmde_sim.agents.straight import StraightAgent
from asyncmde_sim.envs.quadrotor import Quadrotor
from asyncmde_sim.envs.robots import RobotSpec
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import Camera

DT_NS = round(1e9 / 60)
DT = DT_NS * 1e-9
MOUNT = np.array([[0, 0, 1, 0.05], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
CAMERA = Camera(width=112, height=84)
ROBOT = RobotSpec("quad", RobotBody(0.15, flies=True), CAMERA, MOUNT, DT_NS, 5.0, 3.0, 9.0)


@dataclass
class Pillars:
    """Endless vertical cylinders (x, y, radius) between a floor at -1.5 m and a ceiling at 1.5 m."""

    pillars: list[tuple[float, float, float]] = field(default_factory=list)

    def depth(self, pose: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
        u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        f = camera.focal_px
        rays = np.stack([(u - camera.width / 2) / f, (v - camera.height / 2) / f, np.ones_like(u)], -1)
        d = rays @ pose[:3, :3].T
        origin = pose[:3, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            best = np.where(d[..., 2] > 0, (1.5 - origin[2]) / d[..., 2], (-1.5 - origin[2]) / d[..., 2])
            for x, y, r in self.pillars:
                ox, oy = origin[0] - x, origin[1] - y
                a = d[..., 0] ** 2 + d[..., 1] ** 2
                b = d[..., 0] * ox + d[..., 1] * oy
                root = b * b - a * (ox * ox + oy * oy - r * r)
                t = (-b - np.sqrt(root)) / a
                best = np.where((root > 0) & (t > 0) & (t < best), t, best)
        return np.where(best < camera.max_range_m, best, 0.0).astype(np.float32)

    def clearance(self, p: np.ndarray, radius: float) -> float:
        gaps = [math.hypot(p[0] - x, p[1] - y) - r for x, y, r in self.pillars]
        return min([*gaps, 1.5 - p[2], p[2] + 1.5]) - radius


def observe(quad: Quadrotor, goal: np.ndarray, step: int, depth: np.ndarray | None, age_s: float) -> dict:
    rotation = quad.rotation
    q = quad.quaternion
    return {
        "goal": (rotation.T @ (goal - quad.position)).astype(np.float32),
        "velocity": (rotation.T @ quad.velocity).astype(np.float32),
        "gyro": quad.body_rate.astype(np.float32),
        "odometry": np.concatenate([quad.position, q * (1 if q[0] >= 0 else -1)]).astype(np.float32),
        "time": np.array([step * DT], np.float32),
        "has_depth": 0 if depth is None else 1,
        "depth": np.zeros((84, 112), np.float32) if depth is None else depth,
        "depth_age": np.array([age_s], np.float32),
    }


@dataclass
class Flight:
    arrived: bool
    min_clearance: float
    top_speed: float
    seconds: float


def fly(
    world: Pillars,
    goal=(12.0, 0.0, 0.0),
    delay_steps: int = 0,
    agent: Agent | None = None,
    seconds: float = 8.0,
    start_yaw: float = 0.0,
) -> Flight:
    agent = agent or FlightAvoidAgent(ROBOT)
    quad, goal = Quadrotor(yaw_rad=start_yaw), np.array(goal)
    depths: list[np.ndarray] = []
    clearance = top = 0.0
    clearance = math.inf
    for step in range(round(seconds / DT)):
        depths.append(world.depth(quad.motion.pose @ MOUNT))
        depth = depths[step - delay_steps] if step >= delay_steps else None
        action = agent.act(observe(quad, goal, step, depth, min(step, delay_steps) * DT))
        assert action.shape == (4,) and np.all(np.abs(action) <= 1)
        quad.step((*(action[:3] * ROBOT.max_speed_mps), action[3] * ROBOT.max_yaw_rate_radps), DT)
        clearance = min(clearance, world.clearance(quad.position, ROBOT.body.radius_m))
        top = max(top, float(np.linalg.norm(quad.velocity)))
        if np.linalg.norm(goal - quad.position) < 0.6:
            return Flight(True, clearance, top, (step + 1) * DT)
        if clearance <= 0:
            break
    return Flight(False, clearance, top, seconds)


PILLARS = Pillars([(5.0, 0.1, 0.3), (8.0, -0.8, 0.3), (8.0, 0.9, 0.3)])


def test_it_flies_fast_through_pillars_without_touching_them():
    flight = fly(PILLARS)
    assert flight.arrived and flight.min_clearance > 0.05
    assert flight.top_speed > 2.5


def test_without_avoidance_the_same_flight_collides():
    flight = fly(PILLARS, agent=StraightAgent(ROBOT))
    assert not flight.arrived and flight.min_clearance <= 0


def test_in_the_open_it_reaches_nearly_its_top_speed():
    flight = fly(Pillars(), goal=(20.0, 0.0, 0.0))
    assert flight.arrived and flight.top_speed > 0.85 * ROBOT.max_speed_mps


def test_old_depth_makes_it_slower_but_not_less_safe_in_a_static_world():
    fresh, old = fly(PILLARS), fly(PILLARS, delay_steps=18, seconds=12.0)
    assert old.min_clearance > 0.0
    assert old.seconds > fresh.seconds


def test_a_goal_behind_it_is_looked_at_before_it_is_flown_to():
    flight = fly(Pillars([(-4.0, 0.0, 0.4)]), goal=(-9.0, 0.0, 0.0))
    assert flight.arrived and flight.min_clearance > 0.0


def test_it_hovers_without_an_estimate_and_after_a_reset():
    agent, quad, goal = FlightAvoidAgent(ROBOT), Quadrotor(), np.array([9.0, 0, 0])
    for step in range(5):
        np.testing.assert_array_equal(agent.act(observe(quad, goal, step, None, step * DT)), np.zeros(4))
    assert agent.act(observe(quad, goal, 5, Pillars().depth(quad.motion.pose @ MOUNT), 0.0))[0] > 0.2
    agent.reset()
    np.testing.assert_array_equal(agent.act(observe(quad, goal, 0, None, 0.0)), np.zeros(4))


def test_it_stops_on_stale_depth_and_goes_on_with_newer():
    world, agent, quad, goal = Pillars(), FlightAvoidAgent(ROBOT), Quadrotor(), np.array((60.0, 0.0, 0.0))
    speeds = []
    for step in range(round(6 / DT)):
        time_s = step * DT
        gone_s = min(max(time_s - 1.5, 0.0), 3.0) if time_s < 4.5 else 0.0
        if gone_s == 0.0:
            depth = world.depth(quad.motion.pose @ MOUNT)
        action = agent.act(observe(quad, goal, step, depth, gone_s))
        quad.step((*(action[:3] * ROBOT.max_speed_mps), action[3] * ROBOT.max_yaw_rate_radps), DT)
        speeds.append(float(np.linalg.norm(quad.velocity)))
    at = [speeds[round(t / DT) - 1] for t in (1.5, 4.5, 6.0)]
    assert at[0] > 1.0 and at[1] < 0.1 and at[2] > 1.0


def test_it_repeats_itself():
    assert fly(PILLARS, seconds=2.0) == fly(PILLARS, seconds=2.0)


def test_a_ground_robot_is_refused():
    rover = RobotSpec("rover", RobotBody(0.18, 0.5), CAMERA, MOUNT, DT_NS, 1.2, 2.5, 2.5)
    with pytest.raises(ValueError, match="'rover' does not fly"):
        FlightAvoidAgent(rover)


def camera_state(time_s: float = 0.0, x: float = 0.0, yaw: float = 0.0) -> CameraState:
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return CameraState(time_s, turn @ MOUNT[:3, :3], np.array([x, 0, 0]), np.zeros(3), np.zeros(3))


def view(world: Pillars, state: CameraState, camera: Camera = CAMERA) -> View:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = state.rotation, state.position
    return View.of_depth(world.depth(pose, camera), camera, state, 8.0)


def test_points_lie_on_the_surfaces_they_were_seen_on():
    points = view(PILLARS, camera_state(yaw=0.2)).points
    assert len(points) > 500
    assert max(abs(PILLARS.clearance(p, 0.0)) for p in points) < 1e-3


PROBES = np.array([[3.0, 0, 0], [4.3, 0.1, 0], [5.7, 0.1, 0], [-1.0, 0, 0], [1.0, 3.0, 0]])


def test_a_view_knows_what_it_sees_free():
    assert view(PILLARS, camera_state()).sees_free(PROBES).tolist() == [True, True, False, False, False]


def test_the_map_remembers_what_was_seen_free_and_leads_around_what_was_not():
    course = CourseMap(np.zeros(3), np.array([9.0, 0.0, 0.0]))
    straight = course.to_go(np.zeros((1, 3)))[0]
    assert straight == pytest.approx(9.0, abs=0.4)
    course.add(view(PILLARS, camera_state()))
    course.add(view(Pillars(), camera_state(0.1, yaw=-1.6)))
    assert course.seen_free(PROBES).tolist() == [True, True, False, False, False]
    wall = Pillars([(3.0, y, 0.3) for y in np.arange(-2.0, 2.1, 0.5)])
    for step in range(3):
        course.add(view(wall, camera_state(0.2 + 0.1 * step)))
    course.refresh()
    assert course.to_go(np.zeros((1, 3)))[0] > straight + 0.5
    for step in range(20):
        course.add(view(Pillars(), camera_state(0.5 + 0.1 * step)))
    course.refresh()
    assert course.to_go(np.zeros((1, 3)))[0] == pytest.approx(straight, abs=0.3), "seen to be gone"


def test_what_moved_away_is_forgotten_at_the_next_look_and_the_rest_when_old():
    memory = SpaceMemory(keep_s=1.0)
    memory.add(view(PILLARS, camera_state()))
    pillar = np.array([4.8, 0.1, 0.0])

    def near() -> bool:
        return bool((np.linalg.norm(memory.points - pillar, axis=1) < 0.3).any())

    assert near()
    memory.add(view(Pillars(), camera_state(0.1)))
    assert not near(), "seen to be gone"
    memory.add(view(PILLARS, camera_state(0.2)))
    memory.add(view(Pillars(), camera_state(0.3, yaw=2.5)))
    assert near(), "out of sight is not gone"
    memory.add(view(Pillars(), camera_state(1.4, yaw=2.5)))
    assert not near(), "forgotten with time"


def test_there_is_no_way_beyond_the_walls_and_below_the_floor_that_were_seen():
    course = CourseMap(np.zeros(3), np.array([9.0, 0.0, 0.0]))
    walls = Pillars([(x, y, 0.3) for x in np.arange(-20.0, 30.0, 0.5) for y in (-2.5, 2.5)])
    for yaw in (0.0, 1.2, -1.2):
        course.add(view(walls, camera_state(yaw=yaw)))
    course.refresh()
    inside, outside, below = course.to_go(np.array([[4.0, 1.0, 0.0], [4.0, 4.0, 0.0], [4.0, 0.0, -2.5]]))
    assert inside < 6.0
    assert outside > 3 * inside and below > 3 * inside


def test_an_extent_holds_what_was_seen_and_the_room_of_its_places_and_no_more():
    extent = Extent(np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    grid = np.stack(np.meshgrid([-2.0, 2.0, 6.0], [-3.0, 0.0, 3.0], [-2.0, 0.0, 2.0], indexing="ij"), -1)
    assert extent.holds(grid).sum() == 1
    extent.add(grid.reshape(-1, 3), grid.reshape(-1, 3), np.zeros(3))
    assert extent.holds(grid).all()


def test_the_floor_is_where_most_low_points_are_and_never_above_where_the_robot_flew():
    rng = np.random.default_rng(0)
    floor, deeper, wall = rng.uniform(-1, 1, (3, 1000, 3))
    floor[:, 2], deeper[:, 2] = -1.5, rng.uniform(-2.5, -1.5, 1000)
    near = np.concatenate([floor, deeper[:30], wall])
    extent = Extent(np.zeros((2, 3)))
    extent.add(near, near[:0], np.zeros(3))
    assert extent.floor_m == pytest.approx(-0.3), "nothing near enough has been seen"
    extent.add(near, near, np.zeros(3))
    assert extent.floor_m == pytest.approx(-1.5, abs=0.06), "a few that are estimated too far make no hole"
    extent.add(near, near, np.array([0.0, 0.0, -1.6]))
    assert extent.floor_m == pytest.approx(-1.9)


def test_it_stays_above_the_floor_of_its_map(monkeypatch):
    def lowest() -> float:
        heights: list[float] = []

        class Watched(FlightAvoidAgent):
            def act(self, observation):
                heights.append(float(observation["odometry"][2]))
                return super().act(observation)

        fly(Pillars(), goal=(7.0, 0.0, -1.2), agent=Watched(ROBOT), seconds=4.0)
        return min(heights)

    assert lowest() < -0.4
    monkeypatch.setattr(CourseMap, "floor_m", property(lambda _: -0.5))
    assert lowest() > -0.5 + ROBOT.body.radius_m


def test_points_whose_depth_is_off_by_more_than_a_cell_mark_none():
    wall = Pillars([(5.0, y, 0.3) for y in np.arange(-4.0, 4.1, 0.5)])
    ways = []
    for spread in (0.0, 0.05, 0.1):
        course = CourseMap(np.zeros(3), np.array([9.0, 0.0, 0.0]))
        course.add(view(wall, camera_state()), spread)
        course.refresh()
        ways.append(float(course.to_go(np.zeros((1, 3)))[0]))
    assert ways[0] == ways[1] > ways[2] + 0.5
    assert ways[2] == pytest.approx(9.0, abs=0.4)


def test_a_wall_seen_at_a_grazing_angle_keeps_no_holes():
    course = CourseMap(np.zeros(3), np.array([9.0, 0.0, 0.0]))
    wall = Pillars([(4.5, 41.0, 40.0)])
    for step in range(30):
        course.add(view(wall, camera_state(0.1 * step, x=0.05 * step, yaw=0.3)))
    course.refresh()
    beyond, before = course.to_go(np.array([[4.5, 1.8, 0.0], [4.5, 0.0, 0.0]]))
    assert before < 5.0 and beyond > before + 1.0


@pytest.mark.parametrize("speed", [1.5, 2.5, 3.5])
def test_a_moving_edge_has_the_velocity_of_what_moves(speed):
    span, y = 0.12, -0.3
    views = [
        view(Pillars([(2.5, y + speed * time, 0.25)]), camera_state(time, x=0.3 * time))
        for time in (0.0, span)
    ]
    points, velocity, _ = moving_points(views[1], views[0])
    assert len(points) > 10
    assert velocity[:, 1].mean() == pytest.approx(speed, abs=0.6)


def test_what_follows_a_moving_front_out_of_sight_fills_the_way_it_came():
    agent = FlightAvoidAgent(ROBOT)
    memory = agent._memory = SpaceMemory()
    for time in (0.0, 0.12):
        memory.add(view(Pillars([(2.5, 2.0 * time - 0.3, 0.25)]), camera_state(time)))
    front, velocity = (m.mean(0) for m in memory.moving)

    def taken(at: np.ndarray) -> bool:
        ghosts, arrival_s = agent._ghosts(np.zeros(3), 0.0)
        return bool((np.linalg.norm(ghosts[arrival_s <= 0] - at, axis=1) < 0.2).any())

    behind = front - 0.3 * velocity
    assert taken(front) and not taken(behind), "in sight, what follows is seen itself"
    memory.add(view(Pillars(), camera_state(0.52, yaw=2.5)))
    assert taken(front + 0.4 * velocity) and taken(front), "0.4 s later it has come so far"
    assert not taken(behind)


def test_the_part_of_a_moving_thing_that_left_the_view_is_carried_on_beside_the_part_in_view():
    memory = SpaceMemory()
    for time in (0.0, 0.12):
        memory.add(view(Pillars([(2.5, 2.0 * time - 0.3, 0.25)]), camera_state(time)))
    low = memory.moving[0][:, 2] < -0.4
    up = camera_state(0.24)
    tilt = Rotation.from_euler("y", -35, degrees=True).as_matrix()
    memory.add(view(Pillars([(2.5, 0.18, 0.25)]), replace(up, rotation=tilt @ up.rotation)))
    points, velocity = memory.moving
    assert (memory.moving_unseen_s == 0).any(), "the upper part is seen to move"
    carried = points[memory.moving_unseen_s > 0]
    assert low.sum() > 5 and (carried[:, 2] < -0.4).sum() == low.sum()
    assert velocity[:, 1].mean() == pytest.approx(2.0, abs=0.6)


def test_a_turn_makes_nothing_move():
    views = [view(PILLARS, camera_state(0.12 * k, x=0.4 * k, yaw=0.25 * k)) for k in (0, 1)]
    assert len(moving_points(views[1], views[0]).points) < 5


def test_views_that_disagree_everywhere_make_nothing_move_but_what_stands_out_of_their_error(monkeypatch):
    rng = np.random.default_rng(0)
    reference, after = view(PILLARS, camera_state(0.0)), view(PILLARS, camera_state(0.12))

    def found(with_mover: bool) -> int:
        world = Pillars([*PILLARS.pillars, (1.2, 0.6, 0.15)]) if with_mover else PILLARS
        pose = np.eye(4)
        pose[:3, :3] = after.state.rotation
        depth = world.depth(pose) * np.exp(rng.normal(0, 0.1, (84, 112)))
        seen = View.of_depth(depth.astype(np.float32), CAMERA, after.state, 8.0)
        return len(moving_points(seen, reference).points)

    assert found(False) < 40 and found(True) > 80
    monkeypatch.setattr("asyncmde_sim.agents.flight_memory.MOTION_SPREADS", 0.0)
    assert found(False) > 80, "without it, error is taken for motion"


def test_rolling_shutter_rows_are_placed_where_the_camera_was():
    camera = Camera(width=112, height=84, readout_s=0.02)
    spinning = CameraState(0.0, MOUNT[:3, :3], np.zeros(3), np.array([0, 2.0, 0]), np.zeros(3))
    still = CameraState(0.0, MOUNT[:3, :3], np.zeros(3), np.zeros(3), np.zeros(3))
    depth = np.full((84, 112), 4.0, np.float32)
    turned, level = (View.of_depth(depth, camera, state, 8.0).points for state in (spinning, still))
    shift = turned - level
    assert np.abs(shift[:, 1]).max() == pytest.approx(0.02, rel=0.05)
    np.testing.assert_allclose(shift[:, [0, 2]], 0, atol=1e-9)


def test_a_rolling_shutter_view_sees_its_own_points_at_their_depth():
    camera = Camera(width=112, height=84, readout_s=0.02)
    state = CameraState(
        0.0, MOUNT[:3, :3], np.zeros(3), np.array([4.0, 1.0, 0.5]), np.array([2.0, 3.0, -1.0])
    )
    seen = View.of_depth(PILLARS.depth(MOUNT, camera), camera, state, 8.0)
    z, measured = seen.depth_at(seen.points)
    found = np.isfinite(measured)
    assert found.mean() > 0.98
    assert np.median(np.abs(z - measured)[found]) < 0.01


def test_predicted_flights_match_the_dynamics():
    quad = Quadrotor()
    for _ in range(60):
        quad.step((4.0, 0, 0, 0), DT)
    start, speed = quad.position, quad.velocity
    lean = 9.81 * quad.rotation[:, 2] / quad.rotation[2, 2] * [1, 1, 0]
    flown = []
    for step in range(90):
        quad.step((2.0, 2.0, 0, 0) if step < 24 else (0, 0, 0, 0), DT)
        if step % 6 == 5:
            flown.append(quad.position)
    flights = predict(np.array([[2.0, 2.0, 0.0]]), start, speed, lean, 0.4, ROBOT.max_accel_mps2)[:, 0]
    n = min(len(flown), len(flights))
    assert np.abs(flights[:n] - flown[:n]).max() < 0.35


def test_free_reach_is_the_distance_to_the_first_blocking_point():
    points = np.array([[3.0, 0.1, 0], [5.0, 0, 0], [0, -2.0, 0]])
    directions = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]])
    np.testing.assert_allclose(free_reach(directions, np.zeros(3), points, 0.2, 6.0), [3, 6, 2], atol=1e-6)
    np.testing.assert_allclose(free_reach(directions, np.zeros(3), np.zeros((0, 3)), 0.2, 6.0), 6)
