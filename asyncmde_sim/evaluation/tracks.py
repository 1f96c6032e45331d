"""A camera's way through a scene with what it saw: what maps are built from and compared on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import trimesh
from numpy.typing import NDArray

from asyncmde_sim.envs.state import Odometry, inverse_pose
from asyncmde_sim.intrinsics import Intrinsics
from asyncmde_sim.mapping.poses import check_rigid, find_jump
from asyncmde_sim.recordings.frames import Frame as SeenFrame
from asyncmde_sim.recordings.frames import frames_along
from asyncmde_sim.recordings.recording import RGB, Depth, Pose, RecordedFrame, Recording
from asyncmde_sim.scenes.mesh_io import SurfaceMesh

MAX_SPEED_MPS, MAX_RATE_RADPS = 8.0, 12.0
"""No camera here moves faster: a step beyond them is a jump of the pose."""

Sight = tuple[RGB, Depth]
"""Image (H, W, 3) and reference depth (H, W)."""


@dataclass(frozen=True)
class Track:
    """Frames in time order, each with a pose.

    Args:
        name: What tables call it.
        camera: The camera of its images.
        times_ns: Capture times.
        poses: 4x4 ``T_world_camera`` of each.
        see: Image and reference depth of a frame by its index.
        notes: What was left out, one sentence each.
    """

    name: str
    camera: Intrinsics
    times_ns: tuple[int, ...]
    poses: tuple[Pose, ...]
    see: Callable[[int], Sight]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.times_ns:
            raise ValueError(f"{self.name} has no frame with a pose: a map needs poses")
        for time_ns, pose in zip(self.times_ns, self.poses, strict=True):
            check_rigid(pose, f"{self.name}: the pose at {time_ns / 1e9:.3f} s")

    def __len__(self) -> int:
        return len(self.times_ns)


def recorded_track(recording: Recording, on_jump: str = "stop", most: int | None = None) -> Track:
    """The frames of a recording that have a pose.

    Args:
        recording: The recording.
        on_jump: Where a pose is lost or jumps: ``stop`` refuses the recording, ``skip`` leaves the frame out.
        most: Take no more frames than this; None takes all.

    Raises:
        ValueError: No frame has a pose, or one is lost or jumps and that is to be refused.
    """
    kept: list[RecordedFrame] = []
    notes: list[str] = []
    for frame in recording.frames[:most]:
        at = f"{(frame.time_ns - recording.frames[0].time_ns) / 1e9:.3f} s ({frame.image_file.name})"
        if frame.T_world_camera is None:
            notes.append(f"no pose at {at}")
            continue
        if kept:
            before = kept[-1]
            assert before.T_world_camera is not None
            seconds = (frame.time_ns - before.time_ns) / 1e9
            jump = find_jump(
                before.T_world_camera, frame.T_world_camera, seconds, MAX_SPEED_MPS, MAX_RATE_RADPS
            )
            if jump is not None:
                notes.append(f"the pose jumps at {at}: {jump}")
                continue
        kept.append(frame)
    if notes and kept and on_jump == "stop":
        raise ValueError(
            f"recording {recording.name!r}: {notes[0]} ({len(notes)} of {len(kept) + len(notes)} frames): "
            "use --on-jump skip to go on without them"
        )

    def see(index: int) -> Sight:
        data = recording.read(kept[index])
        return data.image, data.depth

    poses = tuple(f.T_world_camera for f in kept if f.T_world_camera is not None)
    return Track(recording.name, recording.camera, tuple(f.time_ns for f in kept), poses, see, tuple(notes))


def seen_track(name: str, camera: Intrinsics, frames: Iterator[SeenFrame]) -> Track:
    """The frames that an environment's camera saw, kept in memory."""
    kept = list(frames)
    return Track(
        name,
        camera,
        tuple(time_ns for time_ns, *_ in kept),
        tuple(pose for *_, pose in kept),
        lambda index: kept[index][1:3],
    )


def environment_track(
    env_id: str,
    motion: str,
    seed: int,
    seconds: float,
    options: Mapping[str, Any],
    watch: Callable[[Iterator[SeenFrame], int], Iterable[SeenFrame]] = lambda frames, most: frames,
) -> tuple[Track, trimesh.Trimesh]:
    """What the camera of an environment sees, and the true surface there.

    Args:
        env_id: The environment.
        motion: See ``recordings.frames.frames_along``.
        seed: Decides scene and way.
        seconds: Longest way.
        options: Keyword arguments of ``gymnasium.make``.
        watch: Is given the frames and their largest number, and passes them on: a progress bar.

    Raises:
        ValueError: An option is wrong, or the scene has no room.
    """
    env = gym.make(env_id, disable_env_checker=True, **options)
    plain: Any = env.unwrapped
    most = max(1, round(seconds * 1e9 / plain.robot.control_dt_ns))
    frames = watch(frames_along(env, motion, seed, most), most)
    track = seen_track(f"{env_id}, {motion}, seed {seed}", plain.robot.camera.pinhole, iter(frames))
    mesh = as_trimesh(plain.backend.planner.mesh)
    env.close()
    return track, mesh


def as_trimesh(mesh: SurfaceMesh) -> trimesh.Trimesh:
    """The surface of a scene's mesh."""
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def drifting(track: Track, noise: float, seed: int) -> list[NDArray[np.float64]]:
    """The poses (4, 4) of a track as odometry with this noise has them, which start as the true ones do.

    Args:
        track: The track.
        noise: See ``envs.state.Odometry``; 0 gives the true poses.
        seed: Draws the drift.
    """
    if noise == 0:
        return list(track.poses)
    odometry = Odometry(track.poses[0], noise, np.random.default_rng(seed))
    start = track.poses[0] @ inverse_pose(odometry.pose)
    drifted = [track.poses[0]]
    for (before, after), pose in zip(pairwise(track.times_ns), track.poses[1:], strict=True):
        odometry.update(pose, (after - before) / 1e9)
        drifted.append(start @ odometry.pose)
    return drifted
