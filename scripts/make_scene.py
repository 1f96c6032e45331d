"""Makes scenes and pictures of them: ``python scripts/make_scene.py flat-val-0000 --pictures DIR``."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.scenes.library import resolve_scene
from asyncmde_sim.scenes.mesh_io import load_mesh
from asyncmde_sim.scenes.raycast import RaycastBackend
from asyncmde_sim.scenes.views import inside_views, top_view


@dataclass(frozen=True)
class Args:
    """Make scenes of the library, or look at any scene file.

    Args:
        scenes: Names such as flat-val-0000, or paths of GLB, PLY or OBJ files.
        pictures: Folder for PNG views from above and from inside; without it none are made.
        views: Number of views from inside each scene.
        seed: Draws the places of the views.
    """

    scenes: Annotated[tuple[str, ...], tyro.conf.Positional]
    pictures: Path | None = None
    views: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ValueError("no scene given: name at least one, such as flat-val-0000")
        if self.views < 0:
            raise ValueError(f"views is {self.views}, but it must not be negative")


def run(args: Args) -> None:
    """Make every scene and its pictures."""
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)
    for scene in args.scenes:
        start = time.perf_counter()
        path = resolve_scene(scene)
        print(f"{path} ({time.perf_counter() - start:.1f} s)")
        if args.pictures is None:
            continue
        mesh = load_mesh(path)
        stem = args.pictures / path.stem
        Image.fromarray(top_view(mesh)).save(f"{stem}-top.png")
        rng = np.random.default_rng(args.seed)
        inside = inside_views(RaycastBackend(mesh, path.stem), args.views, rng) if args.views else []
        for i, view in enumerate(inside):
            Image.fromarray(view).save(f"{stem}-{i}.png")


def main() -> int:
    """Run the command line."""
    return run_command(Args, run, __doc__)


if __name__ == "__main__":
    sys.exit(main())
