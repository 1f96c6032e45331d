"""The layout of Microsoft 7-Scenes (Shotton et al., CVPR 2013): one sequence, ``frame-NNNNNN.*``.

Depth is in millimetres from a Kinect, and not registered to the colour image (a few pixels off when near).
"""

from __future__ import annotations

from pathlib import Path

from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.recordings.recording import (
    RecordedFrame,
    Recording,
    depth_png,
    existing_numbered,
    read_matrix,
)

CAMERA = Intrinsics(640, 480, 585.0, 585.0, 320.0, 240.0)
"""As the data set's page gives it."""
FRAME_NS = round(1e9 / 30)


def colour_files(folder: Path) -> list[Path]:
    """The colour images of a folder in this layout, by number."""
    return sorted(folder.glob("frame-*.color.*"))


def read_recording(folder: Path) -> Recording:
    """A folder in the 7-Scenes layout, at 30 frames a second."""
    numbers, frames = [], []
    for image in colour_files(folder):
        stem = image.name.split(".")[0]
        number = int(stem.removeprefix("frame-"))
        pose = read_matrix(folder / f"{stem}.pose.txt")
        frames.append(RecordedFrame(number * FRAME_NS, image, folder / f"{stem}.depth.png", pose))
        numbers.append(number)
    kept, problems = existing_numbered(numbers, frames)
    return Recording(folder.name, CAMERA, tuple(kept), depth_png(1000.0), problems)
