"""The TUM RGB-D layout (Sturm et al., IROS 2012), which Bonn RGB-D Dynamic shares, read and written.

``rgb.txt`` and ``depth.txt`` list times and files, ``groundtruth.txt`` times and poses
(tx ty tz qx qy qz qw, camera to world); colour and depth have times of their own and are associated.
"""

from __future__ import annotations

import json
import shutil
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings.recording import (
    RGB,
    SATURATED_16_BIT,
    Depth,
    Pose,
    RecordedFrame,
    Recording,
    depth_png,
    existing,
    in_order,
)

MAX_DIFFERENCE_NS = 20_000_000
"""Colour and depth belong together up to this difference (the data set's own tool has the same)."""
MAX_POSE_GAP_NS = 100_000_000
"""Poses are interpolated between neighbours no further apart than this; a frame at a pose's time has it."""
DEPTH_FACTOR = 5000.0
WRITTEN_DEPTH_FACTOR = 3000.0
"""Depth units per metre of what is written here: 16 bits reach 21.8 m at a third of a millimetre."""
SIZE = (640, 480)
KNOWN_CAMERAS = {
    ("freiburg1", "fr1"): (517.3, 516.5, 318.6, 255.3),
    ("freiburg2", "fr2"): (520.9, 521.0, 325.1, 249.7),
    ("freiburg3", "fr3"): (535.4, 539.2, 320.1, 247.6),
    ("bonn",): (542.822841, 542.576870, 315.593520, 237.756098),
}
"""fx, fy, cx, cy of the published recordings, by a part of the folder's name (their project pages)."""


def read_recording(folder: Path) -> Recording:
    """A folder in the TUM RGB-D layout.

    The camera comes from ``camera.json`` (keys width, height, fx, fy, cx, cy, and depth_factor), or from the
    folder's name if it is one of the published recordings.

    Raises:
        ValueError: The camera is unknown or a list is broken.
    """
    camera, factor = _camera(folder)
    images, depths = (_file_list(folder / name) for name in ("rgb.txt", "depth.txt"))
    poses = _Trajectory(folder / "groundtruth.txt")
    frames, problems = in_order([RecordedFrame(t, f, f) for t, f in images])
    depths.sort()
    depth_times = [time_ns for time_ns, _ in depths]
    paired = []
    for frame in frames:
        near = _nearest(depth_times, frame.time_ns)
        if near is None or abs(depth_times[near] - frame.time_ns) > MAX_DIFFERENCE_NS:
            problems.append(f"missing depth for {frame.image_file.name}")
            continue
        pose = poses.at(frame.time_ns)
        paired.append(RecordedFrame(frame.time_ns, frame.image_file, depths[near][1], pose))
    kept, missing = existing(paired)
    problems += missing
    return Recording(folder.name, camera, tuple(kept), depth_png(factor), tuple(problems))


def write_recording(
    folder: Path, camera: Intrinsics, frames: Iterable[tuple[int, RGB, Depth, Pose]], note: str = ""
) -> int:
    """Write frames (time in ns, image, depth in metres with 0 for none, 4x4 pose) and return their number.

    The folder appears whole, when all is written.

    Raises:
        ValueError: The folder exists, there is no frame, or a depth does not fit into 16 bits.
    """
    writer = RecordingWriter(folder, camera, note)
    try:
        for frame in frames:
            writer.add(*frame)
        return writer.finish()
    finally:
        writer.discard()


class RecordingWriter:
    """Writes a recording frame by frame; the folder appears whole, when it is finished.

    Args:
        folder: Where to; it must not exist.
        camera: The camera of the images.
        note: Goes into ``camera.json``.

    Raises:
        ValueError: The folder exists.
    """

    def __init__(self, folder: Path, camera: Intrinsics, note: str = "") -> None:
        if folder.exists():
            raise ValueError(f"{folder} exists: give another folder, or remove it")
        self._folder = folder
        self._partial = folder.with_name(f"{folder.name}.partial")
        self._about = {**asdict(camera), "depth_factor": WRITTEN_DEPTH_FACTOR, "note": note}
        self._times_ns: list[int] = []
        self._poses: list[Pose] = []
        self.discard()
        for name in ("rgb", "depth"):
            (self._partial / name).mkdir(parents=True)

    def add(self, time_ns: int, image: RGB, depth: Depth, pose: Pose) -> None:
        """Write a frame.

        Raises:
            ValueError: Its depth does not fit into 16 bits.
        """
        raw = np.round(depth * WRITTEN_DEPTH_FACTOR)
        if raw.max() >= SATURATED_16_BIT or raw.min() < 0 or not np.isfinite(raw).all():
            raise ValueError(
                f"depth at {time_ns} ns lies between {depth.min()} and {depth.max()} m, but a recording "
                f"holds 0 to {SATURATED_16_BIT / WRITTEN_DEPTH_FACTOR:.1f} m"
            )
        stamp = _stamp(time_ns)
        iio.imwrite(self._partial / "rgb" / f"{stamp}.png", image)
        iio.imwrite(self._partial / "depth" / f"{stamp}.png", raw.astype(np.uint16))
        self._times_ns.append(time_ns)
        self._poses.append(pose)

    def finish(self) -> int:
        """Write the lists, put the folder in its place and return the number of frames.

        Raises:
            ValueError: There is no frame.
        """
        if not self._poses:
            raise ValueError("there is no frame to write into a recording")
        stamps = [_stamp(time_ns) for time_ns in self._times_ns]
        for name in ("rgb", "depth"):
            lines = (f"{stamp} {name}/{stamp}.png" for stamp in stamps)
            _write_lines(self._partial / f"{name}.txt", "timestamp filename", lines)
        poses = np.array(self._poses)
        rotations = Rotation.from_matrix(poses[:, :3, :3])
        write_trajectory(self._partial / "groundtruth.txt", self._times_ns, poses[:, :3, 3], rotations)
        (self._partial / "camera.json").write_text(json.dumps(self._about, indent=1))
        self._partial.rename(self._folder)
        return len(self._poses)

    def discard(self) -> None:
        """Remove what is not finished."""
        shutil.rmtree(self._partial, ignore_errors=True)


