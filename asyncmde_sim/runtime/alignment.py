"""Metres for a depth model that gives relative depth, from what a robot has.

A relative model (MiDaS, arXiv 1907.01341; the general weights of Depth Anything V2, arXiv 2406.09414) gives
inverse depth up to a scale and a shift that differ from frame to frame: 1 / z = scale * relative + shift. An
alignment finds both for each frame, from the height of the camera over the floor that it sees
(``FloorAlignment``), from a few range readings (``RangeAlignment``) or from the way it has moved
(``OdometryAlignment``). Your own is any object with the methods of ``Alignment``.

All three hold the last good fit through frames that tell too little, and give no depth before the first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asyncmde_sim.runtime import parallax
from asyncmde_sim.runtime.types import Frame

Depth = NDArray[np.float32]
Relative = NDArray[np.float32]
Array = NDArray[np.float64]

NEAREST_M = 0.05
FARTHEST_M = 100.0
"""Aligned depth lies between the two."""

FAR, NEAR = 5, 95
"""Percentiles of a frame's relative depth between which it is normalised."""

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


class Alignment(Protocol):
    """Brings relative depth to metres, frame by frame."""

    def reset(self) -> None:
        """Forget everything: a new episode starts."""
        ...

    def check(self, frame: Frame) -> None:
        """Check that a frame holds what the alignment needs.

        Raises:
            ValueError: It does not; the message says what is missing.
        """
        ...

    def align(self, relative: Relative, frame: Frame) -> Depth:
        """Depth (H, W) float32 metres, 0 for none.

        Args:
            relative: (H, W) float32, larger is nearer; a value that is not finite is no depth.
            frame: What the robot has; its image is of the same size. Times increase.
        """
        ...


@dataclass(frozen=True)
class Fit:
    """Inverse depth is ``scale * relative + shift``, 1/m."""

    scale: float
    shift: float

    def inverse_depth(self, relative: Array) -> Array:
        """Inverse depth of relative depth of any shape."""
        return self.scale * relative + self.shift


