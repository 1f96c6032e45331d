"""Clips from the environments: they move as the robot does, alike for a seed, and join a folder of others."""

import numpy as np
import pytest

from asyncmde_sim.envs.registration import ENVIRONMENTS
from asyncmde_sim.envs.robots import make_quad, make_rover
from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.training import render
from asyncmde_sim.training.clips import CLOSE_M, KINDS, read_shard, write_shard
from asyncmde_sim.training.data import ClipPool
from asyncmde_sim.training.render import REGIMES, RenderJob, render_jobs, render_shard
from asyncmde_sim.training.trajectories import CLIPS_A_RECORDING, cut, trajectory_clips

CAMERA = Camera(48, 32)
CLIPS, FRAMES = 3, 4


def clips_of(regime, scene, seed):
    rng = np.random.default_rng(seed)
    return trajectory_clips(f"{regime}-v0", {"scene": scene}, REGIMES[regime][1], CAMERA, CLIPS, FRAMES, rng)


def test_every_environment_has_its_regime():
    exploring = {"IndoorExplore-v0"}  # sees what IndoorStatic-v0 does
    assert {f"{regime}-v0" for regime in REGIMES} == set(ENVIRONMENTS) - exploring


@pytest.mark.parametrize("regime", REGIMES)
def test_a_clip_moves_as_the_robot_does_and_sees_what_it_sees(scene, regime):
    clips = clips_of(regime, scene, 0)
    assert clips.images.shape == (CLIPS, FRAMES, 32, 48, 3)
    robot = make_quad() if regime == "ExtremeMotion" else make_rover()
    steps = np.linalg.norm(np.diff(clips.poses[..., :3, 3], axis=1), axis=-1)
    assert 0 < steps.max() <= 1.5 * robot.max_speed_mps * robot.control_dt_ns * 1e-9
    assert (clips.depth > 0).mean() > 0.9 and clips.images.std() > 5


@pytest.mark.parametrize("regime", ["IndoorDynamic", "ExtremeMotion"])
def test_the_same_seed_gives_the_same_clips(scene, regime):
    first, again, other = (clips_of(regime, scene, seed) for seed in (1, 1, 2))
    for kind in KINDS:
        assert np.array_equal(getattr(first, kind), getattr(again, kind))
    assert not np.array_equal(first.poses, other.poses)


def test_recordings_differ_in_their_exposure(scene, monkeypatch):
    cameras = []

    def recorded(env, motion, seed, most):
        cameras.append(env.unwrapped.robot.camera)
        return [frame(0)] * most

    monkeypatch.setattr("asyncmde_sim.training.trajectories.frames_along", recorded)
    rng = np.random.default_rng(0)
    count = 8 * CLIPS_A_RECORDING
    trajectory_clips("ExtremeMotion-v0", {"scene": scene}, REGIMES["ExtremeMotion"][1], CAMERA, count, 2, rng)
    assert len(cameras) == 8 == len({camera.exposure_gain for camera in cameras})
    assert {camera.blur_samples for camera in cameras} == {1, 3}
    assert all((c.width, c.height, c.hfov_rad) == (48, 32, CAMERA.hfov_rad) for c in cameras)


def test_a_scene_whose_recordings_are_all_shorter_than_a_clip_is_given_up(scene, monkeypatch):
    monkeypatch.setattr("asyncmde_sim.training.trajectories.frames_along", lambda *_: [frame(0)])
    with pytest.raises(ValueError, match="20 recordings were shorter than a clip of 4 frames"):
        clips_of("IndoorStatic", scene, 0)


def frame(index):
    pose = np.eye(4)
    pose[0, 3] = index
    return index, np.full((32, 48, 3), index, np.uint8), np.full((32, 48), index, np.float32), pose


