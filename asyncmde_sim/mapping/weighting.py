"""How much each pixel of an estimate counts in a map, and which ones do not count at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.intrinsics import Intrinsics

WEIGHTINGS = ("uniform", "range", "trust")

NEAR_M = 1.5
"""Depth errors grow with the square of the depth from here on."""

LEAST = 0.125
"""No pixel counts less because it is far: it may be the only one."""

HALF_LIFE_S = 0.5
"""The memory behind an estimate counts half as much for each of these."""


def check_weighting(weighting: str) -> None:
    """Check that there is such a weighting.

    Raises:
        ValueError: There is not; the message says which there are.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"unknown weighting {weighting!r}: choose one of {', '.join(WEIGHTINGS)}")


def range_weights(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights (H, W) that fall with the square of the depth (H, W) beyond ``NEAR_M``; 0 without depth."""
    weights = (NEAR_M / np.maximum(depth, np.float32(1e-3))) ** 2
    return np.where(depth > 0, np.clip(weights, LEAST, 1), 0).astype(np.float32)


def trust_weights(
    depth: NDArray[np.float32], trust: NDArray[np.float32] | None, content_age_s: float
) -> NDArray[np.float32]:
    """``range_weights`` times what the memory's trust and age leave of them.

    Args:
        depth: (H, W) metres.
        trust: (h, w) in [0, 1], where the fast path kept its memory; None without a memory.
        content_age_s: Age of the frame behind the memory's last refresh at the time of the estimate's own.
    """
    weights = range_weights(depth)
    if trust is None:
        return weights
    rows, columns = (
        np.arange(size) * small // size for size, small in zip(depth.shape, trust.shape, strict=True)
    )
    kept = np.clip(trust, 0, 1)[np.ix_(rows, columns)]
    return (weights * kept * 0.5 ** (content_age_s / HALF_LIFE_S)).astype(np.float32)


def without_edges(depth: NDArray[np.float32], camera: Intrinsics, least_m: float) -> NDArray[np.float32]:
    """The depth map (H, W) with 0 where it is steeper than any surface that the camera can see well.

    The inverse depth of a plane changes from pixel to pixel by 1 / (focal length x distance of the plane from
    the camera's centre). Where it changes faster than for a plane ``least_m`` away, the pixels lie between
    the edge of one thing and what is behind it: networks smear edges, and such points float in the air.
    """
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    steep = np.zeros(depth.shape, bool)
    for axis, focal in ((0, camera.fy), (1, camera.fx)):
        change = np.abs(np.diff(inverse, axis=axis)) * np.float32(focal * least_m) > 1
        one, other = [slice(None)] * 2, [slice(None)] * 2
        one[axis], other[axis] = slice(1, None), slice(None, -1)
        steep[tuple(one)] |= change
        steep[tuple(other)] |= change
    return np.where(steep, np.float32(0), depth)
