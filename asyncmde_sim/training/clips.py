"""Short camera clips rendered from train-split scenes, for training the depth networks.

A clip is a camera (and some movers) under constant linear and angular velocity for a few frames: within
the third of a second that a clip lasts, that is what a robot does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.scenes.backend import Mover, RobotBody, SceneBackend
from asyncmde_sim.scenes.camera import Camera, RigidMotion

KINDS = ("images", "poses", "depth")
"""The arrays of a shard, each a file; depth is written last."""
BODY_TO_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Rotation of a camera (x right, y down, z forward) in a body (x forward, y left, z up)."""
MAX_TRIES = 2000
BLURRED = 0.8
"""Share of the clips that are blurred, of a robot whose camera blurs."""
CLOSE_M = 1.0
"""Close clips start with less free range than this along the optical axis, all others with more."""
BELOW = (0.45, 0.65, 0.9)
"""How far below the camera low clips look ahead: parts of its height, or of a flying body's radius."""

Start = Literal["open", "close", "low"]
"""What a clip starts in front of: nothing within ``CLOSE_M``, something within it, or something within it
that the optical axis passes over."""


@dataclass(frozen=True)
class ClipRecipe:
    """How clips of one robot are drawn.

    Args:
        body: The robot's body; the camera keeps it clear of every surface.
        camera_height_m: Height of the camera above ``body``'s reference point.
        frame_interval_s: Time between frames.
        max_speed_mps: Largest camera speed.
        max_yaw_rate_radps: Largest yaw rate.
        tilt_std_rad: Standard deviation of roll and pitch at the clip's first frame.
        max_tilt_rate_radps: Largest roll and pitch rate.
        camera_pitch_up_rad: How far the camera looks up in the body.
        movers: Kinds of movers to scatter; each clip has up to ``max_movers``.
        max_movers: Largest number of movers.
        max_mover_speed_mps: Their largest speed.
        max_exposure_s: Largest exposure time; four in five clips are blurred with a random one.
        max_readout_s: Largest rolling shutter readout of those.
    """

    body: RobotBody
    camera_height_m: float
    frame_interval_s: float
    max_speed_mps: float
    max_yaw_rate_radps: float
    tilt_std_rad: float = 0.0
    max_tilt_rate_radps: float = 0.0
    camera_pitch_up_rad: float = 0.0
    movers: tuple[str, ...] = ()
    max_movers: int = 0
    max_mover_speed_mps: float = 1.4
    max_exposure_s: float = 0.0
    max_readout_s: float = 0.0


@dataclass(frozen=True)
class Clips:
    """N clips of T frames.

    Args:
        images: (N, T, H, W, 3) uint8.
        depth: (N, T, H, W) float16 metres, 0 for none.
        poses: (N, T, 4, 4) ``T_world_camera``.
    """

    images: NDArray[np.uint8]
    depth: NDArray[np.float16]
    poses: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = self.images.shape, self.depth.shape, self.poses.shape
        if self.images.shape[:-1] != self.depth.shape or self.poses.shape != (*self.depth.shape[:2], 4, 4):
            raise ValueError("images {}, depth {} and poses {} do not belong together".format(*shapes))

    @classmethod
    def joined(cls, parts: Sequence[Clips]) -> Clips:
        """Several sets of clips as one."""
        return cls(**{kind: np.concatenate([getattr(part, kind) for part in parts]) for kind in KINDS})


def render_clip(
    backend: SceneBackend,
    recipe: ClipRecipe,
    camera: Camera,
    frames: int,
    rng: np.random.Generator,
    start: Start = "open",
) -> Clips:
    """Render one clip of ``frames`` frames; shapes (1, T, ...).

    A ``close`` or ``low`` clip shows what a robot sees when it is about to hit something.

    Raises:
        ValueError: No clear motion was found in the scene.
    """
    times = np.arange(frames, dtype=np.float64) * recipe.frame_interval_s
    motion = _clear_motion(backend, recipe, times, rng, start)
    movers = _scatter_movers(backend, recipe, motion, rng)
    camera = draw_exposure(camera, recipe, rng)
    images = np.empty((1, frames, camera.height, camera.width, 3), np.uint8)
    depth = np.empty((1, frames, camera.height, camera.width), np.float16)
    for index, time in enumerate(times):
        now = [Mover(m.kind, _advanced(m.motion, time)) for m in movers]
        rendering = backend.render(camera, _advanced(motion, time), now, rng)
        images[0, index], depth[0, index] = rendering.rgb, rendering.depth
    return Clips(images, depth, motion.poses_at(times)[None])


