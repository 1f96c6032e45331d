"""Maps along a track: what a depth source on a device would have put into one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.evaluation.map_scores import Reference, score_map
from asyncmde_sim.evaluation.tracks import Track
from asyncmde_sim.mapping import MapConfig, TsdfMap
from asyncmde_sim.mapping.weighting import range_weights, trust_weights
from asyncmde_sim.recordings.recording import RGB
from asyncmde_sim.runtime.registry import DEVICELESS
from asyncmde_sim.runtime.types import DepthSource, Estimate, Frame, View


@dataclass(frozen=True)
class Setup:
    """A depth source on a device; ``label`` is what tables call it."""

    depth: str
    device: str

    @property
    def label(self) -> str:
        """Source and device, or the source alone where latencies are not its own."""
        return self.depth if self.depth in DEVICELESS else f"{self.depth}, {self.device}"


def setups(depths: Sequence[str], devices: Sequence[str]) -> list[Setup]:
    """Each source on each device; those that run on none once."""
    return [
        Setup(depth, device)
        for depth in depths
        for device in (devices[:1] if depth in DEVICELESS else devices)
    ]


@dataclass(frozen=True)
class Fused:
    """A map and how it came about.

    Args:
        map: The map, in the world of the track.
        fuse_ms: Median time of entering one estimate, milliseconds of this machine.
        estimates: Estimates entered.
        content_age_ms: Their mean content age when they became available; None without any.
    """

    map: TsdfMap
    fuse_ms: float
    estimates: int
    content_age_ms: float | None

    def row(self, mesh: trimesh.Trimesh, reference: Reference, radius_m: float) -> dict[str, Any]:
        """Scores of the map's ``mesh``, see ``score_map``, and how it came about."""
        return {
            **score_map(mesh, reference, radius_m),
            "fuse_ms": self.fuse_ms,
            "estimates": self.estimates,
            "content_age_ms": self.content_age_ms,
            "memory_mb": self.map.memory_mb,
        }


def estimates_along(
    track: Track, source: DepthSource, poses: Sequence[NDArray[np.float64]], seed: int
) -> Iterator[tuple[int, RGB, Estimate]]:
    """Each estimate once, with the index and the image of the frame that it describes.

    Args:
        track: What the source sees.
        source: It is reset first.
        poses: 4x4 poses of the frames as the robot's odometry has them.
        seed: Draws latencies.
    """
    source.reset(seed)
    index_at = {time_ns: index for index, time_ns in enumerate(track.times_ns)}
    images: dict[int, RGB] = {}
    last = -1
    for index, time_ns in enumerate(track.times_ns):
        image, depth = track.see(index)
        images[time_ns] = image
        source.offer(Frame(image, time_ns, depth, View(poses[index], track.camera)))
        estimate = source.newest(time_ns)
        if estimate is None or estimate.capture_ns <= last:
            continue
        last = estimate.capture_ns
        images = {at: kept for at, kept in images.items() if at >= last}
        yield index_at[last], images[last], estimate


def fuse_track(
    track: Track,
    source: DepthSource,
    config: MapConfig,
    weighting: str,
    poses: Sequence[NDArray[np.float64]],
    seed: int,
) -> Fused:
    """Enter every estimate of a source where its frame was captured.

    Args:
        track: What it sees.
        source: The depth source.
        config: The map.
        weighting: One of ``mapping.weighting.WEIGHTINGS``.
        poses: 4x4 poses of the frames as the robot's odometry has them.
        seed: Draws latencies.

    Raises:
        MapFullError: The map would need more memory than it may have.
    """
    tsdf = TsdfMap(config)
    times, ages = [], []
    for index, image, estimate in estimates_along(track, source, poses, seed):
        depth = np.nan_to_num(estimate.depth, nan=0.0, posinf=0.0, neginf=0.0)
        depth = np.maximum(depth, 0)
        start = time.perf_counter()
        tsdf.fuse(depth, track.camera, poses[index], _weights(weighting, depth, estimate), image)
        times.append(time.perf_counter() - start)
        ages.append(estimate.available_ns - estimate.memory_capture_ns)
    return Fused(
        tsdf,
        1e3 * float(np.median(times)) if times else 0.0,
        len(times),
        float(np.mean(ages)) / 1e6 if ages else None,
    )


def _weights(weighting: str, depth: NDArray[np.float32], estimate: Estimate) -> NDArray[np.float32] | None:
    if weighting == "uniform":
        return None
    if weighting == "range":
        return range_weights(depth)
    age_s = (estimate.capture_ns - estimate.memory_capture_ns) / 1e9
    return trust_weights(depth, estimate.trust, age_s)