@pytest.mark.parametrize(
    ("recorded", "wanted", "count"), [(48, 4, 4), (17, 4, 4), (9, 4, 2), (4, 4, 1), (3, 4, 0), (0, 4, 0)]
)
def test_clips_are_frames_in_a_row_that_no_two_share(recorded, wanted, count):
    clips = cut([frame(i) for i in range(recorded)], wanted, 4, np.random.default_rng(0))
    assert len(clips) == count
    seen = [clip.poses[0, :, 0, 3] for clip in clips]
    assert all(np.array_equal(np.diff(indices), [1, 1, 1]) for indices in seen)
    assert len({i for indices in seen for i in indices}) == 4 * count
    for clip, indices in zip(clips, seen, strict=True):
        for shown in (clip.depth[0, :, 0, 0], clip.images[0, :, 0, 0, 0]):
            assert np.array_equal(shown, indices)


@pytest.mark.parametrize("regime", ["IndoorStatic", "ExtremeMotion"])
def test_close_clips_start_within_a_metre_of_something_and_the_usual_ones_do_not(regime, tmp_path):
    for motion in ("velocity", "close"):
        (job,) = render_jobs("val", 1, 3, 2, 0, tmp_path, [regime], CAMERA, motion)
        poses = read_shard(tmp_path, render_shard(job)).poses[:, 0]
        backend = load_backend(job.scene)
        ahead = backend.range_along(poses[:, :3, 3], poses[:, :3, 2])
        backend.close()
        assert ((ahead < CLOSE_M) == (motion == "close")).all()


def test_a_shard_that_cannot_be_rendered_is_named_and_the_rest_of_its_scene_is_rendered(
    tmp_path, monkeypatch, capsys
):
    close, usual = (
        render_jobs("val", 1, 1, 2, 0, tmp_path, ["IndoorStatic"], CAMERA, motion)[0]
        for motion in ("close", "velocity")
    )
    rendered = []

    def no_room_close(job):
        if job.motion == "close":
            raise ValueError("flat-val-0000: no clear camera motion")
        rendered.append(job)
        return job.name

    monkeypatch.setattr(render, "render_shard", no_room_close)
    render._render_group([close, usual])
    assert capsys.readouterr().out == f"{close.name} left out: flat-val-0000: no clear camera motion\n"
    assert rendered == [usual]


def test_low_clips_start_before_something_that_the_optical_axis_passes_over(tmp_path):
    (job,) = render_jobs("val", 1, 6, 2, 0, tmp_path, ["IndoorStatic"], CAMERA, "low")
    poses = read_shard(tmp_path, render_shard(job)).poses[:, 0]
    backend = load_backend(job.scene)
    assert (backend.range_along(poses[:, :3, 3], poses[:, :3, 2]) > CLOSE_M).all()
    heading = poses[:, :3, 2] * [1, 1, 0]
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    ahead = [
        backend.range_along(poses[:, :3, 3] - [0, 0, drop], heading) for drop in np.linspace(0.15, 0.42, 10)
    ]
    backend.close()
    assert (np.min(ahead, axis=0) < CLOSE_M + 0.05).all()


def test_their_shards_join_a_folder_of_other_clips(scene, tmp_path, monkeypatch):
    jobs = [
        *render_jobs("val", 1, 2, 3, 0, tmp_path, ["IndoorStatic"], CAMERA),
        *render_jobs("val", 1, 2, 3, 0, tmp_path, ["IndoorStatic"], CAMERA, "trajectory"),
    ]
    names = [job.name for job in jobs]
    assert names[1] == f"{names[0]}-trajectory"
    drawn = clips_of("IndoorStatic", scene, 0)
    asked = []
    monkeypatch.setattr(render, "trajectory_clips", lambda *arguments: asked.append(arguments) or drawn)
    assert render_shard(jobs[1]) == names[1]
    assert asked[0][0] == "IndoorStatic-v0" and asked[0][4:6] == (2, 3)
    assert asked[0][1]["scene"] == jobs[1].scene
    assert np.array_equal(read_shard(tmp_path, names[1]).images, drawn.images)
    write_shard(drawn, tmp_path, names[0])
    assert len(ClipPool(tmp_path)) == 2 * CLIPS


def test_a_scene_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        render_shard(RenderJob("IndoorStatic", "nowhere.glb", 1, 2, 0, tmp_path, CAMERA, "trajectory"))
    assert not list(tmp_path.iterdir())
