"""Read a GLB, PLY or OBJ file into plain arrays: z-up geometry with textures or vertex colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

SUFFIXES = (".glb", ".ply", ".obj")

Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class SurfaceMesh:
    """Triangles with their colours; the world is z up, in metres.

    Args:
        vertices: (V, 3) float32.
        faces: (F, 3) int32 indices into ``vertices``.
        textures: Images, each (h, w, 3) uint8, first row at the top.
        face_texture: (F,) int32 index into ``textures``; -1 where the corners carry the colour.
        corner_uv: (F, 3, 2) float32 texture coordinates (v grows upwards; they repeat outside [0, 1]).
        corner_rgb: (F, 3, 3) uint8 colours of the corners, or None when every face has a texture.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    textures: tuple[NDArray[np.uint8], ...]
    face_texture: NDArray[np.int32]
    corner_uv: NDArray[np.float32]
    corner_rgb: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if len(self.faces) == 0:
            raise ValueError("the mesh has no faces: give a file with a triangle mesh")
        bad = int((~np.isfinite(self.vertices)).any(axis=1).sum())
        if bad:
            raise ValueError(f"{bad} vertices are NaN or infinite: repair the mesh")
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise ValueError(
                f"a face points at vertex {int(self.faces.max())} of {len(self.vertices)}: repair the mesh"
            )
        if self.face_texture.max() >= len(self.textures):
            raise ValueError(
                f"a face points at texture {int(self.face_texture.max())} of {len(self.textures)}"
            )
        if self.corner_rgb is None and (self.face_texture < 0).any():
            raise ValueError("some faces have neither a texture nor corner colours")

    @property
    def triangles(self) -> NDArray[np.float64]:
        """The corners of the faces, (F, 3, 3) float64."""
        return self.vertices[self.faces].astype(np.float64)


def load_mesh(path: str | Path) -> SurfaceMesh:
    """Read one scene file.

    GLB is y up on disk, as glTF says, and is turned z up here; PLY and OBJ are taken as z up. Base colour
    textures, base colours and vertex colours are shown as they are; transparency and shading are ignored.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The suffix is not supported, or the file is corrupt, has no faces or has NaN vertices.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a scene is a file that ends in {', '.join(SUFFIXES)}, not {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such scene file")
    try:
        loaded: Any = trimesh.load(path, force="scene", process=False)
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as a mesh ({error}): export it again") from error
    if path.suffix.lower() == ".glb":
        loaded.apply_transform(Z_UP_FROM_Y_UP)
    try:
        return merge_meshes(
            [
                (loaded.geometry[geometry], transform)
                for transform, geometry in (loaded.graph[node] for node in loaded.graph.nodes_geometry)
                if isinstance(loaded.geometry[geometry], trimesh.Trimesh)
            ]
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def from_trimesh(mesh: trimesh.Trimesh) -> SurfaceMesh:
    """The arrays of one z-up trimesh object."""
    return merge_meshes([(mesh, np.eye(4))])


def merge_meshes(placed: list[tuple[trimesh.Trimesh, NDArray[np.float64]]]) -> SurfaceMesh:
    """Merge meshes, each with its 4x4 pose in the world, into one."""
    textures: list[NDArray[np.uint8]] = []
    texture_index: dict[Any, int] = {}
    vertices, faces, face_texture, corner_uv, corner_rgb = [], [], [], [], []
    vertex_count = 0
    for mesh, transform in placed:
        if len(mesh.faces) == 0:
            continue
        count = len(mesh.faces)
        mirrored = np.linalg.det(transform[:3, :3]) < 0
        triangles = np.asarray(mesh.faces)[:, :: -1 if mirrored else 1]
        vertices.append(np.asarray(mesh.vertices) @ transform[:3, :3].T + transform[:3, 3])
        faces.append(triangles + vertex_count)
        vertex_count += len(mesh.vertices)
        uv = np.zeros((count, 3, 2), np.float32)
        rgb = np.zeros((count, 3, 3), np.uint8)
        visual: Any = mesh.visual
        painted = _painted_corners(visual) if visual.kind == "texture" else None
        if painted is not None:
            index = -1
            rgb[:] = painted[triangles]
        elif visual.kind == "texture":
            key, image = _material_texture(visual.material, has_uv=visual.uv is not None)
            if key not in texture_index:
                texture_index[key] = len(textures)
                textures.append(image)
            index = texture_index[key]
            if visual.uv is not None:
                uv = np.asarray(visual.uv, np.float32)[triangles]
        else:
            index = -1
            if visual.kind == "face":
                rgb[:] = visual.face_colors[:, None, :3]
            else:
                rgb[:] = visual.vertex_colors[triangles][..., :3]
        corner_uv.append(uv)
        corner_rgb.append(rgb)
        face_texture.append(np.full(count, index, np.int32))
    if not faces:
        raise ValueError("the mesh has no faces: give a file with a triangle mesh")
    face_texture_all = np.concatenate(face_texture)
    return SurfaceMesh(
        vertices=np.concatenate(vertices).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        textures=tuple(textures),
        face_texture=face_texture_all,
        corner_uv=np.nan_to_num(np.concatenate(corner_uv)),
        corner_rgb=np.concatenate(corner_rgb) if (face_texture_all < 0).any() else None,
    )


def _painted_corners(visual: Any) -> NDArray[np.uint8] | None:
    """Vertex colours times base colour (V, 3), of a material that has the first and no texture."""
    colours = visual.vertex_attributes.get("color")
    if colours is None or getattr(visual.material, "baseColorTexture", None) is not None:
        return None
    factor = getattr(visual.material, "baseColorFactor", None)
    tint = np.ones(3) if factor is None else np.asarray(factor)[:3] / 255
    return np.round(np.asarray(colours)[:, :3] * tint).astype(np.uint8)


def _material_texture(material: Any, has_uv: bool) -> tuple[Any, NDArray[np.uint8]]:
    """A key that equal materials share, and the image (h, w, 3) of base colour texture times base colour."""
    image = getattr(material, "baseColorTexture", None)
    if image is None:
        image = getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", None)
    if image is None and factor is None:
        factor = getattr(material, "main_color", None)
    tint = np.full(3, 255, np.uint8) if factor is None else np.asarray(factor, np.uint8)[:3]
    if image is None or not has_uv:
        return tuple(tint), tint.reshape(1, 1, 3).copy()
    pixels = np.asarray(image.convert("RGB"), np.uint8)
    if (tint != 255).any():
        pixels = np.round(pixels * (tint / 255.0)).astype(np.uint8)
    return (id(image), *tint), pixels
