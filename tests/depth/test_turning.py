"""Maps turned with the camera lie where the camera, turned, sees them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from asyncmde_sim.depth.memory import MemoryState
from asyncmde_sim.depth.turning import Turn
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.scenes.camera import Camera

CAMERA = Camera(width=80, height=60).pinhole


def turn(angles: list[float], camera: Intrinsics = CAMERA) -> Turn:
    return Turn(torch.from_numpy(Rotation.from_euler("yxz", angles).as_matrix())[None], camera)


def directions(camera: Intrinsics, width: int, height: int) -> torch.Tensor:
    """A map (1, 3, h, w) that says of each cell where it looks."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    rays = np.linalg.inv(camera.resized(width, height).matrix) @ pixels
    return torch.from_numpy(rays.reshape(1, 3, height, width)).float()


@pytest.mark.parametrize("camera", [CAMERA, Intrinsics(80, 60, 50.0, 45.0, 44.0, 27.0)])
@pytest.mark.parametrize("size", [(20, 15), (40, 30)])
def test_a_turned_map_of_directions_holds_the_rotated_directions(camera, size):
    """Inside the view a cell's sampled direction is parallel to its own, rotated; with another angle not."""
    here = directions(camera, *size)
    for angles, other in (([0.2, -0.1, 0.3], [0.1, -0.1, 0.3]),):
        turned = turn(angles, camera)
        sampled, seen = turned(here), turned.seen(here)[0, 0] > 0
        for rotation, right in ((turned.rotation, True), (turn(other).rotation, False)):
            expected = torch.einsum("bij,bjhw->bihw", rotation.float(), here)
            expected = expected / expected[:, 2:]
            error = (sampled - expected).abs().amax(1)[0][seen]
            inner = float(error.median())
            assert inner < 1e-4 if right else inner > 0.01
        assert 0.3 < seen.float().mean() < 1


def test_no_turn_changes_nothing_and_a_turn_back_undoes_it():
    smooth = torch.nn.functional.interpolate(torch.rand(1, 2, 3, 4), (30, 40), mode="bicubic")
    torch.testing.assert_close(turn([0, 0, 0])(smooth), smooth, atol=1e-5, rtol=0)
    assert turn([0, 0, 0]).seen(smooth).all()
    there = turn([0.1, 0.05, 0])
    back = Turn(there.rotation.mT, CAMERA)(there(smooth))
    middle = (..., slice(8, -8), slice(8, -8))
    assert (back - smooth)[middle].abs().max() < 0.1 * (there(smooth) - smooth)[middle].abs().max()


def test_a_camera_that_turns_round_sees_nothing_it_saw():
    assert not turn([np.pi, 0, 0]).seen(torch.ones(1, 1, 6, 8)).any()


def test_a_turned_state_forgets_its_trust_where_it_had_not_looked():
    maps = tuple(torch.rand(1, 128, 24 // k, 32 // k) for k in (1, 2, 4, 8))
    state = MemoryState(maps, torch.ones(1, 1, 24, 32), (maps[0], maps[3]))
    turned = state.turned(turn([0.5, 0, 0]))
    assert turned.trust.min() == 0 and turned.trust.max() == 1
    assert [m.shape for m in turned.memory] == [m.shape for m in maps]
    fresh = MemoryState(maps).turned(turn([0.5, 0, 0]))
    assert fresh.trust is None and fresh.previous is None


def test_a_rotation_is_a_batch_of_matrices():
    with pytest.raises(ValueError, match="rotation has shape"):
        Turn(torch.eye(3), CAMERA)
