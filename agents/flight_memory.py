"""What a flying robot has seen of late, in the odometry frame: obstacle points, and which of them move."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from asyncmde_sim.scenes.camera import Camera

Array = NDArray[np.float64]

COLUMNS = 56
"""Views are kept at about this width."""
NEAR_M = 0.05
"""Depth below this is no measurement."""
MOTION_SPAN_S = 0.12
"""Motion is seen between a view and one about this much older."""
MOTION_GAP_M = 0.3
"""What stands this far in front of the surface seen before has moved there ..."""
MOTION_SPREADS = 4.0
"""... if that is also so many times what two views' depths typically differ by, in proportion to depth."""
MOTION_GROUP_M = 0.6
"""Moving points this close to each other share their velocity."""
MOTION_KEEP_S = 1.0
"""What moved is carried on for this long after it was last seen."""
MAX_MOVER_MPS = 6.0
EDGE_PX = 0.25
"""A view's edges are blurred by its pixels: what is new must be new this far to all sides, in pixels ..."""
EDGE_LAG_PX = 0.6
"""... and has on average advanced by so much less than the way to the nearest point seen before."""
TRACK_GAP_M = 0.3
"""A moving point carried on into the view stays one where a surface is this near."""


@dataclass(frozen=True)
class CameraState:
    """Where the camera was at one instant and how it moved, in the odometry frame.

    Args:
        time_s: The instant.
        rotation: 3x3 from camera to odometry.
        position: (3,) metres.
        velocity: (3,) m/s in the odometry frame.
        rate: (3,) rad/s in the camera frame.
    """

    time_s: float
    rotation: Array
    position: Array
    velocity: Array
    rate: Array


