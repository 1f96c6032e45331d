"""Does the habitat backend show what the raycast backend shows? Images, depth, ways and episodes compared.

Examples:

    ASYNCMDE_HABITAT_PYTHON=/path/to/env/bin/python python scripts/compare_backends.py
    python scripts/compare_backends.py --scenes my_flat.glb --plot habitat.png
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from asyncmde_sim.evaluation.backend_parity import (
    MAX_WAY,
    image_parity,
    plot_parity,
    random_views,
    shifted,
    way_differences,
)
from asyncmde_sim.evaluation.command_line import run_command
from asyncmde_sim.evaluation.lag_plot import check_plot
from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import DistanceField, RobotBody
from asyncmde_sim.scenes.camera import Camera
from asyncmde_sim.scenes.habitat.backend import HabitatBackend


@dataclass(frozen=True)
class CompareBackends:
    """Render random views of scenes in both backends, measure ways, and shift a camera for the control.

    Args:
        scenes: Names, or GLB, PLY or OBJ files.
        backend: What is compared with raycast: habitat or habitat@N; see scripts/rollout.py.
        views: Random views of each scene.
        places: Random places of each scene; ways between all pairs more than 1 m apart are measured.
        image_size: Width and height of the images, pixels.
        seed: Draws views and places.
        plot: Picture of the first view of the first scene: PNG, PDF or SVG.
    """

    scenes: tuple[str, ...] = ("flat-val-0000", "flat-val-0001", "hall-val-0000")
    backend: str = "habitat"
    views: int = 12
    places: int = 60
    image_size: tuple[int, int] = (256, 192)
    seed: int = 0
    plot: Path | None = None

    def __post_init__(self) -> None:
        for name, least in (("views", 1), ("places", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, but it must be {least} or more")
        if self.plot is not None:
            check_plot(self.plot)
        if not self.backend.startswith("habitat"):
            raise ValueError(
                f"backend is {self.backend!r}, but raycast is compared with habitat or habitat@N"
            )

    def run(self) -> None:
        """Compare and print one table."""
        camera = Camera(*self.image_size)
        columns = (
            "depth, median",
            "within 1 %",
            "RGB of 255",
            "match",
            "ways, median",
            "within 2 %",
            "finder",
        )
        table = Table("scene", *columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        plot = self.plot
        for scene in self.scenes:
            habitat, raycast = load_backend(scene, self.backend), load_backend(scene)
            assert isinstance(habitat, HabitatBackend)
            rng = np.random.default_rng(self.seed)
            views = random_views(raycast, self.views, rng)
            if plot is not None:
                plot_parity(habitat, raycast, camera, views[0], plot)
                plot = None
            same = image_parity(habitat, raycast, camera, views)
            control = image_parity(habitat, raycast, camera, [shifted(v) for v in views], views)
            ways = way_differences(habitat, raycast, self.places, rng)
            finder = way_differences(_PathFinder(habitat), raycast, self.places, rng)
            for label, found in ((scene, same), ("  1 cm ahead", control)):
                row = [f"{found.median_depth:.4%}", f"{found.close_depth:.2%}", f"{found.rgb:.2f}"]
                row.append("yes" if found.matches else "no")
                if label == scene:
                    row += [f"{np.median(ways):.2%}", f"{(ways <= MAX_WAY).mean():.1%}"]
                    row.append(f"{(finder <= MAX_WAY).mean():.1%}")
                table.add_row(label, *row)
            habitat.close()
        Console(width=110).print(table)
        print(
            "finder: share of the ways within 2 % that Habitat-Sim's own path finder takes on the same mesh"
        )


class _PathFinder:
    """A habitat backend whose ways are those of Habitat-Sim's own path finder."""

    def __init__(self, backend: HabitatBackend) -> None:
        self._backend = backend

    def distance_field(self, goal: NDArray[np.float64], body: RobotBody) -> DistanceField:
        return lambda points: self._backend.ways(points, goal, body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_command(CompareBackends, CompareBackends.run, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