def draw_exposure(camera: Camera, recipe: ClipRecipe, rng: np.random.Generator) -> Camera:
    """The camera with random gain and noise and, if the recipe has them, blur and rolling shutter."""
    camera = replace(
        camera, exposure_gain=float(np.exp(rng.normal(0, 0.2))), noise_std=float(rng.uniform(0, 4))
    )
    if recipe.max_exposure_s and rng.random() < BLURRED:
        camera = replace(
            camera,
            exposure_s=float(rng.uniform(0, recipe.max_exposure_s)),
            readout_s=float(rng.uniform(0, recipe.max_readout_s)),
            blur_samples=3,
        )
    return camera


def _advanced(motion: RigidMotion, seconds: float) -> RigidMotion:
    return replace(motion, pose=motion.poses_at(np.array([seconds]))[0])


def _clear_motion(
    backend: SceneBackend,
    recipe: ClipRecipe,
    times: NDArray[np.float64],
    rng: np.random.Generator,
    start: Start,
) -> RigidMotion:
    lift = np.array([0, 0, recipe.camera_height_m])
    mount = Rotation.from_euler("Y", -recipe.camera_pitch_up_rad).as_matrix() @ BODY_TO_CAMERA
    for _ in range(MAX_TRIES):
        position = backend.sample_free(rng, recipe.body, 1, margin_m=0.02)[0] + lift
        yaw, (roll, pitch) = rng.uniform(-np.pi, np.pi), rng.normal(0, 1, 2) * recipe.tilt_std_rad
        body = Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_matrix()
        pose = np.eye(4)
        pose[:3, :3] = body @ mount
        pose[:3, 3] = position
        speed = rng.uniform(0, recipe.max_speed_mps)
        heading = np.array([1.0, 0.0, 0.0])
        if recipe.body.flies:
            heading = rng.normal([1, 0, 0], 0.4)
            heading /= np.linalg.norm(heading)
        rates = np.array([recipe.max_tilt_rate_radps, recipe.max_tilt_rate_radps, recipe.max_yaw_rate_radps])
        rates = rng.uniform(-1, 1, 3) * rng.uniform(0, 1) * rates
        motion = RigidMotion(
            pose, Rotation.from_euler("Z", yaw).as_matrix() @ (heading * speed), mount.T @ rates
        )
        if not _starts(start, backend, recipe, pose, yaw):
            continue
        if np.all(backend.clearance(motion.poses_at(times)[:, :3, 3] - lift, recipe.body) > 0.02):
            return motion
    raise ValueError(f"{backend.name}: no clear camera motion in {MAX_TRIES} tries: use a less crowded scene")


def _starts(
    start: Start, backend: SceneBackend, recipe: ClipRecipe, pose: NDArray[np.float64], yaw: float
) -> bool:
    """Whether a camera at ``pose``, in a body that heads to ``yaw``, is at such a start."""
    eye = pose[:3, 3]
    close = bool(backend.range_along(eye[None], pose[None, :3, 2])[0] < CLOSE_M)
    if start != "low":
        return close == (start == "close")
    drops = np.array(BELOW) * (recipe.camera_height_m or recipe.body.radius_m)
    origins = eye - drops[:, None] * np.array([0.0, 0.0, 1.0])
    ahead = np.broadcast_to([np.cos(yaw), np.sin(yaw), 0.0], origins.shape)
    return not close and bool((backend.range_along(origins, ahead) < CLOSE_M).any())


def _scatter_movers(
    backend: SceneBackend, recipe: ClipRecipe, motion: RigidMotion, rng: np.random.Generator
) -> list[Mover]:
    count = int(rng.integers(0, recipe.max_movers + 1))
    if not count:
        return []
    eye = motion.pose[:3, 3]
    movers: list[Mover] = []
    for position in backend.sample_free(rng, recipe.body, 8 * count, margin_m=0.1):
        if len(movers) == count:
            break
        distance = np.linalg.norm((position - eye)[:2])
        if 0.8 < distance < 6:
            yaw = rng.uniform(-np.pi, np.pi)
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_euler("Z", yaw).as_matrix()
            pose[:3, 3] = position
            movers.append(
                Mover(
                    str(rng.choice(recipe.movers)),
                    RigidMotion(pose, pose[:3, 0] * rng.uniform(0, recipe.max_mover_speed_mps)),
                )
            )
    return movers


def write_shard(clips: Clips, folder: Path, name: str) -> None:
    """Write a file for each of ``KINDS``, each whole or not at all, depth last."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".tmp", delete=False) as file:
            np.save(file, getattr(clips, kind))
        os.replace(file.name, folder / f"{name}-{kind}.npy")


def shard_names(folder: Path) -> list[str]:
    """Names of the complete shards of a folder, sorted."""
    return sorted(path.name.removesuffix("-depth.npy") for path in folder.glob("*-depth.npy"))


def read_shard(folder: Path, name: str) -> Clips:
    """One shard, memory-mapped; what is written to it stays in memory."""
    arrays = {kind: np.load(folder / f"{name}-{kind}.npy", mmap_mode="c") for kind in KINDS}
    return Clips(**arrays)