@dataclass(frozen=True)
class View:
    """One depth estimate, thinned to the nearest measurement of each block of pixels.

    Args:
        state: The camera at the estimate's capture time.
        depth: (h, w) planar depth in metres, ``inf`` where nothing was measured within range.
        points: (N, 3) obstacle points in the odometry frame.
        beyond: (M, 3) points beyond the range.
        half_width: Tangent of half the horizontal field of view.
        readout_s: Time that the rolling shutter takes from the first row to the last.
    """

    state: CameraState
    depth: Array
    points: Array
    beyond: Array
    half_width: float
    readout_s: float

    @classmethod
    def of_depth(cls, depth: NDArray[np.float32], camera: Camera, state: CameraState, range_m: float) -> View:
        """Thin ``depth`` (H, W) (0 for none) and place its points, nearer than ``range_m`` and beyond.

        A rolling shutter reads each row at its own time; its points are placed by the camera's motion then.
        """
        block = max(1, depth.shape[1] // COLUMNS)
        h, w = depth.shape[0] // block, depth.shape[1] // block
        split = depth[: h * block, : w * block].reshape(h, block, w, block).transpose(0, 2, 1, 3)
        blocks = split.reshape(h * w, block * block)
        blocks = np.where(blocks > NEAR_M, blocks, np.inf)
        nearest = blocks.argmin(1)
        z = blocks[np.arange(h * w), nearest].astype(np.float64)
        hit = np.flatnonzero(z < np.inf)
        rows = hit // w * block + nearest[hit] // block + 0.5
        columns = hit % w * block + nearest[hit] % block + 0.5
        focal = camera.focal_share * depth.shape[1]
        right, down = (columns - depth.shape[1] / 2) / focal, (rows - depth.shape[0] / 2) / focal
        points = np.stack([right, down, np.ones(len(hit))], axis=1) * z[hit, None]
        delay = ((rows / depth.shape[0] - 0.5) * camera.readout_s)[:, None]
        points = points + delay * np.cross(state.rate, points)
        points = points @ state.rotation.T + state.position + delay * state.velocity
        near = z[hit] < range_m
        half_width = float(np.tan(camera.hfov_rad / 2))
        return cls(state, z.reshape(h, w), points[near], points[~near], half_width, camera.readout_s)

    def depth_at(self, points: Array) -> tuple[Array, Array]:
        """Planar depth of ``points`` (N, 3) from this view, and the depth measured there.

        Each point is seen by a row of the rolling shutter at that row's time. The second is NaN for points
        outside the view; both are (N,) metres.
        """
        local = (points - self.state.position) @ self.state.rotation
        h, w = self.depth.shape
        scale = w / (2 * self.half_width)
        if self.readout_s > 0:
            row = local[:, 1] / np.maximum(local[:, 2], NEAR_M) * scale + h / 2
            delay = ((np.clip(row, 0, h) / h - 0.5) * self.readout_s)[:, None]
            local = local - delay * (
                np.cross(self.state.rate, local) + self.state.velocity @ self.state.rotation
            )
        z = local[:, 2]
        safe = np.where(z > NEAR_M, z, np.inf)
        column = np.floor(local[:, 0] / safe * scale + w / 2).astype(np.int64)
        row = np.floor(local[:, 1] / safe * scale + h / 2).astype(np.int64)
        inside = (z > NEAR_M) & (column >= 0) & (column < w) & (row >= 0) & (row < h)
        measured = np.full(len(points), np.nan)
        measured[inside] = self.depth[row[inside], column[inside]]
        return z, measured

    @property
    def pixel(self) -> float:
        """Width of a pixel of ``depth``, per metre of distance."""
        return 2 * self.half_width / self.depth.shape[1]

    def sees_free(self, points: Array) -> NDArray[np.bool_]:
        """Whether this view sees each of ``points`` (N, 3) as free, (N,)."""
        z, measured = self.depth_at(points)
        return z < measured


class Motion(NamedTuple):
    """What moved between two views: points (N, 3) in the odometry frame and their velocities (N, 3), m/s.

    ``spread`` is how far the views' depths of the same points are apart, in proportion to depth: their error.
    """

    points: Array
    velocity: Array
    spread: float


class SpaceMemory:
    """Obstacle points of the last moments, and which of them move.

    A new view replaces what it sees: older points in front of or at its surfaces are dropped, so what has
    moved away disappears; points beside it or hidden from it stay until they are ``keep_s`` old.

    Args:
        keep_s: How long points are kept, seconds.
    """

    def __init__(self, keep_s: float = 4.0) -> None:
        self.keep_s = keep_s
        self.newest: View | None = None
        self._recent: deque[View] = deque(maxlen=16)
        self._old = np.zeros((0, 3))
        self._old_times = np.zeros(0)
        self.moving = (np.zeros((0, 3)), np.zeros((0, 3)))
        """Moving points (N, 3) at the time of the newest view and their velocities (N, 3), m/s."""
        self._moving_times = np.zeros(0)
        self.spread = 0.0
        """How far the newest view's depth is from an older one's, in proportion to depth."""

    @property
    def moving_unseen_s(self) -> Array:
        """How long before the newest view each of the moving points was last seen to move, (N,) seconds."""
        return (0.0 if self.newest is None else self.newest.state.time_s) - self._moving_times

    @property
    def points(self) -> Array:
        """All obstacle points (N, 3)."""
        return self._old if self.newest is None else np.concatenate([self.newest.points, self._old])

    def add(self, view: View) -> None:
        """Take a view that is newer than all before."""
        previous = self.newest
        if previous is not None:
            points = np.concatenate([previous.points, self._old])
            times = np.concatenate([np.full(len(previous.points), previous.state.time_s), self._old_times])
            z, measured = view.depth_at(points)
            stale = z < measured + 0.05 * z + 0.15
            keep = ~stale & (view.state.time_s - times < self.keep_s)
            points, times = points[keep], times[keep]
            first = first_of_cells(points, 0.12)
            self._old, self._old_times = points[first], times[first]
        self.newest = view
        self._recent.append(view)
        reference = min(self._recent, key=lambda v: abs(view.state.time_s - v.state.time_s - MOTION_SPAN_S))
        self._track(view, previous, reference)

    def _track(self, view: View, previous: View | None, reference: View) -> None:
        """Find what moves in ``view`` and carry on what moved before."""
        now = view.state.time_s
        found, speeds, self.spread = moving_points(view, reference)
        (points, velocity), times = self.moving, self._moving_times
        if previous is not None:
            points = points + (now - previous.state.time_s) * velocity
        z, measured = view.depth_at(points)
        in_view = ~np.isnan(measured)
        replaced = np.abs(z - measured) >= TRACK_GAP_M
        if len(found):
            replaced |= cKDTree(found).query(points)[0] <= MOTION_GROUP_M
        kept = ~(in_view & replaced) & (now - times < MOTION_KEEP_S)
        self.moving = np.concatenate([found, points[kept]]), np.concatenate([speeds, velocity[kept]])
        self._moving_times = np.append(np.full(len(found), now), times[kept])


def moving_points(view: View, reference: View) -> Motion:
    """Points of ``view`` where an older view saw free space, and the velocity of the edge that got there.

    A front that advances by d leaves a strip of newly taken space, on average d / 2 from where it was.
    """
    span_s = view.state.time_s - reference.state.time_s
    nothing = Motion(np.zeros((0, 3)), np.zeros((0, 3)), 0.0)
    if span_s < MOTION_SPAN_S / 3 or not len(reference.points):
        return nothing
    right, down = reference.state.rotation[:, 0], reference.state.rotation[:, 1]
    z, measured = reference.depth_at(view.points)
    spread = relative_spread(z, measured)
    gap = np.maximum(MOTION_GAP_M, MOTION_SPREADS * spread * z)
    edge = (EDGE_PX * reference.pixel * z)[:, None]
    for aside in (right + down, right - down, down - right, -right - down):
        beside = reference.depth_at(view.points + edge * aside)[1]
        measured = np.fmin(measured, beside)
    new = z < measured - gap
    points = view.points[new]
    if not len(points):
        return nothing._replace(spread=spread)
    _, nearest = cKDTree(reference.points).query(points)
    advance = points - reference.points[nearest]
    length = np.linalg.norm(advance, axis=1)
    lag = EDGE_LAG_PX * reference.pixel * z[new]
    advance *= np.maximum(0.0, 1 - lag / np.maximum(length, 1e-9))[:, None]
    near = (cdist(points, points) < MOTION_GROUP_M).astype(np.float64)
    velocity = 2 * (near @ advance) / near.sum(1, keepdims=True) / span_s
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    velocity *= np.minimum(1, MAX_MOVER_MPS / np.maximum(speed, 1e-9))
    keep = near.sum(1) > 2
    return Motion(points[keep], velocity[keep], spread)


def relative_spread(z: Array, measured: Array) -> float:
    """Median of how far two views' depths ``z`` and ``measured`` (N,) of the same points are apart, by depth.

    Zero where no point has both: about a percent with true depth, for its pixels, ten with estimated depth.
    """
    both = np.isfinite(measured)
    return float(np.median(np.abs(measured[both] - z[both]) / z[both])) if both.any() else 0.0


def first_of_cells(points: Array, cell_m: float) -> NDArray[np.intp]:
    """Indices of the first of ``points`` (N, 3) in each occupied cell of a grid."""
    cells = np.floor(points / cell_m).astype(np.int64) @ np.array([1, 1 << 20, 1 << 40])
    return np.unique(cells, return_index=True)[1]