def write_trajectory(
    path: Path, times_ns: Sequence[int], positions: NDArray[np.float64], rotations: Rotation
) -> None:
    """Write poses as ``timestamp tx ty tz qx qy qz qw``, which tools such as evo read.

    Args:
        path: File to write.
        times_ns: Time of each pose.
        positions: (N, 3) metres.
        rotations: N of them.
    """
    rows = zip(times_ns, positions, rotations.as_quat(), strict=True)
    lines = (" ".join([_stamp(t), *(f"{v:.9f}" for v in (*place, *turn))]) for t, place, turn in rows)
    _write_lines(path, "timestamp tx ty tz qx qy qz qw", lines)


def _write_lines(path: Path, columns: str, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in (f"# {columns}", *lines)))


def _stamp(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09d}"


def _nanoseconds(stamp: str) -> int:
    whole, _, fraction = stamp.partition(".")
    return int(whole) * 10**9 + int(f"{fraction:0<9.9}")


def _rows(path: Path, columns: int) -> list[list[str]]:
    lines = [line.split() for line in path.read_text().splitlines()]
    lines = [line for line in lines if line and not line[0].startswith("#")]
    for line in lines:
        if len(line) < columns:
            raise ValueError(f"{path}: the line {' '.join(line)!r} has fewer than {columns} columns")
    return lines


def _file_list(path: Path) -> list[tuple[int, Path]]:
    return [(_nanoseconds(stamp), path.parent / name) for stamp, name, *_ in _rows(path, 2)]


def _nearest(times: list[int], time_ns: int) -> int | None:
    """Index of the nearest of sorted ``times``."""
    index = bisect_left(times, time_ns)
    around = [i for i in (index - 1, index) if 0 <= i < len(times)]
    return min(around, key=lambda i: abs(times[i] - time_ns), default=None)


def _camera(folder: Path) -> tuple[Intrinsics, float]:
    file = folder / "camera.json"
    if file.is_file():
        about = json.loads(file.read_text())
        try:
            names = ("width", "height", "fx", "fy", "cx", "cy")
            return Intrinsics(**{n: about[n] for n in names}), float(about.get("depth_factor", DEPTH_FACTOR))
        except KeyError as error:
            raise ValueError(f"{file} has no key {error}: add it (width, height, fx, fy, cx, cy)") from None
    name = folder.absolute().as_posix().lower()
    for parts, (fx, fy, cx, cy) in KNOWN_CAMERAS.items():
        if any(part in name for part in parts):
            return Intrinsics(*SIZE, fx, fy, cx, cy), DEPTH_FACTOR
    raise ValueError(
        f"{folder} does not say what its camera is: add camera.json with width, height, fx, fy, cx, cy and "
        "depth_factor"
    )


class _Trajectory:
    """Poses at any time, interpolated between the recorded ones."""

    def __init__(self, path: Path) -> None:
        rows = _rows(path, 8) if path.is_file() else []
        by_time = {_nanoseconds(row[0]): [float(v) for v in row[1:8]] for row in rows}
        self._times = sorted(by_time)
        values = np.array([by_time[t] for t in self._times]).reshape(-1, 7)
        self._positions = values[:, :3]
        self._rotations = Rotation.from_quat(values[:, 3:]) if len(values) else None

    def at(self, time_ns: int) -> Pose | None:
        """The 4x4 pose at a time, None where there is none near."""
        if self._rotations is None:
            return None
        after = bisect_left(self._times, time_ns)
        if after < len(self._times) and self._times[after] == time_ns:
            return _pose(self._rotations[after], self._positions[after])
        if not 0 < after < len(self._times):
            return None
        span = self._times[after] - self._times[after - 1]
        if span > MAX_POSE_GAP_NS:
            return None
        part = (time_ns - self._times[after - 1]) / span
        position = (1 - part) * self._positions[after - 1] + part * self._positions[after]
        return _pose(Slerp([0, 1], self._rotations[[after - 1, after]])(part), position)


def _pose(rotation: Rotation, position: Pose) -> Pose:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.as_matrix(), position
    return pose
