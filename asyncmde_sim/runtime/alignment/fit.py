"""The scale and shift from relative to inverse depth, from points of which both are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRIES = 300
"""Pairs of points that a robust fit starts from."""
TOLERANCE = 0.1
"""A point further from the fit than this share of its inverse depth is an outlier ..."""
MIN_TOLERANCE = 0.001
"""... and while it is refined, one further than four times the median of the others, but at least this."""
REFINEMENTS = 8
MIN_SPREAD = 1.3
"""The farthest point of a fit must be so many times as far as the nearest, or scale and shift are one."""
MIN_CORRELATION = 0.95
"""Of the relative and the true inverse depth of a fit's points."""


@dataclass(frozen=True)
class Fit:
    """Inverse depth is ``scale * relative + shift``, 1/m."""

    scale: float
    shift: float

    def inverse_depth(self, relative: Array) -> Array:
        """Inverse depth of relative depth of any shape."""
        return self.scale * relative + self.shift


def robust_fit(relative: Array, inverse: Array) -> tuple[Fit, NDArray[np.bool_]] | None:
    """The scale and shift from relative to inverse depth that the most points agree with.

    Args:
        relative: (N,).
        inverse: (N,) 1/m, positive.

    Returns:
        The fit and the points (N,) that agree with it; None if they say too little or there is none.
    """
    if len(relative) < 2:
        return None
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(relative), (2, TRIES))
    apart = relative[one] != relative[other]
    one, other = one[apart], other[apart]
    scales = (inverse[one] - inverse[other]) / (relative[one] - relative[other])
    one, scales = one[scales > 0], scales[scales > 0]
    if not len(scales):
        return None
    shifts = inverse[one] - scales * relative[one]
    judges = rng.permutation(len(relative))[: 2 * TRIES]
    errors = np.abs(np.outer(scales, relative[judges]) + shifts[:, None] - inverse[judges]) / inverse[judges]
    best = int(np.minimum(errors / TOLERANCE, 1.0).sum(axis=1).argmin())
    fit = Fit(float(scales[best]), float(shifts[best]))
    tolerance = TOLERANCE
    for _ in range(REFINEMENTS):
        error = np.abs(fit.inverse_depth(relative) - inverse) / inverse
        if not (error < tolerance).any():
            return None
        tolerance = float(np.clip(4 * np.median(error[error < tolerance]), MIN_TOLERANCE, tolerance))
        weights = np.maximum(1 - (error / tolerance) ** 2, 0.0) ** 2 / inverse**2
        x, y = (np.average(v, weights=weights) for v in (relative, inverse))
        variance = np.average((relative - x) ** 2, weights=weights)
        if not variance > 0:
            return None
        scale = np.average((relative - x) * (inverse - y), weights=weights) / variance
        fit = Fit(float(scale), float(y - scale * x))
    agree = np.abs(fit.inverse_depth(relative) - inverse) < TOLERANCE * inverse
    if fit.scale <= 0 or agree.sum() < 2:
        return None
    low, high = np.percentile(inverse[agree], (5, 95))
    if high < MIN_SPREAD * low or np.corrcoef(relative[agree], inverse[agree])[0, 1] < MIN_CORRELATION:
        return None
    return fit, agree