class FittedAlignment(ABC):
    """An alignment that fits a scale and a shift to each frame, and holds the last fit where it cannot.

    A fit is for relative depth that is 0 at the frame's ``FAR`` percentile and 1 at its ``NEAR`` one. So what
    a held fit keeps is how far away the far and the near end of the view are, and no result depends on the
    scale and shift that the model chose for a frame. It is held until there is a new one, however old it is.

    Attributes:
        fitted: Whether the last frame had evidence of its own.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.fitted = False
        self._fit: Fit | None = None

    def align(self, relative: Relative, frame: Frame) -> Depth:
        """See ``Alignment``; 0 everywhere before the first good fit.

        Raises:
            ValueError: The frame lacks what the alignment needs, or is of another size.
        """
        self.check(frame)
        if relative.shape != frame.image.shape[:2]:
            raise ValueError(
                f"relative depth has shape {relative.shape}, but its image is {frame.image.shape[:2]}: "
                "resize it to the image"
            )
        known = np.isfinite(relative)
        if not known.any():
            self.fitted = False
            return np.zeros(relative.shape, np.float32)
        normal = _normalised(relative, known)
        fit = self._find(normal, known, frame, self._fit)
        self.fitted = fit is not None and fit.shift > 0  # else the far end lies beyond infinity
        if self.fitted:
            self._fit = fit
        if self._fit is None:
            return np.zeros(relative.shape, np.float32)
        inverse = np.clip(self._fit.inverse_depth(normal), 1 / FARTHEST_M, 1 / NEAREST_M)
        return np.where(known, 1 / inverse, 0.0).astype(np.float32)

    @abstractmethod
    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""

    @abstractmethod
    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        """The fit of a frame, None where it tells too little.

        Args:
            normal: (H, W) normalised relative depth, 0 where unknown.
            known: (H, W) where it is known.
            frame: The frame.
            last: The last good fit.
        """


class FloorAlignment(FittedAlignment):
    """Scale and shift from the height of the camera above a flat floor, and its tilt.

    Every pixel below the horizon would have a known depth if it showed the floor. The scale and shift that
    make the most of those pixels floor are fitted to them (RANSAC, then reweighted least squares).

    It fails, and holds the last fit, where the floor is less than a tenth of the image: a camera that looks
    up, or stands before a wall. Depth is wrong by as much as the height is, everywhere. What is level but no
    floor (a table that fills the lower image, a step) is taken for the floor, and depth comes out too large
    by height / (height - its height). From high above, the floor is all at about the same distance, and what
    is near is extrapolated.

    A frame needs ``camera_height_m``, and ``view``, whose pose is z up.
    """

    MIN_SHARE = 0.1
    FARTHEST_FLOOR_M = 8.0

    def check(self, frame: Frame) -> None:
        """See ``Alignment``."""
        if frame.view is None or frame.camera_height_m is None:
            raise ValueError(
                "the alignment 'floor' needs the camera's height and tilt, but the frame lacks them (from an "
                "environment: info['camera_height_m'], info['T_odometry_camera'] and a pinhole camera): use "
                "'ranges' or 'odometry'"
            )

    def _find(self, normal: Array, known: NDArray[np.bool_], frame: Frame, last: Fit | None) -> Fit | None:
        assert frame.view is not None and frame.camera_height_m is not None
        floor = floor_inverse_depth(frame)
        below = known & (floor > 1 / self.FARTHEST_FLOOR_M)
        found = robust_fit(normal[below], floor[below])
        if found is None:
            return None
        fit, inliers = found
        return fit if inliers.sum() >= self.MIN_SHARE * normal.size else None


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


class OdometryAlignment(FittedAlignment):
    """Scale and shift from the way the camera has moved.

    Points with texture are carried into up to four earlier images by the depth that a scale and shift give
    them; those are sought under which the grey levels agree best (see ``parallax``). The earlier images are a
    few centimetres apart and at most two seconds old.

    It fails, and holds the last fit, without parallax (a camera that stands, or only turns, for two seconds;
    all is far), without texture, and where a turn has left nothing in common with the earlier images. Depth
    is wrong by as much as the length of the odometry's steps is. Repeated patterns, and movers that fill the
    image, mislead it. A rolling shutter while the rate of turn changes shifts what it compares.

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


ALIGNMENTS: dict[str, Callable[[], FittedAlignment]] = {
    "floor": FloorAlignment,
    "ranges": RangeAlignment,
    "odometry": OdometryAlignment,
}


def make_alignment(name: str) -> FittedAlignment:
    """An alignment by name.

    Raises:
        ValueError: There is none of this name; the message says which there are.
    """
    if name not in ALIGNMENTS:
        raise ValueError(f"unknown alignment {name!r}: choose one of {', '.join(ALIGNMENTS)}")
    return ALIGNMENTS[name]()


def floor_inverse_depth(frame: Frame) -> Array:
    """(H, W) 1 / depth that a flat floor would have in each pixel, not positive above the horizon, 1/m."""
    assert frame.view is not None and frame.camera_height_m is not None
    height, width = frame.image.shape[:2]
    camera = frame.view.camera.resized(width, height)
    right, down, forward = frame.view.pose[2, :3]
    columns, rows = np.arange(width), np.arange(height)[:, None]
    upward = right * (columns - camera.cx) / camera.fx + down * (rows - camera.cy) / camera.fy + forward
    return -upward / frame.camera_height_m


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


def _normalised(relative: Relative, known: NDArray[np.bool_]) -> Array:
    values = relative[known].astype(np.float64)
    far, near = np.percentile(values, (FAR, NEAR))
    normal = np.zeros(relative.shape)
    normal[known] = (values - far) / (near - far or 1.0)
    return normal
