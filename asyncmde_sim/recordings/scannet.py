"""ScanNet (Dai et al., CVPR 2017) as its own exporter writes it.

``color/N.jpg``, ``depth/N.png`` (millimetres), ``pose/N.txt`` (camera to world, -inf where tracking was lost)
and ``intrinsic/intrinsic_depth.txt``. Colour is resized to the depth image, as is usual.
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings.recording import (
    RecordedFrame,
    Recording,
    depth_png,
    existing_numbered,
    read_matrix,
)

FRAME_NS = round(1e9 / 30)


def read_recording(folder: Path) -> Recording:
    """An exported scan, at 30 frames a second.

    Raises:
        ValueError: Its intrinsics are missing or broken.
    """
    file = folder / "intrinsic" / "intrinsic_depth.txt"
    matrix = read_matrix(file, rows=3)
    if matrix is None:
        raise ValueError(f"{file} is missing or no matrix: export the scan with its intrinsics")
    images = sorted((int(p.stem), p) for p in (folder / "color").iterdir() if p.stem.isdigit())
    frames = [
        RecordedFrame(
            number * FRAME_NS,
            image,
            folder / "depth" / f"{number}.png",
            read_matrix(folder / "pose" / f"{number}.txt"),
        )
        for number, image in images
    ]
    kept, problems = existing_numbered([n for n, _ in images], frames)
    height, width = iio.improps(kept[0].depth_file).shape[:2] if kept else (480, 640)
    camera = Intrinsics(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    return Recording(folder.name, camera, tuple(kept), depth_png(1000.0), problems)
