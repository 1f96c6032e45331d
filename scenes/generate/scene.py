"""From a seed to a textured mesh with its light baked in, and to a GLB."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image

from asyncmde_sim.scenes.generate.course import build_hall
from asyncmde_sim.scenes.generate.flat import build_flat
from asyncmde_sim.scenes.generate.paint import paint
from asyncmde_sim.scenes.generate.shapes import triangulate

VERSION = "5"
"""Changes whenever the same seed gives another scene."""

KINDS = ("flat", "hall")
JPEG_QUALITY = 95


@dataclass(frozen=True)
class GeneratedScene:
    """A generated scene, z up, in metres.

    Args:
        vertices: (V, 3) positions.
        faces: (F, 3) vertex indices; every face's front looks into free space.
        uv: (V, 2) texture coordinates as glTF has them: origin at the image's top left.
        jpeg: The texture as a JPEG file; the light is baked in, so show it unlit.
        metadata: The JSON sidecar: seed, kind, version, difficulty, rooms, free area, spawn, lights, figures.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]
    uv: NDArray[np.float32]
    jpeg: bytes
    metadata: dict[str, Any]

    @property
    def texture(self) -> NDArray[np.uint8]:
        """The texture (H, W, 3) as a reader of the file sees it."""
        return np.asarray(Image.open(io.BytesIO(self.jpeg)).convert("RGB"))

    @property
    def mesh(self) -> trimesh.Trimesh:
        """The scene as a trimesh, z up; trimesh counts texture rows from the bottom."""
        uv = np.column_stack([self.uv[:, 0], 1 - self.uv[:, 1]])
        image = Image.open(io.BytesIO(self.jpeg))
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=image, metallicFactor=0.0, roughnessFactor=1.0
        )
        visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
        return trimesh.Trimesh(self.vertices, self.faces, visual=visual, process=False)

    def to_glb(self) -> bytes:
        """The scene as a binary glTF file (y up, unlit, one mesh, one material)."""
        upright = np.column_stack([self.vertices[:, 0], self.vertices[:, 2], -self.vertices[:, 1]])
        blocks = [
            np.ascontiguousarray(upright, dtype="<f4").tobytes(),
            np.ascontiguousarray(self.uv, dtype="<f4").tobytes(),
            np.ascontiguousarray(self.faces, dtype="<u4").tobytes(),
            self.jpeg,
        ]
        blocks = [b + b"\0" * (-len(b) % 4) for b in blocks]
        starts = np.cumsum([0, *(len(b) for b in blocks)])
        sizes = [12 * len(self.vertices), 8 * len(self.uv), 12 * len(self.faces), len(self.jpeg)]
        views: list[dict[str, Any]] = [
            {"buffer": 0, "byteOffset": int(start), "byteLength": int(size)}
            for start, size in zip(starts[:-1], sizes, strict=True)
        ]
        for view, target in zip(views[:3], (34962, 34962, 34963), strict=True):
            view["target"] = target
        accessors = [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(upright),
                "type": "VEC3",
                "min": [float(v) for v in upright.min(axis=0)],
                "max": [float(v) for v in upright.max(axis=0)],
            },
            {"bufferView": 1, "componentType": 5126, "count": len(self.uv), "type": "VEC2"},
            {"bufferView": 2, "componentType": 5125, "count": 3 * len(self.faces), "type": "SCALAR"},
        ]
        surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
        primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}
        tree = {
            "asset": {"version": "2.0", "generator": "asyncmde-sim"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "scene"}],
            "meshes": [{"primitives": [primitive]}],
            "materials": [{"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}}],
            "extensionsUsed": ["KHR_materials_unlit"],
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": 9729, "minFilter": 9729, "wrapS": 33071, "wrapT": 33071}],
            "images": [{"bufferView": 3, "mimeType": "image/jpeg"}],
            "accessors": accessors,
            "bufferViews": views,
            "buffers": [{"byteLength": int(starts[-1])}],
        }
        text = json.dumps(tree, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        body = b"".join(blocks)
        total = 12 + 8 + len(text) + 8 + len(body)
        return b"".join(
            [
                struct.pack("<4sII", b"glTF", 2, total),
                struct.pack("<I4s", len(text), b"JSON"),
                text,
                struct.pack("<I4s", len(body), b"BIN\0"),
                body,
            ]
        )


def generate_scene(kind: str, seed: int, difficulty: float = 0.5) -> GeneratedScene:
    """Make a scene; the same arguments give the same bytes.

    Args:
        kind: ``"flat"``, furnished rooms joined by doorways, or ``"hall"``, a long cluttered course.
        seed: Not negative.
        difficulty: Density of clutter, from 0 (open) to 1 (dense).

    Raises:
        ValueError: The kind is unknown, the seed negative or the difficulty outside [0, 1].
    """
    if kind not in KINDS:
        raise ValueError(f"unknown scene kind {kind!r}: choose one of {', '.join(KINDS)}")
    if seed < 0:
        raise ValueError(f"seed is {seed}, but it must not be negative")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty is {difficulty}, but it must lie in [0, 1]")
    rng = np.random.default_rng([KINDS.index(kind), seed, round(1000 * difficulty)])
    layout = build_flat(rng, difficulty) if kind == "flat" else build_hall(rng, difficulty)
    patches = layout.shape.patches
    atlas, texture = paint(patches, layout.lights, rng, exposure=float(rng.uniform(0.75, 1.3)))
    vertices, faces, st, of_face = triangulate(patches)
    of_vertex = np.empty(len(vertices), dtype=np.int32)
    of_vertex[faces.ravel()] = np.repeat(of_face, 3)
    file = io.BytesIO()
    Image.fromarray(texture).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    lights = layout.lights
    metadata = {
        "seed": seed,
        "kind": kind,
        "version": VERSION,
        "difficulty": difficulty,
        "bounds": [vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()],
        "rooms": [{"name": r.name, "rect": [r.x0, r.y0, r.x1, r.y1]} for r in layout.rooms],
        "doors": [
            {"rooms": [a, b], "center": [x, y], "width_m": width, "height_m": height}
            for a, b, x, y, width, height in layout.doors
        ],
        "free_area_m2": layout.figures["reachable_area_m2"],
        "spawn": layout.spawn,
        "lights": {
            "lamps": [{"position": list(lamp.position), "power": list(lamp.power)} for lamp in lights.lamps],
            "windows": len(lights.windows),
            "sun": list(lights.sun[0]) if lights.sun else None,
        },
        "figures": {
            **layout.figures,
            "thin_parts": layout.thin_parts,
            "triangles": len(faces),
            "texel_m": atlas.texel_m,
        },
        "contents": dict(sorted(layout.counts.items())),
    }
    uv = atlas.uv(of_vertex, st)
    return GeneratedScene(
        vertices.astype(np.float32), faces.astype(np.uint32), uv.astype(np.float32), file.getvalue(), metadata
    )
