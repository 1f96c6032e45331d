"""An episode that was run before, in the formats of other tools."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.spatial.transform import Rotation

from asyncmde_sim.evaluation.mcap_log import McapLog, check_mcap
from asyncmde_sim.evaluation.replay import PastEpisode, replay
from asyncmde_sim.evaluation.rerun_log import RerunLog, check_rerun
from asyncmde_sim.evaluation.rollout import Rollout, Watcher
from asyncmde_sim.evaluation.video import VideoLog
from asyncmde_sim.recordings.recording import Pose
from asyncmde_sim.recordings.tum import RecordingWriter, write_trajectory

FILES = {
    "trajectory": "trajectory.txt",
    "rgbd": "rgbd",
    "mcap": "episode.mcap",
    "rerun": "recording.rrd",
    "video": "video.mp4",
}
"""Formats and what they leave in the folder."""

FORMATS = tuple(FILES)


def check_formats(formats: Sequence[str]) -> None:
    """Check that formats can be written.

    Raises:
        ValueError: One is unknown, or its extra is not installed.
    """
    if not formats:
        raise ValueError(f"formats is empty: name one or more of {', '.join(FORMATS)}")
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format {name!r}: choose from {', '.join(FORMATS)}")
    if "mcap" in formats:
        check_mcap()
    if "rerun" in formats:
        check_rerun()


def export_episode(past: PastEpisode, folder: Path, formats: Sequence[str]) -> str | None:
    """Write an episode into a new folder, and say what went otherwise than before, if anything did.

    ``trajectory`` comes from the table: the camera's true path. For the others the episode is run again,
    which also gives the path by odometry, ``odometry.txt``. Both are in the TUM format, camera to world.

    Args:
        past: The episode.
        folder: Where to; it must not exist.
        formats: Some of ``FORMATS``.

    Raises:
        ValueError: The folder exists, a format cannot be written, or the episode cannot be run again.
        OSError: A file is missing, or the folder cannot be written.
    """
    check_formats(formats)
    if folder.exists():
        raise ValueError(f"{folder} exists: give another --out, or remove it")
    folder.mkdir(parents=True)
    try:
        if "trajectory" in formats:
            write_true_path(past.steps, folder / FILES["trajectory"])
        if set(formats) == {"trajectory"}:
            return None
        return replay(past, lambda rollout: _watchers(rollout, past.name, folder, formats))
    except BaseException:
        shutil.rmtree(folder)
        raise


def write_true_path(steps: pa.Table, path: Path) -> None:
    """The camera's true path from the rows of one episode, in the TUM format."""
    columns = {name: steps[name].to_numpy() for name in steps.column_names if name.startswith("camera_")}
    positions = np.stack([columns[f"camera_{axis}_m"] for axis in "xyz"], -1)
    rotations = Rotation.from_quat(np.stack([columns[f"camera_q{part}"] for part in "xyzw"], -1))
    write_trajectory(path, steps["time_ns"].to_pylist(), positions, rotations)


class RecordingLog:
    """Writes what the camera saw in the TUM RGB-D layout: images, true depth and true poses.

    Args:
        writer: Writes it.
    """

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._ended = False

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Write the first frame."""
        self._add(observation, info)

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Write a frame."""
        self._add(observation, info)

    def end(self, row: Mapping[str, Any]) -> None:
        """The episode is whole."""
        self._ended = True

    def close(self) -> None:
        """Finish the recording of a whole episode, else leave none."""
        if self._ended:
            self._writer.finish()
        self._writer.discard()

    def _add(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        self._writer.add(info["time_ns"], observation["image"], info["true_depth"], info["T_world_camera"])


class OdometryLog:
    """Writes the camera's path by odometry in the TUM format, at the times of the step table.

    Args:
        path: File to write, at the end of the episode.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._times_ns: list[int] = []
        self._poses: list[Pose] = []

    def begin(self, episode: int, observation: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Nothing has moved yet."""

    def step(self, observation: Mapping[str, Any], info: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Note a pose."""
        self._times_ns.append(info["time_ns"])
        self._poses.append(np.asarray(info["T_odometry_camera"]))

    def end(self, row: Mapping[str, Any]) -> None:
        """Write the file."""
        poses = np.array(self._poses)
        rotations = Rotation.from_matrix(poses[:, :3, :3])
        write_trajectory(self._path, self._times_ns, poses[:, :3, 3], rotations)

    def close(self) -> None:
        """All is written."""


def _watchers(rollout: Rollout, name: str, folder: Path, formats: Sequence[str]) -> list[Watcher]:
    robot = rollout.env.unwrapped.robot  # type: ignore[attr-defined]
    files = {form: folder / FILES[form] for form in formats}
    watchers: list[Watcher] = [OdometryLog(folder / "odometry.txt")]
    if "rgbd" in files:
        watchers.append(
            RecordingLog(RecordingWriter(files["rgbd"], robot.camera.pinhole, f"rollout: {name}"))
        )
    if "mcap" in files:
        watchers.append(McapLog(files["mcap"], robot.camera))
    if "rerun" in files:
        watchers.append(RerunLog(files["rerun"], robot.camera))
    if "video" in files:
        watchers.append(VideoLog(files["video"], robot.control_dt_ns, robot.camera.max_range_m, 1))
    return watchers
