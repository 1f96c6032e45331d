"""How near two surfaces are, from points on both, and what that means to a robot. Lengths in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.floating]

THRESHOLDS_M = (0.05, 0.10)
SAMPLE_M = 0.02
"""Point sets are thinned to one point in a voxel of this size, so that density does not weigh."""


@dataclass(frozen=True)
class SurfaceScores:
    """An estimated surface against a reference. Distances are None where a set is empty.

    Args:
        accuracy_m: Mean distance from the estimate to the reference.
        completeness_m: Mean distance from the reference to the estimate.
        hausdorff_m: The largest of all these distances.
        precision: For each threshold, the share of the estimate that near to the reference.
        recall: For each threshold, the share of the reference that near to the estimate.
    """

    accuracy_m: float | None
    completeness_m: float | None
    hausdorff_m: float | None
    precision: dict[float, float]
    recall: dict[float, float]

    @property
    def chamfer_m(self) -> float | None:
        """Chamfer distance: the sum of both means (as Open3D has it; others take their mean)."""
        if self.accuracy_m is None or self.completeness_m is None:
            return None
        return self.accuracy_m + self.completeness_m

    def f_score(self, threshold_m: float) -> float:
        """Harmonic mean of precision and recall at one of the thresholds (Knapitsch et al. 2017)."""
        precision, recall = self.precision[threshold_m], self.recall[threshold_m]
        return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def surface_scores(
    estimate: Points, reference: Points, thresholds_m: Sequence[float] = THRESHOLDS_M
) -> SurfaceScores:
    """Compare points on an estimated surface (N, 3) with points on the reference (M, 3)."""
    nothing = dict.fromkeys(thresholds_m, 0.0)
    if len(estimate) == 0 or len(reference) == 0:
        return SurfaceScores(None, None, None, nothing, dict(nothing))
    there, back = distances_to(reference, estimate), distances_to(estimate, reference)
    return SurfaceScores(
        accuracy_m=float(there.mean()),
        completeness_m=float(back.mean()),
        hausdorff_m=float(max(there.max(), back.max())),
        precision={t: float((there <= t).mean()) for t in thresholds_m},
        recall={t: float((back <= t).mean()) for t in thresholds_m},
    )


def distances_to(surface: Points, points: Points) -> NDArray[np.float64]:
    """Distance (N,) from points (N, 3) to the nearest point (M, 3) of a surface; ``inf`` if it is empty."""
    if len(surface) == 0:
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(surface).query(points, workers=-1)[0], dtype=np.float64)


def thinned(points: Points, voxel_m: float = SAMPLE_M) -> NDArray[np.float64]:
    """The mean of the points (N, 3) in each voxel, (M, 3)."""
    if len(points) == 0:
        return np.zeros((0, 3))
    cells = np.floor(np.asarray(points, dtype=np.float64) / voxel_m).astype(np.int64)
    low = cells.min(axis=0)
    sizes = cells.max(axis=0) - low + 1
    keys = np.ravel_multi_index(tuple((cells - low).T), tuple(sizes))
    _, index, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = [np.bincount(index, weights=points[:, axis]) for axis in range(3)]
    return np.stack(sums, axis=1) / counts[:, None]


@dataclass(frozen=True)
class ClearanceScores:
    """What a map says about how near obstacles are, at places that are truly free.

    Args:
        missed: Share of the places with an obstacle within the robot's radius where the map has none within
            the radius and the tolerance.
        phantom: Share of the places without one within the radius and the tolerance where the map has one
            within the radius.
        error_m: Mean error of the map's distance where the true one is below ``near_m``, cut off at it.
    """

    missed: float | None
    phantom: float | None
    error_m: float | None


def clearance_scores(
    true_m: NDArray[np.float64],
    mapped_m: NDArray[np.float64],
    radius_m: float,
    tolerance_m: float = 0.1,
    near_m: float = 0.5,
) -> ClearanceScores:
    """Compare distances (N,) to the nearest true and mapped obstacle; None where no place tells."""
    close, open_ = true_m < radius_m, true_m >= radius_m + tolerance_m
    near = true_m < near_m
    error = np.abs(np.minimum(mapped_m, near_m) - true_m)
    return ClearanceScores(
        missed=_share(mapped_m[close] >= radius_m + tolerance_m),
        phantom=_share(mapped_m[open_] < radius_m),
        error_m=float(error[near].mean()) if near.any() else None,
    )


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None
