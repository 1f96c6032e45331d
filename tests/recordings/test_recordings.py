import json

import imageio.v3 as iio
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from asyncmde_sim.recordings import Intrinsics, UnreadableFrameError, open_recording, write_recording

CAMERA = Intrinsics(32, 24, 20.0, 21.0, 15.5, 11.5)
FRAMES = 4


def pose(index: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("ZYX", [0.3 * index, 0.1, -0.2]).as_matrix()
    matrix[:3, 3] = [0.1 * index, 1.0, -2.0]
    return matrix


def image(index: int) -> np.ndarray:
    return np.full((24, 32, 3), 40 * index + 10, np.uint8)


def depth(index: int) -> np.ndarray:
    metres = np.linspace(0.4, 5 + index, 24 * 32).reshape(24, 32).astype(np.float32)
    metres[0] = 0
    return metres


def millimetres(index: int) -> np.ndarray:
    return np.round(1000 * depth(index)).astype(np.uint16)


def write_tum(folder):
    write_recording(
        folder, CAMERA, ((10**9 + i * 33_333_334, image(i), depth(i), pose(i)) for i in range(FRAMES))
    )


def write_seven_scenes(folder):
    folder.mkdir()
    for i in range(FRAMES):
        iio.imwrite(folder / f"frame-{i:06d}.color.png", image(i))
        iio.imwrite(folder / f"frame-{i:06d}.depth.png", millimetres(i))
        np.savetxt(folder / f"frame-{i:06d}.pose.txt", pose(i))


def write_scannet(folder):
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    matrix = np.eye(4)
    matrix[:3, :3] = CAMERA.matrix
    np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", matrix)
    for i in range(FRAMES):
        iio.imwrite(folder / "color" / f"{i}.png", np.repeat(np.repeat(image(i), 2, 0), 2, 1))
        iio.imwrite(folder / "depth" / f"{i}.png", millimetres(i))
        np.savetxt(folder / "pose" / f"{i}.txt", pose(i))


def write_sintel(folder):
    cameras = folder.parent.parent / "camdata_left" / folder.name
    depths = folder.parent.parent / "depth" / folder.name
    for made in (folder, cameras, depths):
        made.mkdir(parents=True)
    tag = np.float32(202021.25).tobytes()
    for i in range(FRAMES):
        iio.imwrite(folder / f"frame_{i + 1:04d}.png", image(i))
        size = np.array([32, 24], np.int32).tobytes()
        (depths / f"frame_{i + 1:04d}.dpt").write_bytes(tag + size + depth(i).astype("<f4").tobytes())
        numbers = np.concatenate([CAMERA.matrix.ravel(), np.linalg.inv(pose(i))[:3].ravel()])
        (cameras / f"frame_{i + 1:04d}.cam").write_bytes(tag + numbers.astype("<f8").tobytes())


LAYOUTS = {
    "tum": (write_tum, "sequence"),
    "7scenes": (write_seven_scenes, "sequence"),
    "scannet": (write_scannet, "sequence"),
    "sintel": (write_sintel, "training/final/sequence"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_back_what_was_written(layout, tmp_path):
    write, name = LAYOUTS[layout]
    write(tmp_path / name)
    recording = open_recording(tmp_path / name)
    assert recording.name == "sequence"
    assert recording.problems == ()
    assert len(recording.frames) == FRAMES
    assert all(a.time_ns < b.time_ns for a, b in zip(recording.frames, recording.frames[1:], strict=False))
    if layout != "7scenes":
        np.testing.assert_allclose(recording.camera.matrix, CAMERA.matrix)
    for index, frame in enumerate(recording.frames):
        data = recording.read(frame)
        np.testing.assert_array_equal(data.image, image(index))
        np.testing.assert_allclose(data.depth, depth(index), atol=6e-4)
        assert data.bad_pixels == 0
        np.testing.assert_allclose(frame.T_world_camera, pose(index), atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_file_is_named_and_the_rest_is_kept(layout, tmp_path):
    write, name = LAYOUTS[layout]
    write(tmp_path / name)
    victim = open_recording(tmp_path / name).frames[1].depth_file
    victim.unlink()
    recording = open_recording(tmp_path / name)
    assert len(recording.frames) == FRAMES - 1
    assert any(victim.name in problem for problem in recording.problems)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cut_file_is_refused_by_name_when_it_is_read(layout, tmp_path):
    write, name = LAYOUTS[layout]
    write(tmp_path / name)
    frame = open_recording(tmp_path / name).frames[2]
    frame.depth_file.write_bytes(frame.depth_file.read_bytes()[:40])
    recording = open_recording(tmp_path / name)
    with pytest.raises(UnreadableFrameError, match=frame.depth_file.name):
        recording.read(recording.frames[2])
    recording.read(recording.frames[3])


@pytest.mark.parametrize("layout", ["7scenes", "scannet"])
def test_a_gap_in_the_numbers_is_named(layout, tmp_path):
    write, name = LAYOUTS[layout]
    write(tmp_path / name)
    open_recording(tmp_path / name).frames[2].image_file.unlink()
    assert "missing frame 2" in open_recording(tmp_path / name).problems


def test_lines_out_of_order_and_double_are_named_and_sorted_out(tmp_path):
    write_tum(tmp_path / "r")
    lines = (tmp_path / "r" / "rgb.txt").read_text().splitlines()
    (tmp_path / "r" / "rgb.txt").write_text("\n".join([lines[0], lines[2], lines[1], lines[2], *lines[3:]]))
    recording = open_recording(tmp_path / "r")
    assert len(recording.frames) == FRAMES
    assert sum("out of order" in p for p in recording.problems) == 1
    assert sum("duplicate" in p for p in recording.problems) == 1
    for index, frame in enumerate(recording.frames):
        np.testing.assert_array_equal(recording.read(frame).image, image(index))


def test_colour_takes_the_nearest_depth_within_20_ms_and_the_pose_between(tmp_path):
    write_tum(tmp_path / "r")
    folder = tmp_path / "r"
    text = (folder / "rgb.txt").read_text().splitlines()
    moved = [f"{float(line.split()[0]) + 0.01:.9f} {line.split()[1]}" for line in text[1:]]
    (folder / "rgb.txt").write_text("\n".join(moved))
    recording = open_recording(folder)
    assert len(recording.frames) == FRAMES
    between = recording.frames[0].T_world_camera[:3, 3]
    np.testing.assert_allclose(between, 0.7 * pose(0)[:3, 3] + 0.3 * pose(1)[:3, 3], atol=1e-6)
    assert recording.frames[-1].T_world_camera is None  # after the last pose
    late = [f"{float(line.split()[0]) + 0.2:.9f} {line.split()[1]}" for line in text[1:]]
    (folder / "rgb.txt").write_text("\n".join(late))
    with pytest.raises(ValueError, match=r"no usable frame.*missing depth"):
        open_recording(folder)


def test_depth_that_is_negative_or_no_number_is_none_and_counted(tmp_path):
    write_sintel(tmp_path / "training/final/s")
    frame = open_recording(tmp_path / "training/final/s").frames[0]
    values = depth(0)
    values[1, :3] = [np.nan, -1.0, np.inf]
    head = frame.depth_file.read_bytes()[:12]
    frame.depth_file.write_bytes(head + values.astype("<f4").tobytes())
    data = open_recording(tmp_path / "training/final/s").read(frame)
    assert data.bad_pixels == 3
    assert (data.depth[1, :3] == 0).all()


def test_saturated_depth_is_none(tmp_path):
    write_seven_scenes(tmp_path / "s")
    raw = millimetres(0)
    raw[5, 5] = 65535
    iio.imwrite(tmp_path / "s" / "frame-000000.depth.png", raw)
    recording = open_recording(tmp_path / "s")
    assert recording.read(recording.frames[0]).depth[5, 5] == 0


def test_what_is_no_recording_says_what_one_looks_like(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"rgb\.txt.*frame-\*\.color"):
        open_recording(tmp_path)
    write_tum(tmp_path / "r")
    (tmp_path / "r" / "camera.json").unlink()
    with pytest.raises(ValueError, match=r"camera\.json"):
        open_recording(tmp_path / "r")
    (tmp_path / "r" / "camera.json").write_text(json.dumps({"width": 32}))
    with pytest.raises(ValueError, match="height"):
        open_recording(tmp_path / "r")


def test_a_published_recording_is_known_by_its_folder(tmp_path):
    write_tum(tmp_path / "rgbd_dataset_freiburg1_rpy")
    (tmp_path / "rgbd_dataset_freiburg1_rpy" / "camera.json").unlink()
    assert open_recording(tmp_path / "rgbd_dataset_freiburg1_rpy").camera.fx == 517.3


def test_a_recording_is_written_whole_or_not_at_all(tmp_path):
    def breaks():
        yield 0, image(0), depth(0), pose(0)
        yield 1, image(1), np.full((24, 32), 30.0, np.float32), pose(1)

    with pytest.raises(ValueError, match=r"30\.0 m, but a recording holds 0 to 21\.8 m"):
        write_recording(tmp_path / "r", CAMERA, breaks())
    assert not (tmp_path / "r").exists()
    with pytest.raises(ValueError, match="no frame"):
        write_recording(tmp_path / "r", CAMERA, [])
    write_tum(tmp_path / "r")
    with pytest.raises(ValueError, match="exists"):
        write_tum(tmp_path / "r")


def test_a_resized_camera_sees_the_same_rays():
    small = CAMERA.resized(16, 12)
    corner = np.array([-0.5, -0.5, 1.0])
    for camera in (CAMERA, small):
        ray = np.linalg.inv(camera.matrix) @ corner
        np.testing.assert_allclose(ray, np.linalg.inv(CAMERA.matrix) @ corner)
