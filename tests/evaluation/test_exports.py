import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.evaluation.config import RolloutConfig
from asyncmde_sim.evaluation.exports import RecordingLog, check_formats, export_episode, write_true_path
from asyncmde_sim.evaluation.replay import PastEpisode, episode_of, replay
from asyncmde_sim.evaluation.rollout import Results, run
from asyncmde_sim.recordings import open_recording
from asyncmde_sim.recordings.tum import RecordingWriter
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(48, 32)


@pytest.fixture
def results(toy) -> Results:
    found = Results()
    run(toy, 3, 0, found)
    return found


def test_the_path_of_the_table_comes_back_as_numbers(results, tmp_path):
    steps = results.steps.filter(results.steps["episode"].to_numpy() == 1)
    turned = Rotation.from_euler("xyz", [0.1, 0.2, 0.3])
    for name, value in zip(("x", "y", "z", "w"), turned.as_quat(), strict=True):
        steps = steps.set_column(
            steps.column_names.index(f"camera_q{name}"), f"camera_q{name}", [[float(value)] * steps.num_rows]
        )
    write_true_path(steps, tmp_path / "path.txt")
    head, *lines = (tmp_path / "path.txt").read_text().splitlines()
    assert head == "# timestamp tx ty tz qx qy qz qw" and len(lines) == steps.num_rows
    for line, row in zip(lines, steps.to_pylist(), strict=True):
        stamp, *numbers = line.split()
        assert round(float(stamp) * 1e9) == row["time_ns"]
        there = [row[f"camera_{axis}_m"] for axis in "xyz"]
        assert [float(n) for n in numbers] == pytest.approx([*there, *turned.as_quat()], abs=1e-9)


def test_a_recording_of_an_episode_reads_back(toy, tmp_path):
    counted = Results()
    writer = RecordingWriter(tmp_path / "rgbd", CAMERA.pinhole)
    run(toy, 1, 0, counted, [RecordingLog(writer)])
    recording = open_recording(tmp_path / "rgbd")
    assert len(recording.frames) == counted.steps.num_rows + 1 and not recording.problems
    for index, frame in enumerate(recording.frames):
        data = recording.read(frame)
        assert (data.image == 10 * index).all() and (data.depth == 4).all()


def test_an_unfinished_recording_leaves_nothing(toy, tmp_path):
    writer = RecordingWriter(tmp_path / "rgbd", CAMERA.pinhole)
    run(toy, 1, 0, Results(), [RecordingLog(writer)], lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_an_episode_is_found_by_its_seed(results):
    assert episode_of(results.episodes, None, "here")["seed"] == 0
    assert episode_of(results.episodes, 2, "here")["episode"] == 2
    with pytest.raises(ValueError, match=r"seed is 9, but there is no such episode in here: .* 0 to 2"):
        episode_of(results.episodes, 9, "here")


def test_only_simulated_time_can_be_run_again(results):
    past = PastEpisode("past", RolloutConfig(clock="wall"), results.episodes.to_pylist()[0], results.steps)
    with pytest.raises(ValueError, match="clock is 'wall'"):
        replay(past, lambda rollout: [])


def test_what_cannot_be_exported_leaves_no_folder(results, tmp_path):
    row = results.episodes.to_pylist()[0]
    past = PastEpisode("past", RolloutConfig(scene="flat-nowhere-1"), row, results.steps)
    with pytest.raises((ValueError, OSError), match="flat-nowhere-1"):
        export_episode(past, tmp_path / "out", ["trajectory", "video"])
    assert list(tmp_path.iterdir()) == []
    export_episode(past, tmp_path / "out", ["trajectory"])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["trajectory.txt"]
    with pytest.raises(ValueError, match="exists"):
        export_episode(past, tmp_path / "out", ["trajectory"])


@pytest.mark.parametrize(("formats", "message"), [((), "formats is empty"), (("gif",), "'gif': choose from")])
def test_unknown_formats_are_refused(formats, message):
    with pytest.raises(ValueError, match=message):
        check_formats(formats)
