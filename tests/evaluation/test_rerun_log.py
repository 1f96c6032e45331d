import sys

import numpy as np
import pytest

from asyncmde_sim.evaluation.rerun_log import RerunLog, check_rerun, world_points
from asyncmde_sim.evaluation.rollout import Results, run
from asyncmde_sim.scenes.camera import Camera


def test_points_project_back_to_their_pixels():
    camera = Camera(64, 48)
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 5, (48, 64)).astype(np.float32)
    depth[::7] = 0
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose[:3, :3] *= np.linalg.det(pose[:3, :3])
    pose[:3, 3] = [1, 2, 3]
    in_camera = (world_points(depth, camera, pose) - pose[:3, 3]) @ pose[:3, :3]
    pixels = in_camera @ camera.intrinsics.T
    v, u = np.nonzero(depth)
    np.testing.assert_allclose(in_camera[:, 2], depth[depth > 0], rtol=1e-6)
    np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], np.stack([u, v], -1) + 0.5, atol=1e-9)


def test_a_missing_sdk_is_one_sentence_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ValueError, match=r"asyncmde-sim\[rerun\]"):
        check_rerun()


def test_the_recording_is_whole_or_not_there(toy, tmp_path):
    pytest.importorskip("rerun")
    path = tmp_path / "recording.rrd"
    run(toy, 1, 0, Results(), [RerunLog(path, Camera(48, 32))], lambda: True)
    assert list(tmp_path.iterdir()) == []
    run(toy, 1, 0, Results(), [RerunLog(path, Camera(48, 32))])
    assert path.read_bytes()[:3] == b"RRF"
    assert list(tmp_path.iterdir()) == [path]
