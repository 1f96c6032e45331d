"""Maps to look at: from above with errors in colour, as mesh files, and as a Rerun recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from asyncmde_sim.evaluation.map_scores import Reference
from asyncmde_sim.evaluation.tracks import Track
from asyncmde_sim.files import write_whole
from asyncmde_sim.metrics.mesh import distances_to

WORST_M = 0.2
"""Errors from here on have the last colour."""

CEILING_M = 0.4
"""What is so far above the highest camera is left out of the view from above."""

CELL_M = 0.04

MOSTLY_UP = 0.8
"""Cosine of the largest tilt of a hand-held or flown camera on average."""


def errors_of(mesh: trimesh.Trimesh, reference: Reference) -> NDArray[np.float64]:
    """Distance (V,) of each vertex to the reference."""
    return distances_to(reference.surface, np.asarray(mesh.vertices))


def write_mesh(mesh: trimesh.Trimesh, errors: NDArray[np.float64], folder: Path, name: str) -> None:
    """Write ``NAME.ply`` in the colours of the images and ``NAME.glb`` in those of the errors, y up."""
    write_whole(folder / f"{name}.ply", lambda path: mesh.export(path))
    coloured = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=_colours(errors), process=False)
    coloured.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    write_whole(folder / f"{name}.glb", lambda path: coloured.export(path))


def plot_maps(
    maps: Mapping[str, tuple[trimesh.Trimesh, NDArray[np.float64]]],
    reference: Reference,
    track: Track,
    file: Path,
) -> None:
    """Draw the maps side by side from above, errors in colour, beside the reference; needs ``plot``.

    Args:
        maps: For each title a mesh and the errors of its vertices.
        reference: Drawn in grey.
        track: Its way is drawn, too.
        file: PNG, PDF or SVG.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    upright = upright_rotation(track)
    way = np.array([pose[:3, 3] for pose in track.poses]) @ upright.T
    surface = reference.surface @ upright.T
    top = way[:, 2].max() + CEILING_M
    panels = {"what could be seen": (surface, np.full(len(surface), np.nan))}
    for title, (mesh, errors) in maps.items():
        panels[title] = (np.asarray(mesh.vertices) @ upright.T, errors)
    everything = np.concatenate([surface, way])[:, :2]
    low, high = everything.min(axis=0) - 0.3, everything.max(axis=0) + 0.3
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    height = 3.2 * float((high - low)[1] / (high - low)[0])
    figure = Figure(figsize=(3.2 * columns + 0.8, rows * (height + 0.4)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, (points, errors)) in zip(axes, panels.items(), strict=False):
        axis.imshow(
            _from_above(points, errors, low, high, top),
            origin="lower",
            extent=(low[0], high[0], low[1], high[1]),
        )
        axis.plot(way[:, 0], way[:, 1], color="k", linewidth=0.6)
        axis.set(title=title, xticks=[], yticks=[])
    for axis in axes[len(panels) :]:
        axis.axis("off")
    scale = ScalarMappable(Normalize(0, 100 * WORST_M), "turbo")
    figure.colorbar(scale, ax=axes.tolist(), label="distance to the truth, cm", shrink=0.8)
    write_whole(file, lambda path: figure.savefig(path, dpi=150))


def write_rerun(
    maps: Mapping[str, tuple[trimesh.Trimesh, NDArray[np.float64]]],
    reference: Reference,
    track: Track,
    file: Path,
) -> None:
    """Write the maps, the reference and the camera's way for the Rerun viewer; needs ``rerun``."""
    import rerun as rr

    def write(path: Path) -> None:
        stream = rr.RecordingStream("asyncmde_sim_maps")
        stream.save(path)
        stream.log("/", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        stream.log("reference", rr.Points3D(reference.surface, colors=(150, 150, 150)), static=True)
        way = np.array([pose[:3, 3] for pose in track.poses])
        stream.log("way", rr.LineStrips3D([way]), static=True)
        for title, (mesh, errors) in maps.items():
            stream.log(
                f"maps/{title.replace(', ', '_')}",
                rr.Mesh3D(
                    vertex_positions=mesh.vertices,
                    triangle_indices=mesh.faces,
                    vertex_colors=_colours(errors),
                ),
                static=True,
            )
        stream.flush()
        stream.disconnect()

    write_whole(file, write)


def upright_rotation(track: Track) -> NDArray[np.float64]:
    """Rotation (3, 3) after which z points up, taken from how the camera was held on average.

    It is none where z points about up already: the world of a recording may have any axes.
    """
    up = -np.mean([pose[:3, 1] for pose in track.poses], axis=0)
    up /= max(float(np.linalg.norm(up)), 1e-9)
    if up[2] >= MOSTLY_UP:
        return np.eye(3)
    rotation: NDArray[np.float64] = Rotation.align_vectors([[0, 0, 1]], [up])[0].as_matrix()
    return rotation


def _colours(errors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """RGBA (N, 4) from green over yellow to red; grey where the error is not a number."""
    share = np.clip(errors / WORST_M, 0, 1)
    colours = np.empty((len(errors), 4), np.uint8)
    colours[:, 0] = np.nan_to_num(255 * np.minimum(2 * share, 1), nan=150)
    colours[:, 1] = np.nan_to_num(255 * np.minimum(2 - 2 * share, 1), nan=150)
    colours[:, 2] = np.where(np.isnan(share), 150, 40)
    colours[:, 3] = 255
    return colours


def _from_above(
    points: NDArray[np.floating],
    errors: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    top_m: float,
) -> NDArray[np.uint8]:
    """An image (Y, X, 3) of the highest point below ``top_m`` in each cell."""
    from matplotlib import colormaps

    size = np.ceil((high - low) / CELL_M).astype(int)
    image = np.full((size[1], size[0], 3), 255, np.uint8)
    shown = (points[:, 2] < top_m) & ((points[:, :2] > low) & (points[:, :2] < high)).all(axis=1)
    points, errors = points[shown], errors[shown]
    order = np.argsort(points[:, 2])
    cells = ((points[order, :2] - low) / CELL_M).astype(int)
    colours = (255 * colormaps["turbo"](np.nan_to_num(errors[order] / WORST_M))[:, :3]).astype(np.uint8)
    colours[np.isnan(errors[order])] = 170
    image[cells[:, 1], cells[:, 0]] = colours
    return image
