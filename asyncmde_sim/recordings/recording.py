"""A recorded sequence, whatever files it lies in. Images and depth are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from asyncmde_sim.intrinsics import Intrinsics

RGB = NDArray[np.uint8]
Depth = NDArray[np.float32]
Pose = NDArray[np.float64]

SATURATED_16_BIT = 65535
"""A 16-bit depth image marks with it what it cannot measure."""


class UnreadableFrameError(ValueError):
    """A frame's image or depth cannot be read."""


@dataclass(frozen=True)
class RecordedFrame:
    """One frame on disk.

    Args:
        time_ns: Capture time of the image.
        image_file: Its image.
        depth_file: The depth that belongs to it.
        T_world_camera: 4x4 pose, camera x right, y down, z forward; None where it was lost.
    """

    time_ns: int
    image_file: Path
    depth_file: Path
    T_world_camera: Pose | None = None


@dataclass(frozen=True)
class FrameData:
    """What a frame shows.

    Args:
        image: (H, W, 3) uint8.
        depth: (H, W) float32 metres, 0 for none.
        bad_pixels: Pixels whose depth was negative or not a number, and is none here.
    """

    image: RGB
    depth: Depth
    bad_pixels: int


@dataclass(frozen=True)
class Recording:
    """A sequence of frames in time order.

    Args:
        name: What tables call it.
        camera: The camera, for images of the depth's size.
        frames: At least one, with increasing times.
        decode_depth: Metres (H, W) from a depth file, 0 for none.
        problems: What was wrong with the files and left out, one sentence each.
    """

    name: str
    camera: Intrinsics
    frames: tuple[RecordedFrame, ...]
    decode_depth: Callable[[Path], Depth]
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.frames:
            found = f" ({'; '.join(self.problems[:3])})" if self.problems else ""
            raise ValueError(f"recording {self.name!r} has no usable frame{found}: check the folder")

    def read(self, frame: RecordedFrame) -> FrameData:
        """Image and depth of one frame; an image of another size than the depth is resized to it.

        Raises:
            UnreadableFrameError: A file cannot be read.
        """
        try:
            image = _rgb(iio.imread(frame.image_file))
        except (OSError, ValueError, SyntaxError) as error:
            raise UnreadableFrameError(f"{frame.image_file.name} cannot be read ({error})") from error
        try:
            depth = self.decode_depth(frame.depth_file)
        except (OSError, ValueError, SyntaxError) as error:
            raise UnreadableFrameError(f"{frame.depth_file.name} cannot be read ({error})") from error
        bad = ~(depth >= 0) | np.isinf(depth)
        depth = np.where(bad, 0, depth).astype(np.float32)
        if image.shape[:2] != depth.shape:
            resized = Image.fromarray(image).resize(depth.shape[::-1], Image.Resampling.BILINEAR)
            image = np.asarray(resized)
        return FrameData(image, depth, int(bad.sum()))


def _rgb(image: NDArray[np.uint8]) -> RGB:
    if image.dtype != np.uint8:
        raise ValueError(f"it holds {image.dtype}, not 8-bit colour")
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def depth_png(units_per_m: float) -> Callable[[Path], Depth]:
    """A decoder of 16-bit depth images in which 0 and 65535 mean none."""

    def decode(path: Path) -> Depth:
        raw = iio.imread(path)
        if raw.ndim != 2 or not np.issubdtype(raw.dtype, np.integer):
            raise ValueError(f"it holds {raw.dtype} of shape {raw.shape}, not 16-bit depth")
        return np.where(raw == SATURATED_16_BIT, 0, raw).astype(np.float32) / units_per_m

    return decode


def existing(frames: Iterable[RecordedFrame]) -> tuple[list[RecordedFrame], list[str]]:
    """The frames whose files are there, and a sentence on each that is not."""
    kept, problems = [], []
    for frame in frames:
        missing = [f.name for f in (frame.image_file, frame.depth_file) if not f.is_file()]
        if missing:
            problems.append(f"missing file {' and '.join(missing)}")
        else:
            kept.append(frame)
    return kept, problems


def existing_numbered(
    numbers: Sequence[int], frames: Sequence[RecordedFrame]
) -> tuple[list[RecordedFrame], tuple[str, ...]]:
    """``existing`` for frames that are numbered one after the other: gaps in the numbers are named too."""
    kept, missing = existing(frames)
    return kept, (*gaps(numbers), *missing)


def in_order(frames: Sequence[RecordedFrame]) -> tuple[list[RecordedFrame], list[str]]:
    """The frames by time, one for each time, and a sentence on each that was out of order or double."""
    problems = [
        f"out of order: {frame.image_file.name} comes after {before.image_file.name}"
        for before, frame in pairwise(frames)
        if frame.time_ns < before.time_ns
    ]
    kept: list[RecordedFrame] = []
    for frame in sorted(frames, key=lambda f: f.time_ns):
        if kept and frame.time_ns == kept[-1].time_ns:
            problems.append(f"duplicate: {frame.image_file.name} has the time of {kept[-1].image_file.name}")
        else:
            kept.append(frame)
    return kept, problems


def gaps(numbers: Sequence[int]) -> list[str]:
    """A sentence on each run of numbers that a sorted sequence of frame numbers leaves out."""
    holes = [(a + 1, b - 1) for a, b in pairwise(numbers) if b > a + 1]
    return [f"missing frame {a}" if a == b else f"missing frames {a} to {b}" for a, b in holes]


def read_matrix(path: Path, rows: int = 4) -> NDArray[np.float64] | None:
    """A text file with a matrix of ``rows`` x 4 or more, None if it is not there, broken or not finite."""
    try:
        matrix = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError):
        return None
    fits = matrix.shape[0] >= rows and matrix.shape[1] >= rows and np.isfinite(matrix).all()
    return matrix if fits else None
