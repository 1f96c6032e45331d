"""Images and depth without torch are what they are with torch."""

import numpy as np
import pytest
import torch

from asyncmde_sim.depth import images, memory
from asyncmde_sim.runtime.engines.resampling import at_image_size, network_input, resize


@pytest.mark.parametrize("size", [(48, 64), (31, 90), (192, 256), (60, 80)])
def test_resizing_is_torchs_bilinear(size):
    maps = np.random.default_rng(0).normal(size=(2, 3, 60, 80)).astype(np.float32)
    theirs = memory.resize(torch.from_numpy(maps), size).numpy()
    np.testing.assert_allclose(resize(maps, size), theirs, atol=5e-5)


def test_network_input_is_torchs():
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    theirs = images.network_input(image, (56, 84)).numpy()
    ours = network_input(image, (56, 84))
    assert ours.dtype == np.float32 and ours.flags.c_contiguous
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_depth_comes_back_at_the_images_size():
    depth = at_image_size(np.full((1, 8, 8), 2.0, np.float32), np.zeros((20, 30, 3), np.uint8), 1.5)
    np.testing.assert_allclose(depth, np.full((20, 30), 3.0))


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 4), np.uint8)])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match="an image is"):
        network_input(image, (8, 8))
