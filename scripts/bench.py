# ruff: noqa: E402
"""Measure how fast things run on this machine.

``python scripts/bench.py render`` times the ``raycast`` backend against Embree's own ray casting.
"""

from __future__ import annotations

import os

for _library in ("OMP", "OPENBLAS", "MKL"):  # one thread, as an environment has; read when numpy loads
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import math
import sys
import time
from dataclasses import dataclass

import numpy as np
import tyro

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.raycast import RaycastBackend

_CAMERA_FROM_BODY = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class Render:
    """Time RGB and depth of one camera, blur off, beside Embree alone on the same rays.

    Both run on one thread and are timed by what it spent on its core, so that a busy machine counts less.
    """

    scene: str = "flat-val-0000"
    """Scene of the library, or path of a GLB, PLY or OBJ."""
    width: int = 256
    """Image width, pixels."""
    height: int = 192
    """Image height, pixels."""
    poses: int = 12
    """Camera poses, drawn in the scene's free space."""
    repeats: int = 15
    """Images per pose; the median over all is printed."""
    seed: int = 0
    """Draws the poses."""

    def run(self) -> None:
        if self.poses < 1 or self.repeats < 1:
            raise ValueError(f"poses is {self.poses} and repeats {self.repeats}, but both must be 1 or more")
        camera = Camera(width=self.width, height=self.height)
        backend = load_backend(self.scene)
        assert isinstance(backend, RaycastBackend)
        rng = np.random.default_rng(self.seed)
        feet = backend.sample_free(rng, RobotBody(radius_m=0.18, height_m=0.5), self.poses)
        embree_s, render_s = [], []
        for foot, yaw in zip(feet, rng.uniform(-math.pi, math.pi, self.poses), strict=True):
            cos, sin = math.cos(yaw), math.sin(yaw)
            pose = np.eye(4)
            pose[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ _CAMERA_FROM_BODY
            pose[:3, 3] = np.add(foot, (0, 0, 0.45))
            motion = RigidMotion(pose)
            origins, directions = backend.world_rays(camera, motion)
            for _ in range(self.repeats):
                start = time.thread_time()
                backend.embree.run(origins, directions)
                middle = time.thread_time()
                backend.render(camera, motion)
                embree_s.append(middle - start)
                render_s.append(time.thread_time() - middle)
        embree, render = float(np.median(embree_s)), float(np.median(render_s))
        print(f"scene {self.scene}, {self.width}x{self.height} RGB + depth, {self.poses} poses, one core")
        print(f"Embree alone  {1e3 * embree:7.2f} ms")
        print(f"render        {1e3 * render:7.2f} ms")
        print(f"ratio         {render / embree:7.2f}   (at most 2)")
        print(f"frames/s      {1 / render:7.1f}   (at least 100)")


def main() -> None:
    command = tyro.extras.subcommand_cli_from_dict({"render": Render})
    try:
        command.run()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
