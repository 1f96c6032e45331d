"""Alignments of relative depth, in a room of which every pixel is known: a floor and a wall."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.runtime import Frame, make_source
from asyncmde_sim.runtime.alignment import (
    ALIGNMENTS,
    FloorAlignment,
    OdometryAlignment,
    RangeAlignment,
    make_alignment,
)
from asyncmde_sim.runtime.engines import load_engines
from asyncmde_sim.runtime.sources import AlignedSource
from asyncmde_sim.runtime.types import RangeReadings, View

CAMERA = Intrinsics(96, 72, 48.0, 48.0, 47.5, 35.5)
HEIGHT_M = 0.6
WALL_M = 4.0
SKY_M = 50.0
LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of a camera that looks along x, in a frame with z up."""
STEPS = [(0.12 * i, 0.05 * i) for i in range(4)]
"""Ways forward and to the left, metres."""

every_alignment = pytest.mark.parametrize("name", ALIGNMENTS)


def seen(forward=0.0, left=0.0, yaw=0.0, up=0.0, time_ns=0) -> tuple[Frame, np.ndarray]:
    """A frame with all that a robot can have, and the true depth (H, W)."""
    pose = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    cu, su = np.cos(up), np.sin(up)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[cu, 0, -su], [0, 1, 0], [su, 0, cu]])
    pose[:3, :3], pose[:3, 3] = turn @ LEVEL, (forward, left, HEIGHT_M)
    columns, rows = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = np.stack(
        [(columns - CAMERA.cx) / CAMERA.fx, (rows - CAMERA.cy) / CAMERA.fy, np.ones(rows.shape)], -1
    )
    rays = rays @ pose[:3, :3].T
    with np.errstate(divide="ignore"):
        floor, wall = -HEIGHT_M / rays[..., 2], (WALL_M - forward) / rays[..., 0]
    depth = np.minimum(*(np.where(d > 0, d, SKY_M) for d in (floor, wall)))
    points = pose[:3, 3] + rays * depth[..., None]
    waves = np.random.default_rng(0).normal(0, 6.0, (3, 12))
    texture = np.sin(points @ waves + np.arange(12)).mean(axis=-1)
    image = np.repeat((128 + 220 * texture).clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    zones = np.meshgrid(np.linspace(20, 75, 4), np.linspace(20, 60, 4))
    at_columns, at_rows = (np.rint(z.ravel()) for z in zones)
    ranges = RangeReadings(at_columns, at_rows, depth[at_rows.astype(int), at_columns.astype(int)])
    return Frame(image, time_ns, None, View(pose, CAMERA), HEIGHT_M, ranges), depth


def relative_to(depth, scale=0.3, shift=0.7):
    return (scale / depth + shift).astype(np.float32)


def walk(alignment, distort=relative_to, change=lambda frame: frame):
    """Depth after a short walk, and the true depth."""
    for index, (forward, left) in enumerate(STEPS):
        frame, truth = seen(forward, left, time_ns=index * 33_000_000)
        depth = alignment.align(distort(truth), change(frame))
    return depth, truth


@every_alignment
def test_a_scale_and_a_shift_are_undone(name):
    alignment = make_alignment(name)
    depth, truth = walk(alignment)
    assert alignment.fitted and depth.dtype == np.float32
    np.testing.assert_allclose(depth, truth, rtol=0.05 if name == "odometry" else 1e-4)


@every_alignment
def test_the_models_scale_and_shift_do_not_matter(name):
    one, _ = walk(make_alignment(name))
    other, _ = walk(make_alignment(name), lambda truth: relative_to(truth, 40.0, -3.0))
    np.testing.assert_allclose(one, other, rtol=1e-3)


@every_alignment
def test_there_is_no_depth_before_the_first_fit_and_a_fit_is_held_until_reset(name):
    def ignorant(frame):
        return replace(seen(up=1.2, time_ns=frame.time_ns)[0], ranges=RangeReadings(*np.zeros((3, 0))))

    alignment = make_alignment(name)
    frame, truth = seen()
    assert alignment.align(relative_to(truth), ignorant(frame)) is None and not alignment.fitted
    alignment.reset()
    depth, truth = walk(alignment)
    assert alignment.fitted
    held = alignment.align(relative_to(truth, 2.0, 1.0), ignorant(replace(frame, time_ns=200_000_000)))
    assert not alignment.fitted
    np.testing.assert_allclose(held, depth, rtol=1e-4)
    alignment.reset()
    assert alignment.align(relative_to(truth), ignorant(frame)) is None


@every_alignment
def test_a_pixel_that_is_no_number_has_no_depth_and_changes_no_other(name):
    def with_hole(truth):
        relative = relative_to(truth)
        relative[40:44, 30] = [np.nan, np.inf, -np.inf, np.nan]
        return relative

    whole, _ = walk(make_alignment(name))
    holed, _ = walk(make_alignment(name), with_hole)
    assert not holed[40:44, 30].any()
    np.testing.assert_allclose(np.where(holed > 0, holed, whole), whole, rtol=0.02)
    assert make_alignment(name).align(np.full((72, 96), np.nan, np.float32), seen()[0]) is None


@every_alignment
def test_relative_depth_without_structure_gives_none(name):
    assert walk(make_alignment(name), lambda truth: np.ones(truth.shape, np.float32))[0] is None


@pytest.mark.parametrize("name", ["floor", "odometry"])
def test_depth_is_as_wrong_as_the_height_or_the_odometry(name):
    def stretched(frame):
        pose = frame.view.pose.copy()
        pose[:3, 3] *= 1.3
        return replace(frame, view=View(pose, CAMERA), camera_height_m=1.3 * HEIGHT_M)

    depth, truth = walk(make_alignment(name), change=stretched)
    assert np.median(depth / truth) == pytest.approx(1.3, rel=0.03)


def test_what_stands_on_the_floor_does_not_mislead():
    frame, truth = seen()
    truth[30:60, 20:50] = np.minimum(truth[30:60, 20:50], 1.2)
    depth = FloorAlignment().align(relative_to(truth), frame)
    np.testing.assert_allclose(depth, truth, rtol=0.01)


def test_the_camera_may_tilt():
    frame, truth = seen(yaw=0.4, up=-0.3)
    np.testing.assert_allclose(FloorAlignment().align(relative_to(truth), frame), truth, rtol=1e-3)


def test_a_wrong_reading_among_right_ones_is_left_out():
    frame, truth = seen()
    wrong = frame.ranges.depth_m.copy()
    wrong[5] = 0.3
    frame = replace(frame, ranges=replace(frame.ranges, depth_m=wrong))
    np.testing.assert_allclose(RangeAlignment().align(relative_to(truth), frame), truth, rtol=1e-3)


def test_too_few_readings_are_no_evidence():
    frame, truth = seen()
    few = frame.ranges.depth_m.copy()
    few[5:] = 0
    alignment = RangeAlignment()
    alignment.align(relative_to(truth), replace(frame, ranges=replace(frame.ranges, depth_m=few)))
    assert not alignment.fitted


def test_readings_that_are_equally_far_scale_the_last_fit():
    frame, truth = seen()
    alignment = RangeAlignment()
    at = np.arange(10.0)
    facing = replace(frame, ranges=RangeReadings(40 + at, np.full(10, 20.0), np.full(10, WALL_M)))
    assert alignment.align(relative_to(truth), facing) is None
    alignment.align(relative_to(truth), frame)
    nearer = replace(facing, ranges=replace(facing.ranges, depth_m=np.full(10, WALL_M / 2)))
    depth = alignment.align(relative_to(truth, 5.0), nearer)
    assert alignment.fitted
    np.testing.assert_allclose(depth, truth / 2, rtol=1e-3)


def test_a_camera_that_stands_or_only_turns_sees_no_parallax():
    alignment = OdometryAlignment()
    for index in range(5):
        frame, truth = seen(yaw=0.05 * max(0, index - 2), time_ns=index * 33_000_000)
        alignment.align(relative_to(truth), frame)
        assert not alignment.fitted


def test_what_was_seen_too_long_ago_is_not_compared():
    alignment = OdometryAlignment()
    for index, (forward, left) in enumerate(STEPS):
        frame, truth = seen(forward, left, time_ns=index * 3_000_000_000)
        alignment.align(relative_to(truth), frame)
        assert not alignment.fitted


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("floor", "view", "needs the camera's height and tilt"),
        ("floor", "camera_height_m", r"info\['camera_height_m'\].*use 'ranges' or 'odometry'"),
        ("ranges", "ranges", r"info\['ranges'\].*use 'floor' or 'odometry'"),
        ("odometry", "view", r"info\['T_odometry_camera'\].*use 'ranges'"),
    ],
)
def test_a_frame_that_lacks_what_is_needed_is_refused(name, missing, message):
    frame, truth = seen()
    with pytest.raises(ValueError, match=message):
        make_alignment(name).align(relative_to(truth), replace(frame, **{missing: None}))


