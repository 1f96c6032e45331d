"""Alignment by the way the camera has moved."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime.alignment import parallax
from asyncmde_sim.runtime.alignment.fit import Fit
from asyncmde_sim.runtime.alignment.fitted import Array, FittedAlignment
from asyncmde_sim.runtime.types import Frame


class OdometryAlignment(FittedAlignment):
    """Scale and shift from the way the camera has moved.

    Points with texture are carried into up to four earlier images by the depth that a scale and shift give
    them; those are sought under which the grey levels agree best (see ``parallax``). The earlier images are a
    few centimetres apart and at most two seconds old.

    It fails, and holds the last fit, without parallax (a camera that stands, or only turns, for two seconds;
    all is far), without texture, and where a turn has left nothing in common with the earlier images. Depth
    is wrong by as much as the length of the odometry's steps is. Repeated patterns, and movers that fill the
    image, mislead it. A rolling shutter while the rate of turn changes shifts what it compares.

    Nothing is seen before the camera has moved, so a robot must dare a first step without depth.

    A frame needs ``view``.
    """

    KEYFRAMES = 4
    KEYFRAME_M = 0.05
    MAX_AGE_NS = 2_000_000_000
    MIN_POINTS = 30
    MIN_RISE = 0.2
    """Grey levels by which the images agree less when all is a quarter nearer, or farther."""

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._keyframes: deque[tuple[int, parallax.Grey, Array]] = deque(maxlen=self.KEYFRAMES)

    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""
        if frame.view is None:
            raise ValueError(
                "the alignment 'odometry' needs to know where each frame was taken from, but the frame does "
                "not say (from an environment: info['T_odometry_camera'] and a pinhole camera): use 'ranges'"
            )

    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        assert frame.view is not None
        pose, image = frame.view.pose, parallax.grey(frame.image)
        while self._keyframes and self._keyframes[0][0] < frame.time_ns - self.MAX_AGE_NS:
            self._keyframes.popleft()
        moved = [(g, np.linalg.inv(p) @ pose) for _, g, p in self._keyframes]
        moved = [(g, T) for g, T in moved if np.linalg.norm(T[:3, 3]) >= self.KEYFRAME_M]
        newest = self._keyframes[-1][2] if self._keyframes else None
        if newest is None or np.linalg.norm(newest[:3, 3] - pose[:3, 3]) >= self.KEYFRAME_M:
            self._keyframes.append((frame.time_ns, image, pose))
        points = parallax.textured_points(image)
        seen = known[points.rows, points.columns]
        points = parallax.Points(points.rows[seen], points.columns[seen])
        if not moved or len(points) < self.MIN_POINTS:
            return None
        height, width = normal.shape
        differences = parallax.sweep(image, points, moved, frame.view.camera.resized(width, height))
        return photometric_fit(normal[points.rows, points.columns], differences, self.MIN_RISE)


def photometric_fit(relative: Array, differences: NDArray[np.float32], min_rise: float) -> Fit | None:
    """The scale and shift under which points agree best with earlier images.

    Args:
        relative: (N,) relative depth of the points.
        differences: From ``parallax.sweep``.
        min_rise: The cost must rise by this when all is a quarter nearer or farther.

    Returns:
        The fit, None if others are about as good.
    """
    low, high = np.percentile(relative, (10, 90))
    if high <= low:
        return None
    place = (relative - low) / (high - low)

    def cost(ends: tuple[float, float]) -> float:
        return parallax.cost(differences, ends[0] + (ends[1] - ends[0]) * place)

    coarse = np.geomspace(1 / 15, 2.0, 24)
    best = min(((far, near) for i, far in enumerate(coarse) for near in coarse[i:]), key=cost)
    step = float(coarse[1] / coarse[0])
    while step > 1.005:
        factors = (1.0, 1 / step, step)
        around = [(best[0] * f, best[1] * n) for f in factors for n in factors]
        better = min((ends for ends in around if ends[0] <= ends[1]), key=cost)
        if better == best:
            step = step**0.5
        best = better
    rise = min(cost((best[0] * f, best[1] * f)) for f in (0.8, 1.25)) - cost(best)
    if rise < min_rise:
        return None
    scale = (best[1] - best[0]) / (high - low)
    return Fit(float(scale), float(best[0] - scale * low))
