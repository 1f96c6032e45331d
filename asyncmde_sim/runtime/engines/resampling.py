"""Images in and depth out of an engine that has no torch: what ``depth.images`` and ``depth.memory`` do."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.depth.imagenet import IMAGE_MEAN, IMAGE_STD

FloatArray = NDArray[np.float32]


@lru_cache(maxsize=16)
def _neighbours(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """For each of ``target`` half-pixel centres the two of ``source`` beside it, and the second's weight."""
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, source - 1), (at - low).astype(np.float32)


def resize(maps: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Bilinear resize of (..., h, w) float32 to ``size`` (h, w)."""
    for axis in (-2, -1):
        if maps.shape[axis] != size[axis]:
            low, high, weight = _neighbours(maps.shape[axis], size[axis])
            first, second = maps.take(low, axis), maps.take(high, axis)
            second -= first
            second *= weight if axis == -1 else weight[:, None]
            maps = first + second
    return maps


def network_input(image: NDArray[np.uint8], size: tuple[int, int]) -> FloatArray:
    """One image (H, W, 3) uint8 to (1, 3, h, w) float32, normalised and resized to ``size`` (h, w).

    Raises:
        ValueError: The image is not (H, W, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"an image is (H, W, 3) uint8, but this one is {image.shape} {image.dtype}")
    mean, std = np.array(IMAGE_MEAN, np.float32), np.array(IMAGE_STD, np.float32)
    normalised = (image.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(resize(np.ascontiguousarray(normalised.transpose(2, 0, 1)), size)[None])


def at_image_size(depth: FloatArray, image: NDArray[np.uint8], scale: float) -> FloatArray:
    """One map (1, h, w) as (H, W) at the image's size, in metres for the image's camera."""
    height, width = image.shape[:2]
    return np.float32(scale) * resize(depth[0], (height, width))
