"""Images as the networks take them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asyncmde_sim.depth.imagenet import IMAGE_MEAN, IMAGE_STD
from asyncmde_sim.depth.memory import resize


def normalise(images: Tensor) -> Tensor:
    """Images (B, H, W, 3) of grey levels 0 to 255 to normalised float32 (B, 3, H, W)."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device)
    std = torch.tensor(IMAGE_STD, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def network_input(image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """One image (H, W, 3) uint8 to (1, 3, h, w) float32, resized to the network's ``size`` (h, w).

    Raises:
        ValueError: The image is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"an image is (H, W, 3) uint8, but this one is {image.shape} {image.dtype}")
    return resize(normalise(torch.tensor(image)[None]), size)
