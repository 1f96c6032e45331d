"""Maps against the truth: only what the track could have seen counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy import ndimage

from asyncmde_sim.evaluation.tracks import Track
from asyncmde_sim.metrics.mesh import (
    SAMPLE_M,
    THRESHOLDS_M,
    clearance_scores,
    distances_to,
    surface_scores,
    thinned,
)

KEYFRAME_S = 0.25
"""Visibility is worked out from a frame at least so long after the last."""

MAPPED_M = 0.2
"""A piece of the reference counts as covered if the map has a surface this near, however rough."""

FREE_PLACES = 4000
"""Truly free places at which distances to obstacles are compared."""

OUTSIDE = 0.05
"""A reference mesh fits if no larger share of the track lies outside of its bounds."""

TOO_LARGE = 30.0
"""A mesh so many times larger than what the track can have seen is in other units."""

UNITS = {"millimetres": 0.001, "centimetres": 0.01, "inches": 0.0254}


@dataclass(frozen=True)
class Reference:
    """What a track could have seen.

    Args:
        surface: (N, 3) points on it.
        free: (M, 3) places that are truly free.
        free_m: (M,) distance from each to the nearest point of the surface.
    """

    surface: NDArray[np.float64]
    free: NDArray[np.float64]
    free_m: NDArray[np.float64]


def keyframes(track: Track) -> list[int]:
    """Indices of frames, at least ``KEYFRAME_S`` apart."""
    kept, last = [], -np.inf
    for index, time_ns in enumerate(track.times_ns):
        if time_ns / 1e9 - last >= KEYFRAME_S - 1e-6:
            kept.append(index)
            last = time_ns / 1e9
    return kept


def make_reference(
    track: Track, max_range_m: float, mesh: trimesh.Trimesh | None = None, seed: int = 0
) -> Reference:
    """The surface that a track could have seen, and free places beside it.

    Args:
        track: With true or recorded depth.
        max_range_m: Farther away nothing counts as seen.
        mesh: The true surface, of which the visible part is taken; without one it is the track's own depth.
        seed: Draws samples.

    Raises:
        ValueError: The track has no depth, or the mesh does not fit it.
    """
    rng = np.random.default_rng(seed)
    samples = None
    if mesh is not None:
        check_reference(mesh, track, max_range_m)
        count = int(mesh.area / SAMPLE_M**2 * 2)
        samples = thinned(np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0]))
        seen = np.zeros(len(samples), bool)
    clouds, free = [], []
    for index in keyframes(track):
        _, depth = track.see(index)
        pose = track.poses[index]
        cloud = _points(depth, track, pose, max_range_m)
        if samples is None:
            clouds.append(thinned(cloud))
        else:
            hidden = np.flatnonzero(~seen)
            seen[hidden[_visible(samples[hidden], depth, track, pose, max_range_m)]] = True
        if len(cloud):
            ends = cloud[rng.integers(len(cloud), size=64)]
            share = rng.uniform(0.2, 1.0, (64, 1))
            free.append(pose[:3, 3] + share * (ends - pose[:3, 3]))
    surface = thinned(np.concatenate(clouds)) if samples is None else samples[seen]
    if len(surface) == 0 or not free:
        raise ValueError(f"{track.name}: nothing within {max_range_m:g} m was seen: allow a longer range")
    places = np.concatenate(free)
    places = places[rng.permutation(len(places))[:FREE_PLACES]]
    return Reference(surface, places, distances_to(surface, places))


def score_map(mesh: trimesh.Trimesh, reference: Reference, radius_m: float, seed: int = 0) -> dict[str, Any]:
    """The scores of a map's mesh, see ``metrics.mesh``.

    Args:
        mesh: The mesh; it may be empty.
        reference: What could have been seen.
        radius_m: Radius of the robot for which obstacles are missed or phantoms.
        seed: Draws samples.
    """
    points = np.zeros((0, 3))
    if len(mesh.faces):
        count = int(mesh.area / SAMPLE_M**2 * 2) + 1
        points = thinned(np.asarray(trimesh.sample.sample_surface(mesh, count, seed=seed)[0]))
    scores = surface_scores(points, reference.surface, (*THRESHOLDS_M, MAPPED_M))
    clearance = clearance_scores(reference.free_m, distances_to(points, reference.free), radius_m)
    return {
        "accuracy_m": scores.accuracy_m,
        "completeness_m": scores.completeness_m,
        "chamfer_m": scores.chamfer_m,
        **{f"f_{round(100 * t)}cm": scores.f_score(t) for t in THRESHOLDS_M},
        "coverage": scores.recall[MAPPED_M],
        "obstacle_missed": clearance.missed,
        "phantom_obstacle": clearance.phantom,
        "near_distance_error_m": clearance.error_m,
    }


def check_reference(mesh: trimesh.Trimesh, track: Track, max_range_m: float) -> None:
    """Check that a mesh is in metres and z up, as far as a track within it can tell.

    Raises:
        ValueError: The track leaves the mesh, or the mesh is far larger than what the track can have seen;
            the message says what units or axes would fit.
    """
    places = np.array([pose[:3, 3] for pose in track.poses])
    span = float(np.ptp(places, axis=0).max()) + 2 * max_range_m
    size = float(mesh.extents.max())
    if size > TOO_LARGE * span:
        unit = min(UNITS, key=lambda name: abs(np.log(size * UNITS[name] / span)))
        raise ValueError(
            f"the reference mesh is {size:.0f} m large, where the track can have seen {span:.0f} m: it seems "
            f"to be in {unit}; scale it by {UNITS[unit]:g}"
        )
    outside = _outside(mesh.bounds, places)
    if outside <= OUTSIDE:
        return
    turned = np.sort(mesh.bounds[:, [0, 2, 1]] * [1, -1, 1], axis=0)
    guess = f"its bounds are {mesh.bounds.round(2).tolist()} m: give it in metres, in the frame of the poses"
    if _outside(turned, places) <= OUTSIDE:
        guess = "its y axis seems to point up: turn it so that z does"
    raise ValueError(f"{outside:.0%} of the track lies outside of the reference mesh; {guess}")


def _outside(bounds: NDArray[np.float64], places: NDArray[np.float64]) -> float:
    return float(((places < bounds[0]) | (places > bounds[1])).any(axis=1).mean())


def _points(
    depth: NDArray[np.float32], track: Track, pose: NDArray[np.float64], max_range_m: float
) -> NDArray[np.float64]:
    camera = track.camera
    row, column = np.nonzero((depth > 0) & (depth <= max_range_m))
    z = depth[row, column].astype(np.float64)
    local = np.stack([(column - camera.cx) / camera.fx * z, (row - camera.cy) / camera.fy * z, z], axis=1)
    return local @ pose[:3, :3].T + pose[:3, 3]


def _visible(
    points: NDArray[np.float64],
    depth: NDArray[np.float32],
    track: Track,
    pose: NDArray[np.float64],
    max_range_m: float,
) -> NDArray[np.bool_]:
    """Whether each point (N, 3) is in view with nothing nearer in its pixel or those around it."""
    camera = track.camera
    x, y, z = ((points - pose[:3, 3]) @ pose[:3, :3]).T
    ahead = np.maximum(z, 1e-3)
    column = np.rint(camera.fx * x / ahead + camera.cx)
    row = np.rint(camera.fy * y / ahead + camera.cy)
    inside = (z > 1e-3) & (z <= max_range_m)
    inside &= (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    farthest = ndimage.maximum_filter(np.where(depth > 0, depth, np.inf), size=3)
    visible = np.zeros(len(points), bool)
    at = farthest[row[inside].astype(int), column[inside].astype(int)]
    visible[inside] = z[inside] <= 1.01 * at
    return visible
