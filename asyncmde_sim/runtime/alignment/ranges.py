"""Alignment by a few range readings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.alignment.fit import Fit, robust_fit
from asyncmde_sim.runtime.alignment.fitted import FARTHEST_M, Array, FittedAlignment
from asyncmde_sim.runtime.types import Frame


class RangeAlignment(FittedAlignment):
    """Scale and shift from a few range readings in the image.

    They are fitted by robust least squares in inverse depth, so a wrong reading among right ones is left out.
    Readings that are all equally far, as before a wall, cannot tell scale from shift: then the last fit is
    scaled by one factor to agree with them.

    It fails, and holds the last fit, with fewer than six readings that agree (all is out of the sensor's
    range, or swallows its light). Nearer or farther than all readings, depth is extrapolated. A reading
    beside an edge that the relative depth has a little elsewhere counts for the wrong side.

    A frame needs ``ranges``.
    """

    MIN_READINGS = 6

    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""
        if frame.ranges is None:
            raise ValueError(
                "the alignment 'ranges' needs range readings, but the frame has none (from an environment: "
                "info['ranges']): use 'floor' or 'odometry'"
            )
        height, width = frame.image.shape[:2]
        for name, pixels, size in (
            ("column", frame.ranges.columns, width),
            ("row", frame.ranges.rows, height),
        ):
            beyond = (pixels < -0.5) | (pixels >= size - 0.5)
            if beyond.any():
                raise ValueError(
                    f"a range reading is at {name} {pixels[beyond][0]:g}, but the image has {size}: give "
                    "readings in pixels of this image"
                )

    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        assert frame.ranges is not None
        rows, columns = (np.rint(p).astype(np.intp) for p in (frame.ranges.rows, frame.ranges.columns))
        there = (frame.ranges.depth_m > 0) & known[rows, columns]
        if there.sum() < self.MIN_READINGS:
            return None
        relative, inverse = normal[rows, columns][there], 1 / frame.ranges.depth_m[there]
        found = robust_fit(relative, inverse)
        if found is not None and found[1].sum() >= self.MIN_READINGS:
            return found[0]
        if last is None:
            return None
        factor = float(np.median(inverse / np.maximum(last.inverse_depth(relative), 1 / FARTHEST_M)))
        return Fit(factor * last.scale, factor * last.shift)
