import sys

import numpy as np
import pytest

from asyncmde_sim.evaluation import ros_messages as ros
from asyncmde_sim.evaluation.mcap_log import OPTICAL, TOPICS, WORLD, McapLog, check_mcap
from asyncmde_sim.evaluation.rollout import Results, run
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(48, 32)


@pytest.fixture
def read():
    """Reads each topic's messages with their log times from a file."""
    reader = pytest.importorskip("mcap.reader")
    decoder = pytest.importorskip("mcap_ros2.decoder")

    def read(path):
        found: dict[str, list] = {}
        with path.open("rb") as file:
            messages = reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
            assert messages.get_header().profile == "ros2"
            for schema, channel, message, content in messages.iter_decoded_messages():
                assert schema.name == TOPICS[channel.topic].replace("/", "/msg/")
                found.setdefault(channel.topic, []).append((message.log_time, content))
        return found

    return read


@pytest.fixture
def recorded(toy, tmp_path, read):
    """The messages of a toy episode, and the rows of its steps."""
    path, results = tmp_path / "episode.mcap", Results()
    run(toy, 1, 0, results, [McapLog(path, CAMERA)])
    assert list(tmp_path.iterdir()) == [path]
    return read(path), results.steps.to_pylist()


def pixels(message, kind):
    return np.frombuffer(message.data, kind).reshape(message.height, message.width, -1)


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_every_step_comes_back_from_the_file(recorded):
    found, steps = recorded
    times = [0, *(step["time_ns"] for step in steps)]
    for topic in ("/tf", "/camera/image_raw", "/camera/camera_info", "/camera/pose", "/depth/true"):
        assert [time for time, _ in found[topic]] == times
    for index, (_, message) in enumerate(found["/camera/image_raw"]):
        assert (message.encoding, message.step) == ("rgb8", 48 * 3)
        assert (pixels(message, np.uint8) == 10 * index).all()
    for _, message in found["/depth/true"]:
        assert message.encoding == "32FC1" and (pixels(message, "<f4") == 4).all()
    assert [m.data for _, m in found["/speed_mps"]] == [1.0] * len(times)
    seen = [step for step in steps if step["has_depth"]]
    assert [m.data for _, m in found["/content_age_s"]] == [step["content_age_s"] for step in seen]
    assert (pixels(found["/depth/trust"][0][1], "<f4") == 0.5).all()


def test_an_estimate_has_the_stamp_of_its_frame_and_is_logged_when_it_was_there(toy, tmp_path, read):
    observation, info = toy.first
    log = McapLog(tmp_path / "a.mcap", CAMERA)
    log.begin(0, observation, info)
    dt_ns = 33_333_333
    for step in range(1, 6):
        age = np.array([2 * dt_ns / 1e9], np.float32)
        seen = {**observation, "has_depth": step > 2, "depth_age": age}
        log.step(seen, {**info, "time_ns": step * dt_ns}, {})
    log.end({})
    log.close()
    found = read(tmp_path / "a.mcap")["/depth/estimated"]
    assert [(time, stamp_ns(m)) for time, m in found] == [(s * dt_ns, (s - 2) * dt_ns) for s in (3, 4, 5)]


def test_points_of_the_cloud_project_onto_their_pixels_by_the_camera_info(recorded):
    found, _ = recorded
    camera, cloud = found["/camera/camera_info"][0][1], found["/cloud/true"][0][1]
    points = np.frombuffer(cloud.data, "<f4").reshape(-1, 3)
    assert len(points) == cloud.width and [f.name for f in cloud.fields] == ["x", "y", "z"]
    assert cloud.header.frame_id == OPTICAL
    projected = points @ np.reshape(camera.k, (3, 3)).T
    rows, columns = np.mgrid[:32:3, :48:3]
    expected = np.stack([columns.ravel(), rows.ravel()], -1)  # pixel centres lie at integers in ROS
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], expected, atol=1e-4)


def test_none_is_nan_in_a_depth_image():
    depth = np.array([[0, 1.5]], np.float32)
    message = ros.depth_image(3, OPTICAL, depth)
    np.testing.assert_array_equal(np.frombuffer(message["data"], "<f4"), [np.nan, 1.5])


def test_a_transform_is_the_pose(recorded):
    found, _ = recorded
    one = found["/tf"][0][1].transforms[0]
    assert (one.header.frame_id, one.child_frame_id) == (WORLD, OPTICAL)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]], [1, 2, 3]
    made = ros.transforms(2_000_000_005, WORLD, OPTICAL, matrix)["transforms"][0]
    assert made["header"]["stamp"] == {"sec": 2, "nanosec": 5}
    assert made["transform"]["translation"] == {"x": 1, "y": 2, "z": 3}
    turn = made["transform"]["rotation"]
    assert np.allclose([turn[k] for k in "xyzw"], [0, 0, np.sqrt(0.5), np.sqrt(0.5)])


def test_an_episode_that_does_not_end_leaves_no_file_and_a_second_one_is_refused(toy, tmp_path):
    pytest.importorskip("mcap_ros2")
    run(toy, 1, 0, Results(), [McapLog(tmp_path / "a.mcap", CAMERA)], lambda: True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="holds one episode"):
        run(toy, 2, 0, Results(), [McapLog(tmp_path / "a.mcap", CAMERA)])


def test_a_missing_writer_is_one_sentence_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcap_ros2", None)
    with pytest.raises(ValueError, match=r"asyncmde-sim\[mcap\]"):
        check_mcap()
