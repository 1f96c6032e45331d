"""Temporal consistency of depth: how much of it flickers between two frames of a moving camera."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.metrics.depth import MIN_DEPTH_M

Depth = NDArray[np.floating]
Array = NDArray[np.float64]

SAME_SURFACE = 0.05
"""A point is seen again where the true depth there is within this share of its own."""


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
        truths: Two maps (H, W), metres, 0 for none.
        poses: Two 4x4 ``T_world_camera``.
        camera_matrix: 3x3, for pixel centres at integer coordinates.
        max_range_m: True depth at or beyond it does not count.

    Returns:
        The error, None if no point is seen in both.
    """
    errors = []
    for a, b in ((0, 1), (1, 0)):
        relative = np.linalg.inv(poses[b]) @ poses[a]
        seen, row, column, scale, offset = _seen_again(
            truths[a], truths[b], relative, camera_matrix, max_range_m
        )
        here, there = estimates[a][seen], estimates[b][row, column]
        both = (here > MIN_DEPTH_M) & (there > MIN_DEPTH_M)
        moved = here * scale + offset
        if both.any():
            errors.append((np.abs(moved - there)[both] / there[both]).mean(dtype=np.float64))
    return float(np.mean(errors)) if errors else None


def _seen_again(
    truth: Depth, other: Depth, relative: Array, camera_matrix: Array, max_range_m: float
) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.intp], Array, float]:
    """The pixels that another frame sees too, and where.

    Returns:
        Mask (H, W); row and column (N,) in the other frame; and what turns the depth of a pixel into its
        depth in the other frame: factors (N,) and a number of metres to add.
    """
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
    return seen, row[seen], column[seen], rays[..., 2][seen], float(relative[2, 3])
