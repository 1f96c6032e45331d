"""Which layout a folder has."""

from __future__ import annotations

from pathlib import Path

from asyncmde_sim.recordings import scannet, seven_scenes, sintel, tum
from asyncmde_sim.recordings.recording import Recording


def open_recording(folder: str | Path) -> Recording:
    """A recording in any of the layouts of TUM RGB-D (and Bonn), 7-Scenes, ScanNet (exported) and Sintel.

    What is missing, double or out of order is left out and named in ``problems``.

    Raises:
        ValueError: The folder is not a recording, or has no usable frame.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give the folder of a recording")
    if (folder / "rgb.txt").is_file() and (folder / "depth.txt").is_file():
        return tum.read_recording(folder)
    if seven_scenes.colour_files(folder):
        return seven_scenes.read_recording(folder)
    if (folder / "color").is_dir() and (folder / "intrinsic").is_dir():
        return scannet.read_recording(folder)
    if sintel.depth_folder(folder).is_dir() and any(folder.glob("frame_*.png")):
        return sintel.read_recording(folder)
    raise ValueError(
        f"{folder} is not a recording: it has neither rgb.txt and depth.txt (TUM RGB-D, Bonn), "
        "frame-*.color.* (7-Scenes), color/ and intrinsic/ (exported ScanNet), nor frame_*.png of Sintel "
        "with its depth/"
    )
