"""Loading: what is in a file is what arrives, and a bad file says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from PIL import Image

from asyncmde_sim.scenes.mesh_io import from_trimesh, load_mesh


def textured_quad(image: np.ndarray) -> trimesh.Trimesh:
    """A unit square in the xz plane (y up: it stands), its picture upright."""
    return trimesh.Trimesh(
        vertices=[[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
        faces=[[0, 1, 2], [0, 2, 3]],
        visual=trimesh.visual.TextureVisuals(
            uv=[[0, 0], [1, 0], [1, 1], [0, 1]],
            material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image)),
        ),
        process=False,
    )


IMAGE = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)


def test_glb_is_turned_z_up_and_keeps_its_texture(tmp_path):
    textured_quad(IMAGE).export(tmp_path / "quad.glb")
    mesh = load_mesh(tmp_path / "quad.glb")
    assert np.allclose(mesh.vertices.min(axis=0), [0, 0, 0])
    assert np.allclose(mesh.vertices.max(axis=0), [1, 0, 1])
    assert np.array_equal(mesh.textures[0], IMAGE)
    assert (mesh.face_texture == 0).all() and mesh.corner_rgb is None


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_vertex_colours_survive(tmp_path, suffix):
    box = trimesh.creation.box((1, 2, 3))
    box.visual.vertex_colors = np.random.default_rng(0).integers(0, 256, (8, 3), dtype=np.uint8)
    box.export(tmp_path / f"box{suffix}")
    mesh = load_mesh(tmp_path / f"box{suffix}")
    assert np.allclose(np.ptp(mesh.vertices, axis=0), [1, 2, 3] if suffix == ".ply" else [1, 3, 2])
    assert mesh.corner_rgb is not None
    assert {tuple(c) for c in mesh.corner_rgb.reshape(-1, 3)} == {
        tuple(c) for c in np.asarray(box.visual.vertex_colors)[:, :3]
    }


def test_obj_is_taken_as_z_up(tmp_path):
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "box.obj")
    assert np.allclose(np.ptp(load_mesh(tmp_path / "box.obj").vertices, axis=0), [1, 2, 3])


def test_many_meshes_become_one_and_share_their_textures(tmp_path):
    scene, quad = trimesh.Scene(), textured_quad(IMAGE)
    for k in range(3):
        scene.add_geometry(quad, transform=trimesh.transformations.translation_matrix([0, 0, float(k)]))
    red = trimesh.creation.box((1, 1, 1))
    red.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 0, 0, 255])
    )
    scene.add_geometry(red)
    scene.export(tmp_path / "scene.glb")
    mesh = load_mesh(tmp_path / "scene.glb")
    assert len(mesh.faces) == 3 * 2 + 12
    assert sorted(texture.shape for texture in mesh.textures) == [(1, 1, 3), (8, 16, 3)]
    assert any(np.array_equal(texture, [[[255, 0, 0]]]) for texture in mesh.textures)


def test_a_mirrored_part_keeps_its_outside(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=np.diag([-1.0, 1, 1, 1]))
    scene.export(tmp_path / "mirrored.glb")
    triangles = load_mesh(tmp_path / "mirrored.glb").triangles
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    assert (np.einsum("fj,fj->f", normals, triangles.mean(axis=1)) > 0).all()


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.glb: there is no such scene file"):
        load_mesh(tmp_path / "none.glb")


def test_unsupported_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"\.glb, \.ply, \.obj, not '\.stl'"):
        load_mesh(tmp_path / "scene.stl")


@pytest.mark.parametrize("name", ["bad.glb", "bad.ply", "bad.obj"])
def test_corrupt_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"glTF" + bytes(range(256)))
    with pytest.raises(ValueError, match=name):
        load_mesh(tmp_path / name)


def test_truncated_glb(tmp_path):
    whole = trimesh.creation.box((1, 1, 1)).export(file_type="glb")
    (tmp_path / "half.glb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.glb"):
        load_mesh(tmp_path / "half.glb")


def test_points_without_faces(tmp_path):
    trimesh.PointCloud(np.eye(3)).export(tmp_path / "cloud.ply")
    with pytest.raises(ValueError, match=r"cloud\.ply: the mesh has no faces"):
        load_mesh(tmp_path / "cloud.ply")


def test_nan_vertices(tmp_path):
    text = "v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n"
    (tmp_path / "nan.obj").write_text(text)
    with pytest.raises(ValueError, match=r"nan\.obj: 1 vertices are NaN"):
        load_mesh(tmp_path / "nan.obj")


def test_empty_trimesh():
    with pytest.raises(ValueError, match="no faces"):
        from_trimesh(trimesh.Trimesh())


def test_vertex_colours_beside_a_plain_material_are_seen(tmp_path):
    mesh = trimesh.creation.box((1.0, 1.0, 1.0))
    colours = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 4), np.uint8)
    mesh.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[255, 128, 255, 255])
    )
    mesh.visual.vertex_attributes["color"] = colours
    mesh.export(tmp_path / "box.glb")
    loaded = load_mesh(tmp_path / "box.glb")
    assert loaded.textures == () and loaded.corner_rgb is not None
    seen = {tuple(rgb) for rgb in loaded.corner_rgb.reshape(-1, 3)}
    expected = np.round(colours[:, :3] * np.array([1.0, 128 / 255, 1.0])).astype(np.uint8)
    assert seen == {tuple(rgb) for rgb in expected}
