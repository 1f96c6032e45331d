"""What one exposure makes of sharp images: motion blur, gain and sensor noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.shading import to_linear, to_srgb


def exposure_offsets(camera: Camera) -> NDArray[np.float64]:
    """Seconds (N,) from the middle of a row's exposure to the N instants that are averaged."""
    if camera.exposure_s == 0:
        return np.zeros(1)
    return ((np.arange(camera.blur_samples) + 0.5) / camera.blur_samples - 0.5) * camera.exposure_s


def check_noise(camera: Camera, rng: np.random.Generator | None) -> None:
    """Check that there is a generator to draw the camera's noise from.

    Raises:
        ValueError: There is none, and the camera has noise.
    """
    if camera.noise_std > 0 and rng is None:
        raise ValueError(f"noise_std is {camera.noise_std}, so render needs rng to draw the noise from")


def develop(
    images: Sequence[NDArray[np.uint8]], camera: Camera, rng: np.random.Generator | None
) -> NDArray[np.uint8]:
    """The camera's image (H, W, 3) of the sharp images (H, W, 3) at the instants of its exposure."""
    if len(images) == 1 and camera.exposure_gain == 1 and camera.noise_std == 0:
        return images[0]
    light = np.sum([to_linear(image) for image in images], axis=0) / np.float32(len(images))
    grey = to_srgb(light * np.float32(camera.exposure_gain))
    if rng is not None and camera.noise_std > 0:
        grey += np.float32(camera.noise_std) * rng.standard_normal(grey.shape, dtype=np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
