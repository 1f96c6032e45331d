"""compare_maps.py on a small room: the files it leaves, recordings, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh


@pytest.fixture(scope="module")
def recording(script, room, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    done = script(
        "record.py", "--scene", room, "--motion", "smooth", "--seconds", "1.5", "--image-size", "112", "84",
        "--out", str(folder),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next(folder.iterdir())


def test_maps_of_an_environment(script, room, tmp_path):
    done = script(
        "compare_maps.py", "--scene", room, "--motion", "smooth", "--seconds", "1.5", "--depths", "oracle",
        "async", "--devices", "ideal", "--voxel", "0.06", "--rerun", "--out", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "oracle" in done.stdout and "async, ideal" in done.stdout
    maps = json.loads((tmp_path / "maps.json").read_text())["maps"]
    assert maps["oracle"]["f_10cm"] > 0.6
    assert maps["async, ideal"]["estimates"] > 0
    assert (tmp_path / "maps.png").stat().st_size > 1000 and (tmp_path / "maps.rrd").stat().st_size > 1000
    ply, glb = (trimesh.load(tmp_path / f"oracle.{end}", force="mesh") for end in ("ply", "glb"))
    np.testing.assert_allclose(ply.extents, glb.extents[[0, 2, 1]], atol=1e-4)


def test_maps_of_a_recording_with_drift_and_a_reference_mesh(script, room, recording, tmp_path):
    common = ("compare_maps.py", "--recording", str(recording), "--depths", "oracle", "--voxel", "0.06")
    done = script(*common, "--reference", room, "--odometry-noise", "0.05", "--out", str(tmp_path / "a"))
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "a" / "maps.json").read_text())["maps"]["oracle"]
    assert 0 < scores["f_10cm"] < 1
    large = tmp_path / "mm.ply"
    mesh = trimesh.load(room, force="mesh")
    mesh.apply_scale(1000.0)
    mesh.export(large)
    done = script(*common, "--reference", str(large), "--out", str(tmp_path / "b"))
    assert done.returncode == 2
    assert "millimetres" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--voxel", "0"), "voxel_m is 0.0"),
        (("--voxel", "0.001", "--memory-mb", "10"), "use larger voxels or more --memory-mb"),
        (("--weighting", "guess"), "unknown weighting 'guess'"),
        (("--depths", "lidar"), "unknown depth source 'lidar'"),
        (("--recording", "nowhere"), "there is no folder nowhere"),
        (("--reference", "room.glb"), "goes with --recording"),
        (("--odometry-noise", "-1"), "odometry_noise is -1"),
        (("--on-jump", "fly"), "unknown on_jump 'fly'"),
    ],
)
def test_bad_input_is_one_sentence(script, room, tmp_path, arguments, message):
    done = script(
        "compare_maps.py", "--scene", room, "--motion", "smooth", "--seconds", "0.5", "--depths", "oracle",
        "--out", str(tmp_path), *arguments,
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
