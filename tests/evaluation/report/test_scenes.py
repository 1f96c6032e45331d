import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from asyncmde_sim.evaluation.replay import past_episode_of
from asyncmde_sim.evaluation.report.hardest import hardest_episodes
from asyncmde_sim.evaluation.report.page import page
from asyncmde_sim.evaluation.report.scenes import Moment, MomentLog, Scene, show
from asyncmde_sim.evaluation.rollout import Results, run
from asyncmde_sim.evaluation.video import colour_depth


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_the_moments_are_a_second_before_the_end_and_the_end(toy):
    log, results = MomentLog(20.0), Results()
    run(toy, 1, 0, results, [log])
    (row,) = results.episode_rows
    early, end = log.moments
    seconds = row["steps"] * 0.02  # shorter than a second: its beginning is the earlier moment
    assert early.title == f"{seconds:.1f} s before" and early.figures["time"] == "0.00 s"
    assert end.figures["time"] == f"{seconds:.2f} s"
    assert early.panels["estimated depth"] is None and early.panels["memory trust"] is None
    np.testing.assert_array_equal(
        pixels(end.panels["true depth"]), colour_depth(np.full((32, 48), 4.0, np.float32), 20.0)
    )
    assert end.figures["content age"] == f"{100 * row['steps']:.0f} ms"
    assert abs(int(pixels(end.panels["camera"]).mean()) - 10 * row["steps"]) <= 1


def test_only_the_last_second_is_kept(toy):
    log = MomentLog()
    observation, info = toy.first
    log.begin(0, observation, info)
    for step in range(1, 200):
        log.step(observation, {**info, "time_ns": step * 20_000_000}, {})
    log.end({})
    assert log.moments[0].title == "1.0 s before" and log.moments[0].figures["time"] == "2.98 s"


def test_what_cannot_be_run_again_is_said_and_the_rest_is_shown(results, found):
    (episode,) = hardest_episodes(results, 1, 10**6)
    config = dataclasses.replace(episode.cell.config, scene="flat-nowhere-7")
    episode = dataclasses.replace(episode, cell=dataclasses.replace(episode.cell, config=config))
    scene = show(results, episode)
    assert scene.video is None and not scene.moments and len(scene.steps) == episode.row["steps"]
    assert "could not be run again" in scene.note and "flat-nowhere-7" in scene.note
    assert "flat-nowhere-7" in page(dataclasses.replace(found, scenes=[scene]), "")


@pytest.fixture
def scene(results):
    """A scene with pictures and bytes that stand in for a video."""
    (episode,) = hardest_episodes(results, 1, 10**6)
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    moment = Moment("the end", {"camera": file.getvalue(), "memory trust": None}, {"speed": "1 m/s"})
    steps = past_episode_of(results, episode.cell, episode.seed).steps.to_pylist()
    return Scene(episode, steps, "collided", (moment,), b"film", None)


def test_pictures_and_video_are_in_the_page(found, scene):
    html = page(dataclasses.replace(found, scenes=[scene]), "")
    assert 'src="data:video/mp4;base64,ZmlsbQ=="' in html and html.count("data:image/png;base64,") == 1
    assert "<h4>The end</h4>" in html and '<div class="none">none</div>' in html
