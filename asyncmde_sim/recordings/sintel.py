"""A sequence of MPI Sintel (Butler et al., ECCV 2012) with its depth extension, ``training/final/SEQUENCE``.

Depth and cameras lie beside the images: ``training/depth/SEQUENCE``, ``training/camdata_left/SEQUENCE``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings.recording import (
    Depth,
    Pose,
    RecordedFrame,
    Recording,
    existing_numbered,
)

FRAME_NS = round(1e9 / 24)
TAG = 202021.25
"""The first number of every file of depth or camera: it tells the byte order."""


def depth_folder(folder: Path) -> Path:
    """Where the depth of a sequence of images is."""
    return folder.parent.parent / "depth" / folder.name


def read_recording(folder: Path) -> Recording:
    """One sequence, at 24 frames a second; its unit of length is taken for the metre.

    Raises:
        ValueError: No camera can be read.
    """
    cameras = folder.parent.parent / "camdata_left" / folder.name
    images = sorted((int(p.stem.split("_")[1]), p) for p in folder.glob("frame_*.png"))
    frames, matrix = [], None
    for number, image in images:
        read = _read_camera(cameras / f"{image.stem}.cam")
        matrix, pose = (matrix, None) if read is None else read
        depth = depth_folder(folder) / f"{image.stem}.dpt"
        frames.append(RecordedFrame(number * FRAME_NS, image, depth, pose))
    if matrix is None:
        raise ValueError(f"{cameras} holds no camera of this sequence: unpack Sintel's camera data there")
    kept, problems = existing_numbered([n for n, _ in images], frames)
    height, width = read_depth(kept[0].depth_file).shape if kept else (436, 1024)
    camera = Intrinsics(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    return Recording(folder.name, camera, tuple(kept), read_depth, problems)


def read_depth(path: Path) -> Depth:
    """A ``.dpt`` file: tag, width and height, then float32 depths (H, W).

    Raises:
        ValueError: It is something else, or cut short.
    """
    data = path.read_bytes()
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != TAG:
        raise ValueError("it does not begin as a depth file of Sintel does")
    width, height = np.frombuffer(data, "<i4", 2, offset=4)
    if len(data) != 12 + 4 * width * height:
        raise ValueError(f"it has {len(data)} bytes, but {width} x {height} pixels need more or fewer")
    return np.frombuffer(data, "<f4", offset=12).reshape(height, width).copy()


def _read_camera(path: Path) -> tuple[Pose, Pose] | None:
    """Intrinsics 3x3 and pose 4x4 (camera to world) of a ``.cam`` file, None if it cannot be read."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) != 4 + 8 * 21 or np.frombuffer(data, "<f4", 1)[0] != TAG:
        return None
    values = np.frombuffer(data, "<f8", offset=4)
    from_world = np.vstack([values[9:].reshape(3, 4), [0, 0, 0, 1]])
    return values[:9].reshape(3, 3), np.linalg.inv(from_world)
