"""Training clips cut from what the environments record: an agent's episodes and open-loop trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from asyncmde_sim.recordings.frames import TRAJECTORIES, Frame, frames_along
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.training.clips import ClipRecipe, Clips, draw_exposure

CLIPS_A_RECORDING = 4
SPREAD = 3
"""A recording is so many times longer than the clips that are cut from it."""
MAX_SHORT = 20
"""Recordings in a row without a clip after which a scene is given up."""
EPISODES = 0.5
"""Share of the recordings that are episodes of an agent; the others are open-loop trajectories."""


def trajectory_clips(
    environment: str,
    options: Mapping[str, Any],
    recipe: ClipRecipe,
    camera: Camera,
    clips: int,
    frames: int,
    rng: np.random.Generator,
) -> Clips:
    """Clips from recordings of an environment in one scene; shapes (``clips``, ``frames``, ...).

    Args:
        environment: Its registered id.
        options: Its options, without the camera.
        recipe: How much the exposure of the robot's camera varies.
        camera: The robot's camera; each recording draws its exposure.
        clips: How many clips; ``CLIPS_A_RECORDING`` come from one recording.
        frames: Frames a clip, one control step apart.
        rng: Draws everything.

    Raises:
        ValueError: The environment has no episode in the scene, no room, or no recording as long as a clip.
    """
    parts: list[Clips] = []
    short = 0
    while len(parts) < clips:
        if short == MAX_SHORT:
            raise ValueError(
                f"{options.get('scene')}: {MAX_SHORT} recordings were shorter than a clip of {frames} "
                "frames: give shorter clips or another scene"
            )
        wanted = min(CLIPS_A_RECORDING, clips - len(parts))
        exposed = draw_exposure(camera, recipe, rng)
        env = gym.make(f"asyncmde_sim:{environment}", disable_env_checker=True, camera=exposed, **options)
        motion = "agent" if rng.random() < EPISODES else str(rng.choice(list(TRAJECTORIES)))
        seed = int(rng.integers(2**31))
        recorded = list(frames_along(env, motion, seed, wanted * frames * SPREAD))
        env.close()
        found = cut(recorded, wanted, frames, rng)
        short = 0 if found else short + 1
        parts += found
    return Clips.joined(parts)


def cut(recorded: Sequence[Frame], most: int, frames: int, rng: np.random.Generator) -> list[Clips]:
    """At most ``most`` clips of ``frames`` frames in a row, one at a random place of each equal part."""
    count = min(most, len(recorded) // frames)
    length = len(recorded) // max(count, 1)
    starts = [part * length + int(rng.integers(length - frames + 1)) for part in range(count)]
    return [_clip(recorded[start : start + frames]) for start in starts]


def _clip(recorded: Sequence[Frame]) -> Clips:
    _, images, depths, poses = zip(*recorded, strict=True)
    return Clips(np.stack(images)[None], np.stack(depths).astype(np.float16)[None], np.stack(poses)[None])