def test_bad_input_is_named():
    frame, truth = seen()
    for field, value, message in (
        ("columns", 96.0, "at column 96, but the image has 96"),
        ("rows", -1.0, "at row -1, but the image has 72"),
    ):
        readings = replace(frame.ranges, **{field: np.full(16, value)})
        with pytest.raises(ValueError, match=message):
            RangeAlignment().align(relative_to(truth), replace(frame, ranges=readings))
    for height in (-0.5, 0.0, float("nan")):
        with pytest.raises(ValueError, match=f"camera_height_m is {height}"):
            replace(frame, camera_height_m=height)
    for depth in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"a range reading is {depth} m"):
            replace(frame.ranges, depth_m=np.full(16, depth))
    with pytest.raises(ValueError, match="not finite: leave such a reading out"):
        replace(frame.ranges, rows=np.full(16, np.nan))
    with pytest.raises(ValueError, match=r"shapes \(3,\), \(16,\) and \(16,\)"):
        replace(frame.ranges, columns=np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(4, 2\), but \(N, 3\) is needed"):
        RangeReadings.from_rows(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"shape \(8, 8\), but its image is \(72, 96\)"):
        FloorAlignment().align(np.ones((8, 8), np.float32), frame)
    with pytest.raises(ValueError, match="unknown alignment 'sonar': choose one of floor, ranges, odometry"):
        make_alignment("sonar")


# The source


class ByHand:
    """A user's own alignment: metres are the relative depth times the number of frames so far."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.frames = 0

    def check(self, frame):
        if frame.camera_height_m is None:
            raise ValueError("no height")

    def align(self, relative, frame):
        self.frames += 1
        return self.frames * relative


class Numbers:
    """Relative depth is the frame's number."""

    relative = SimpleNamespace(run=lambda image: np.full((2, 2), image[0, 0, 0], np.float32))


@pytest.fixture
def frames(make_frames):
    return [replace(frame, camera_height_m=1.0) for frame in make_frames(range(0, 300, 10))]


def test_asking_more_often_changes_nothing_for_an_alignment_that_remembers(frames, make_profile, replay):
    source = AlignedSource(Numbers(), make_profile(slow=(25, 61)), ByHand())
    often, seldom = replay(source, frames, range(400)), replay(source, frames, range(0, 400, 37))
    runs = [a.depth[0, 0] for a in often.values() if a is not None]
    assert max(runs) > min(runs)
    for now, answer in seldom.items():
        other = often[now]
        assert (answer is None) == (other is None)
        if answer is not None:
            assert answer.capture_ns == other.capture_ns and np.array_equal(answer.depth, other.depth)


def test_there_is_no_estimate_before_the_first_depth(frames, make_profile, replay):
    class Third(ByHand):
        def align(self, relative, frame):
            depth = super().align(relative, frame)
            return None if self.frames < 3 else depth

    source = AlignedSource(Numbers(), make_profile(slow=25), Third())
    answers = replay(source, frames, range(120))
    assert all(answers[now] is None for now in range(75)) and answers[75].capture_ns == 50


def test_a_frame_that_cannot_be_aligned_is_refused_when_it_is_offered(frames, make_profile):
    source = AlignedSource(Numbers(), make_profile(slow=25), ByHand())
    source.reset()
    with pytest.raises(ValueError, match="no height"):
        source.offer(replace(frames[0], camera_height_m=None))


def test_weights_and_alignment_must_fit_each_other():
    with pytest.raises(ValueError, match=r"'asyncmde-indoor' give metric depth.*leave align out"):
        make_source("foundation", align="floor").reset()
    with pytest.raises(
        ValueError, match="no metres: use the depth source 'foundation' with align 'floor', 'ra"
    ):
        make_source("foundation", weights="relative-stand-in").reset()
    with pytest.raises(ValueError, match="'async' takes no relative depth: use 'foundation'"):
        make_source("async", align="floor")
    with pytest.raises(ValueError, match="relative-stand-in is a slow path alone"):
        make_source("fast", weights="relative-stand-in").reset()
    with pytest.raises(ValueError, match="unknown alignment 'sonar'"):
        make_source("foundation", align="sonar")


def test_the_stand_in_is_the_shipped_slow_path_without_its_scale_and_shift():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    metric, relative = (
        load_engines(None, None, "torch").slow.run(image),
        load_engines("relative-stand-in").relative.run(image),
    )
    assert (relative.min(), relative.max()) == (0.0, 1.0)
    assert np.corrcoef(1 / metric.ravel(), relative.ravel())[0, 1] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_a_depth_anything_model_is_aligned_if_it_is_relative(kind, depth_anything, tmp_path):
    depth_anything(kind).save_pretrained(tmp_path)
    aligned = make_source("foundation", weights=str(tmp_path), align="ranges")
    plain = make_source("foundation", weights=str(tmp_path))
    if kind == "metric":
        with pytest.raises(ValueError, match="metric depth, which needs no alignment: leave align out"):
            aligned.reset()
        plain.reset()
        return
    with pytest.raises(ValueError, match="relative depth, which has no metres"):
        plain.reset()
    frame, _ = seen()
    relative = load_engines(str(tmp_path)).relative.run(frame.image)
    truth = 1 / (0.2 + (relative - relative.min()) / np.ptp(relative))
    rows, columns = frame.ranges.rows.astype(int), frame.ranges.columns.astype(int)
    readings = replace(frame.ranges, depth_m=truth[rows, columns].astype(np.float64))
    aligned.reset()
    aligned.offer(replace(frame, ranges=readings))
    np.testing.assert_allclose(aligned.newest(0).depth, truth, rtol=1e-3)
