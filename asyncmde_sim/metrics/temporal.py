"""Temporal consistency of depth: how much of it flickers between two frames of a moving camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.metrics.depth import MIN_DEPTH_M

Depth = NDArray[np.floating]
Array = NDArray[np.float64]

SAME_SURFACE = 0.05
"""A point is seen again where the true depth there is within this share of its own."""


@dataclass(frozen=True)
class SeenAgain:
    """The N points of one frame that another frame sees too.

    Args:
        mask: (H, W), the points in the one frame.
        row: (N,) of the other frame.
        column: (N,) of the other frame.
        scale: (N,) factors of the depth on its way into the other frame.
        offset_m: What is added to it then.
    """

    mask: NDArray[np.bool_]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    scale: Array
    offset_m: float


def temporal_alignment_error(
    estimates: tuple[Depth, Depth],
    truths: tuple[Depth, Depth],
    poses: tuple[Array, Array],
    camera_matrix: Array,
    max_range_m: float,
) -> float | None:
    """TAE of two consecutive frames, both ways (Video Depth Anything, arXiv 2501.12375, section 4.1).

    Each estimate is moved by the true poses into the other frame and compared with the estimate there, as the
    mean of |moved - there| / there. Only what the other frame really sees again counts: points that are
    hidden there, or have moved, are left out.

    Args:
        estimates: Two maps (H, W), metres, 0 for none.
        truths: See ``seen_both_ways``, as are the others.
        poses: Two.
        camera_matrix: 3x3.
        max_range_m: The range.

    Returns:
        The error, None if no point is seen in both.
    """
    return alignment_error(estimates, seen_both_ways(truths, poses, camera_matrix, max_range_m))


def seen_both_ways(
    truths: tuple[Depth, Depth], poses: tuple[Array, Array], camera_matrix: Array, max_range_m: float
) -> tuple[SeenAgain, SeenAgain]:
    """What the second frame sees of the first, and the first of the second.

    Args:
        truths: Two maps (H, W), metres, 0 for none.
        poses: Two 4x4 ``T_world_camera``.
        camera_matrix: 3x3, for pixel centres at integer coordinates.
        max_range_m: True depth at or beyond it does not count.
    """
    first, second = (
        _seen_again(truths[a], truths[b], np.linalg.inv(poses[b]) @ poses[a], camera_matrix, max_range_m)
        for a, b in ((0, 1), (1, 0))
    )
    return first, second


def alignment_error(estimates: tuple[Depth, Depth], seen: tuple[SeenAgain, SeenAgain]) -> float | None:
    """The temporal alignment error of two estimates (H, W) over points that are known to be seen again."""
    errors = []
    for (estimate, other), points in zip((estimates, estimates[::-1]), seen, strict=True):
        here, there = estimate[points.mask], other[points.row, points.column]
        both = (here > MIN_DEPTH_M) & (there > MIN_DEPTH_M)
        moved = here * points.scale + points.offset_m
        if both.any():
            errors.append((np.abs(moved - there)[both] / there[both]).mean(dtype=np.float64))
    return float(np.mean(errors)) if errors else None


def _seen_again(
    truth: Depth, other: Depth, relative: Array, camera_matrix: Array, max_range_m: float
) -> SeenAgain:
    height, width = truth.shape
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(np.float64)
    rays = pixels @ np.linalg.inv(camera_matrix).T @ relative[:3, :3].T
    moved = rays * truth[..., None] + relative[:3, 3]
    z = moved[..., 2]
    seen = (truth > MIN_DEPTH_M) & (truth < max_range_m) & (z > MIN_DEPTH_M)
    image = moved @ camera_matrix.T
    place = np.where(seen[..., None], image[..., :2] / np.where(seen, z, 1.0)[..., None], -1.0)
    column, row = (np.rint(place[..., i]).astype(np.intp) for i in (0, 1))
    seen &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
    there = np.zeros_like(z)
    there[seen] = other[row[seen], column[seen]]
    seen &= np.abs(there - z) < SAME_SURFACE * z
    return SeenAgain(seen, row[seen], column[seen], rays[..., 2][seen], float(relative[2, 3]))
