"""Tracks, references and maps along them: what counts as seen, what a jump is, and what drift costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import trimesh

import asyncmde_sim
from asyncmde_sim.evaluation.map_picture import upright_rotation
from asyncmde_sim.evaluation.map_runs import estimates_along, fuse_track
from asyncmde_sim.evaluation.map_scores import check_reference, make_reference, score_map
from asyncmde_sim.evaluation.tracks import drifting, recorded_track, seen_track
from asyncmde_sim.mapping import MapConfig
from asyncmde_sim.metrics.mesh import distances_to
from asyncmde_sim.recordings import RecordedFrame, Recording
from asyncmde_sim.recordings.frames import frames_along
from asyncmde_sim.runtime import make_source
from asyncmde_sim.scenes.camera import Camera

assert asyncmde_sim.__version__
CONFIG = MapConfig(voxel_m=0.05)


@pytest.fixture(scope="module")
def seen(scene):
    camera = Camera(width=112, height=84)
    env = gym.make("IndoorStatic-v0", scene=scene, camera=camera, disable_env_checker=True)
    track = seen_track("way", camera.pinhole, frames_along(env, "smooth", 0, 90))
    mesh = env.unwrapped.backend.mesh
    return track, trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.fixture(scope="module")
def reference(seen):
    return make_reference(seen[0], 5.0, seen[1])


def fused(track, depth="oracle", latency_ms=0.0, poses=None):
    source = make_source(depth, latency_ms=latency_ms)
    return fuse_track(track, source, CONFIG, "uniform", poses or list(track.poses), 0)


def test_what_could_be_seen_lies_on_the_mesh_and_is_only_part_of_it(seen, reference):
    _, mesh = seen
    dense = trimesh.sample.sample_surface(mesh, 400_000, seed=5)[0]
    assert np.percentile(distances_to(dense, reference.surface), 99) < 0.05
    assert 0.05 < len(reference.surface) * 0.02**2 / mesh.area < 0.9
    assert (reference.free_m > 0).all()


def test_a_reference_from_depth_alone_is_like_that_from_the_mesh(seen, reference):
    track, _ = seen
    own = make_reference(track, 5.0)
    scores = score_map(fused(track).map.mesh(), own, 0.18)
    assert scores["f_10cm"] > 0.8
    assert abs(scores["f_10cm"] - score_map(fused(track).map.mesh(), reference, 0.18)["f_10cm"]) < 0.15


def test_true_depth_maps_the_truth_late_depth_too_and_none_nothing(seen, reference):
    track, _ = seen
    true = score_map(fused(track).map.mesh(), reference, 0.18)
    assert true["f_5cm"] > 0.75 and true["accuracy_m"] < 0.03
    late = fused(track, latency_ms=200.0)
    assert late.estimates < len(track)
    assert score_map(late.map.mesh(), reference, 0.18)["f_5cm"] > 0.7, "it is placed where it was captured"
    nothing = score_map(fused(track, "blind").map.mesh(), reference, 0.18)
    assert nothing["f_5cm"] == 0 and nothing["accuracy_m"] is None and nothing["obstacle_missed"] == 1


def test_drift_costs_accuracy_and_none_leaves_the_poses(seen, reference):
    track, _ = seen
    np.testing.assert_array_equal(drifting(track, 0.0, 0), track.poses)
    drifted = drifting(track, 0.2, 1)
    np.testing.assert_allclose(drifted[0], track.poses[0], atol=1e-9)
    true = score_map(fused(track).map.mesh(), reference, 0.18)
    off = score_map(fused(track, poses=drifted).map.mesh(), reference, 0.18)
    assert off["accuracy_m"] > 2 * true["accuracy_m"]


def test_every_estimate_comes_once_with_its_own_image(seen):
    track, _ = seen
    source = make_source("oracle", latency_ms=100.0)
    indices = []
    for index, image, estimate in estimates_along(track, source, track.poses, 0):
        assert track.times_ns[index] == estimate.capture_ns
        np.testing.assert_array_equal(image, track.see(index)[0])
        np.testing.assert_array_equal(estimate.depth, track.see(index)[1])
        indices.append(index)
    assert indices == sorted(set(indices))


def recording_of(poses, step_s=0.1):
    frames = tuple(
        RecordedFrame(round(i * step_s * 1e9), Path(f"{i}.png"), Path(f"{i}.png"), pose)
        for i, pose in enumerate(poses)
    )
    return Recording("walk", Camera().pinhole, frames, lambda path: np.zeros((1, 1), np.float32))


def moved(x):
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_a_jump_is_named_or_left_out():
    poses = [moved(0.0), moved(0.1), moved(7.0), moved(0.3), None, moved(0.5)]
    with pytest.raises(ValueError, match=r"the pose jumps at 0\.200 s \(2\.png\): 6\.90 m .* --on-jump skip"):
        recorded_track(recording_of(poses))
    track = recorded_track(recording_of(poses), on_jump="skip")
    assert len(track) == 4 and len(track.notes) == 2
    with pytest.raises(ValueError, match="no frame with a pose"):
        recorded_track(recording_of([None, None]), on_jump="skip")


def test_poses_that_are_not_rigid_are_refused():
    with pytest.raises(ValueError, match=r"the pose at 0\.100 s is not rigid"):
        recorded_track(recording_of([moved(0.0), np.diag([2.0, 2, 2, 1])]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.diag([1000.0, 1000, 1000, 1]), "millimetres"),
        (np.diag([100.0, 100, 100, 1]), "centimetres"),
        (trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]), "y axis seems to point up"),
        (trimesh.transformations.translation_matrix([50, 0, 0]), "in the frame of the poses"),
    ],
)
def test_a_reference_in_other_units_or_axes_is_found_out(seen, change, message):
    track, mesh = seen
    check_reference(mesh, track, 5.0)
    with pytest.raises(ValueError, match=message):
        check_reference(mesh.copy().apply_transform(change), track, 5.0)


def test_a_picture_finds_up_where_the_world_has_other_axes(seen):
    track, _ = seen
    np.testing.assert_array_equal(upright_rotation(track), np.eye(3))
    lying = np.eye(4)
    lying[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    turned = dataclasses.replace(track, poses=tuple(lying @ pose for pose in track.poses))
    up = upright_rotation(turned) @ lying[:3, :3] @ [0, 0, 1]
    assert up[2] > 0.95
