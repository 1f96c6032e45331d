"""What trying a device takes: images, and patience."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ANSWER_S = 30.0
"""A device that has not answered after this time does not."""


def noise_images(size: tuple[int, int], count: int = 8) -> list[NDArray[np.uint8]]:
    """Images (H, W, 3) of noise."""
    return list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8))
