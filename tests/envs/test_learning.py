"""Observations to learn from: encoding, stacking, and both libraries' checkers."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from asyncmde_sim.agents.learned.view import CHANNELS, make_view, view_for
from asyncmde_sim.envs.learning import DepthView, LearningWrapper, ViewConfig, depth_image
from asyncmde_sim.envs.registration import ENVIRONMENTS, make_environment
from asyncmde_sim.envs.robots import make_quad, make_rover
from asyncmde_sim.scenes.camera import Camera

SMALL = ViewConfig(height=36, width=48, frames=3, every=2, directions=16)


def observed(depth=2.0, time=0.0, **values):
    told = {
        "depth": np.full((48, 64), depth, np.float32),
        "has_depth": np.int64(1),
        "time": np.array([time]),
        "odometry": np.array([0, 0, 0, 1, 0, 0, 0], float),
        "goal": np.array([3.0, 4.0, 0.0]),
        "velocity": np.array([0.6, 0, 0]),
        "gyro": np.zeros(3),
        "trust": np.array([0.5]),
        **{age: np.zeros(1) for age in ("depth_age", "content_age", "refresh_age")},
    }
    return {**told, **values}


def learning_env(scene, view):
    plain = make_environment(
        ENVIRONMENTS["IndoorStatic-v0"], depth="oracle", scene=scene, camera=Camera(64, 48)
    )
    return LearningWrapper(plain, view_for(view, plain))


def test_nearer_is_brighter_none_is_black_and_far_is_dark():
    levels = [
        depth_image(np.full((96, 128), d, np.float32), (48, 64)).mean() for d in (0, 20, 3, 1, 0.3, 0.1)
    ]
    assert levels[0] == 0
    assert levels[1:] == sorted(levels[1:])
    assert levels[1] > 0 and levels[-1] == levels[-2] == 255


@pytest.mark.parametrize("shape", [(48, 64), (96, 128), (100, 70), (20, 30)])
def test_each_pixel_is_the_mean_over_its_part(shape):
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 8, shape).astype(np.float32)
    image = depth_image(depth, (48, 64))
    assert image.shape == (48, 64)
    near = 255 * 0.3 / depth
    row, column = 17, 41
    low = [i * length // parts for i, length, parts in ((row, shape[0], 48), (column, shape[1], 64))]
    high = [
        max((i + 1) * length // parts, start + 1)
        for i, length, parts, start in ((row, shape[0], 48, low[0]), (column, shape[1], 64, low[1]))
    ]
    part = near[low[0] : high[0], low[1] : high[1]]
    assert abs(float(image[row, column]) - part.mean()) <= 0.51


def test_stack_is_the_past_and_starts_with_the_first_image():
    view = DepthView(SMALL, make_rover(), has_goal=True)
    alone = [view.see(observed(depth=1.0 + step))["depth"] for step in range(7)]
    newest = [stack[-1] for stack in alone]
    for step, stack in enumerate(alone):
        for frame in range(3):
            assert (stack[frame] == newest[max(step - 2 * (2 - frame), 0)]).all()
    view.reset()
    again = view.see(observed(depth=3.0))["depth"]
    assert (again == again[0]).all()


def test_state_reads_goal_motion_and_ages():
    view = DepthView(SMALL, make_rover(max_speed_mps=1.2), has_goal=True)
    state = view.see(observed(depth_age=np.array([0.25]), content_age=np.array([7.0])))["state"]
    assert state[:5] == pytest.approx([5 / 15, 1 / 6, 0.6, 0.8, 0])
    assert state[5] == pytest.approx(0.5)
    assert state[11:] == pytest.approx([1, 0.25, 1, 0, 0.5])
    assert view.space["state"].contains(state)
    assert DepthView(SMALL, make_rover(), has_goal=False).space["state"].shape == (11,)


def test_memory_of_the_floor_turns_with_the_robot():
    view = make_view(SMALL, make_rover(camera=Camera(64, 48)), True)
    first = view.see(observed(depth=2.0))["around"].reshape(CHANNELS, 16)
    quarter = np.array([0, 0, 0, np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    turned = view.see(observed(time=0.1, odometry=quarter, has_depth=np.int64(0)))["around"]
    turned = turned.reshape(CHANNELS, 16)
    assert first[0, 0] < 0.7 and first[1, 0] > first[1, 8]  # a wall ahead; seen ahead, not behind
    # The body's own place is free and seen after the first step, so only the way beyond it is compared.
    assert turned[0, 12] == pytest.approx(first[0, 0], abs=0.03)
    assert turned[1, 12] == pytest.approx(first[1, 0], abs=0.03)
    view.reset()
    assert (view.see(observed(has_depth=np.int64(0)))["around"][:16] == 1).all()


@pytest.mark.parametrize("directions", [0, 16])
def test_checkers_of_both_libraries_say_nothing(directions, scene):
    stable_baselines3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*different from the unwrapped")
        warnings.filterwarnings("ignore", message=".*does not have a spec|.*spec is None|.*environment spec")
        view = replace(SMALL, directions=directions)
        check_env(learning_env(scene, view), skip_render_check=True)
        stable_baselines3.check_env(learning_env(scene, view), warn=True)


def test_flying_robots_keep_no_map_of_the_floor():
    with pytest.raises(ValueError, match=r"directions is 16.*flies"):
        make_view(SMALL, make_quad(), True)
    view = make_view(ViewConfig(directions=0), make_quad(), True)
    assert "around" not in view.space.spaces


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"height": 20}, "height is 20"),
        ({"frames": 0}, "frames is 0"),
        ({"directions": 3}, "directions is 3"),
    ],
)
def test_views_out_of_range_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        ViewConfig(**options)
