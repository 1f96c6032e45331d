import imageio.v3 as iio
import numpy as np
import pytest

from asyncmde_sim.evaluation.rollout import Results, run
from asyncmde_sim.evaluation.video import (
    GAP,
    HEADER,
    PANEL_HEIGHT,
    VideoFrames,
    VideoLog,
    colour_depth,
    colour_trust,
)


def brightness(colours):
    return colours.astype(float).sum(-1)


def test_nearer_is_brighter_and_none_is_grey():
    depth = np.array([[0.0, 0.5, 1.0, 2.0, 5.0, 20.0]], np.float32)
    colours = colour_depth(depth, 20.0)
    assert (np.diff(brightness(colours)[0, 1:]) < 0).all()
    assert np.ptp(colours[0, 0].astype(int)) < 10


def test_more_trust_is_brighter():
    assert (np.diff(brightness(colour_trust(np.array([[0.0, 0.4, 0.8, 1.0]], np.float32)))[0]) > 0).all()


@pytest.mark.parametrize("columns", [4, 2])
def test_each_panel_shows_its_own_image(toy, columns):
    toy.env.step(None)
    toy.env.step(None)
    observation, _, _, _, info = toy.env.step(None)
    frames = VideoFrames((32, 48), 20.0, columns)
    base = frames.compose(observation, info)
    assert base.shape[1::-1] == frames.size and not any(side % 2 for side in frames.size)
    width, height = (frames.size[0] + GAP) // columns, HEADER + PANEL_HEIGHT
    changes = [
        ({**observation, "image": observation["image"] + 50}, info),
        ({**observation, "depth": observation["depth"] + 1}, info),
        (observation, {**info, "true_depth": info["true_depth"] + 1}),
        (observation, {**info, "trust_map": info["trust_map"] + 0.3}),
    ]
    for panel, changed in enumerate(changes):
        row, column = divmod(panel, columns)
        different = (frames.compose(*changed) != base).any(axis=2)
        for places, first, size in (
            (np.flatnonzero(different.any(axis=0)), column, width),
            (np.flatnonzero(different.any(axis=1)), row, height),
        ):
            assert places.min() >= first * size and places.max() < (first + 1) * size


def test_the_video_runs_in_real_time_and_is_whole(toy, tmp_path):
    results = Results()
    run(toy, 2, 0, results, [VideoLog(tmp_path / "video.mp4", 20_000_000, 20.0, 1)])
    assert [path.name for path in tmp_path.iterdir()] == ["video.mp4"]
    film = iio.immeta(tmp_path / "video.mp4")
    shown = results.episode_rows[0]["duration_s"]
    assert shown + 0.9 <= film["duration"] <= shown + 1.2  # the last frame stands for a second
    assert film["fps"] == 25.0


def test_no_video_without_a_whole_episode(toy, tmp_path):
    log = VideoLog(tmp_path / "video.mp4", 20_000_000, 20.0, 1)
    run(toy, 1, 0, Results(), [log], lambda: True)
    assert list(tmp_path.iterdir()) == []
