"""The simulated range sensor, and what the environments tell for the alignment of relative depth."""

from __future__ import annotations

import math
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from asyncmde_sim.envs.depth_wrapper import DepthWrapper
from asyncmde_sim.envs.range_sensor import MAX_RANGE_M, NOISE, ZONES, measure_ranges
from asyncmde_sim.runtime.sources import BlindSource
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(width=64, height=48)


def measured(depth_m: float, camera: Camera = CAMERA, seed: int = 0) -> np.ndarray:
    depth = np.full((camera.height, camera.width), depth_m, np.float32)
    return measure_ranges(depth, camera, np.random.default_rng(seed))


def test_zones_cover_a_square_of_45_degrees_around_the_axis():
    columns, rows, _ = measured(1.0).T
    assert len(columns) == ZONES**2
    outermost = 0.75 * math.tan(math.pi / 8) * CAMERA.focal_px
    assert columns.max() - 31.5 == pytest.approx(outermost, abs=0.5) and columns.min() + columns.max() == 63
    assert rows.max() - 23.5 == pytest.approx(outermost, abs=0.5) and rows.min() + rows.max() == 47


def test_noise_grows_with_the_distance():
    for depth in (0.5, 2.0):
        readings = np.concatenate([measured(depth, seed=seed)[:, 2] for seed in range(200)])
        assert readings.mean() == pytest.approx(depth, rel=0.01)
        assert readings.std() == pytest.approx(NOISE * depth, rel=0.1)


def test_nothing_is_read_out_of_range_or_out_of_view():
    assert not measured(1.2 * MAX_RANGE_M)[:, 2].any()
    assert not measured(0.0)[:, 2].any()
    narrow = measured(1.0, replace(CAMERA, hfov_rad=math.radians(20)))
    assert 0 < np.count_nonzero(narrow[:, 2]) < ZONES**2
    assert (narrow[:, 0] >= 0).all() and (narrow[:, 0] < CAMERA.width).all()
    assert (narrow[:, 1] >= 0).all() and (narrow[:, 1] < CAMERA.height).all()


@pytest.mark.parametrize("name", ["IndoorStatic-v0", "ExtremeMotion-v0"])
def test_environments_tell_the_cameras_height_and_ranges(name, scene):
    camera = replace(CAMERA, max_range_m=20.0)
    env = gym.make(f"asyncmde_sim:{name}", scene=scene, depth=None, camera=camera)
    _, info = env.reset(seed=0)
    for _ in range(5):
        assert info["camera_height_m"] == pytest.approx(info["T_world_camera"][2, 3], abs=1e-6)
        columns, rows, depth = info["ranges"].T
        true = info["true_depth"][rows.astype(int), columns.astype(int)]
        read = depth > 0
        assert info["ranges"].dtype == np.float32
        np.testing.assert_allclose(depth[read], true[read], rtol=6 * NOISE)
        info = env.step(env.action_space.sample())[-1]
    if name == "IndoorStatic-v0":
        assert info["camera_height_m"] == pytest.approx(0.45)


def test_the_wrapper_passes_them_on(scene):
    offered = []

    class Spy(BlindSource):
        def offer(self, frame):
            offered.append(frame)
            super().offer(frame)

    env = DepthWrapper(
        gym.make("asyncmde_sim:IndoorStatic-v0", scene=scene, depth=None, camera=CAMERA), Spy()
    )
    _, info = env.reset(seed=0)
    assert offered[0].camera_height_m == info["camera_height_m"]
    ranges = offered[0].ranges
    np.testing.assert_array_equal(np.stack([ranges.columns, ranges.rows, ranges.depth_m], 1), info["ranges"])


@pytest.mark.parametrize("align", ["floor", "ranges", "odometry"])
def test_an_episode_runs_on_aligned_depth_and_the_same_seed_gives_the_same(align):
    def played():
        options = {"depth": "foundation", "weights": "relative-stand-in", "align": align}
        env = gym.make("asyncmde_sim:IndoorStatic-v0", camera=CAMERA, scene="flat-val-0000", **options)
        observation, info = env.reset(seed=2)
        depths = [observation["depth"]]
        for _ in range(6):
            observation, *_, info = env.step(np.array([1.0, 0.1], np.float32))
            depths.append(observation["depth"])
        return np.array(depths), info

    (one, info), (other, _) = played(), played()
    np.testing.assert_array_equal(one, other)
    if align == "floor":  # the others find too little to see here in so few steps
        assert one.any() and "depth_scores" in info


def test_a_camera_that_distorts_cannot_be_aligned_by_the_floor(scene):
    bent = replace(CAMERA, distortion=(0.02, 0.0, 0.0, 0.0, 0.0))
    options = {"depth": "foundation", "weights": "relative-stand-in", "align": "floor"}
    env = gym.make("asyncmde_sim:IndoorStatic-v0", scene=scene, camera=bent, **options)
    with pytest.raises(ValueError, match=r"'floor' needs the camera's height and tilt.*a pinhole camera"):
        env.reset(seed=0)
