"""Laws of the raycast backend: known depth, rays with their own time, linear light, clearance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image

from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import Mover, RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.exposure import exposure_offsets
from asyncmde_sim.scenes.mesh_io import from_trimesh, merge_meshes
from asyncmde_sim.scenes.raycast import RaycastBackend, pixel_rays, row_offsets
from asyncmde_sim.scenes.shading import to_linear, to_srgb

SIZE = np.array([6.0, 4.0, 3.0])
"""The room stands on z = 0, centred on x = y = 0."""

CAMERA = Camera(width=64, height=48)
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Camera axes of a level camera that looks along x."""


def pose_of(position, yaw=0.0, pitch=0.0) -> np.ndarray:
    pose = trimesh.transformations.euler_matrix(0, pitch, yaw)
    pose[:3, :3] = pose[:3, :3] @ FORWARD
    pose[:3, 3] = position
    return pose


def coloured_room() -> trimesh.Trimesh:
    room = trimesh.creation.box(SIZE)
    room.apply_translation([0, 0, SIZE[2] / 2])
    axis = np.argmax(np.abs(room.face_normals), axis=1)
    positive = room.face_normals[np.arange(12), axis] > 0
    palette = np.array([[200, 0, 0], [0, 90, 0], [0, 0, 60], [120, 120, 0], [0, 130, 130], [140, 0, 140]])
    room.visual.face_colors = np.column_stack([palette[2 * axis + ~positive], np.full(12, 255)])
    return room


def noise_room(seed: int = 0) -> trimesh.Trimesh:
    """A room whose faces all show one random picture, in 24 x 32 texels: structure for motion to move."""
    room = coloured_room()
    image = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    corners = trimesh.Trimesh(room.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False)
    across = np.argsort(np.abs(room.face_normals), axis=1)[:, :2]
    flat = np.take_along_axis(room.triangles, across[:, None].repeat(3, axis=1), axis=2)
    uv = (flat - flat.min()) / np.ptp(flat)
    corners.visual = trimesh.visual.TextureVisuals(
        uv=uv.reshape(-1, 2),
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image)),
    )
    return corners


def box_mover() -> trimesh.Trimesh:
    mesh = trimesh.creation.box((0.4, 0.5, 1.2))
    mesh.apply_translation([0, 0, 0.6])
    mesh.visual.face_colors = np.random.default_rng(1).integers(0, 256, (12, 3), dtype=np.uint8)
    return mesh


@pytest.fixture(scope="module")
def room() -> RaycastBackend:
    return RaycastBackend(from_trimesh(coloured_room()), "room", {"box": from_trimesh(box_mover())})


@pytest.fixture(scope="module")
def noisy() -> RaycastBackend:
    return RaycastBackend(from_trimesh(noise_room()), "noisy", {"box": from_trimesh(box_mover())})


MOVING = RigidMotion(
    pose_of([-1.2, 0.4, 1.1], yaw=0.3, pitch=0.1), np.array([2.0, -1.0, 0.5]), np.array([0.5, 3.0, 2.0])
)
WALKING = Mover(
    "box", RigidMotion(trimesh.transformations.translation_matrix([0.6, 0.8, 0]), np.array([0, -3.0, 0]))
)


def room_depth(camera: Camera, pose: np.ndarray) -> np.ndarray:
    """Planar depth of the room from inside, by slabs."""
    rays = pixel_rays(camera).astype(np.float64) @ pose[:3, :3].T
    low, high = np.array([-SIZE[0] / 2, -SIZE[1] / 2, 0]), np.array([SIZE[0] / 2, SIZE[1] / 2, SIZE[2]])
    with np.errstate(divide="ignore"):
        ends = np.maximum((low - pose[:3, 3]) / rays, (high - pose[:3, 3]) / rays)
    return ends.min(axis=-1)


@pytest.mark.parametrize("yaw, pitch", [(0.0, 0.0), (1.0, 0.3), (-2.5, -0.8)])
@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), (-0.2, 0.05, 0.001, -0.002, 0)])
def test_depth_of_a_room_is_analytic(room, yaw, pitch, distortion):
    camera = replace(CAMERA, distortion=distortion)
    pose = pose_of([0.5, -0.7, 1.2], yaw, pitch)
    depth = room.render(camera, RigidMotion(pose)).depth
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, room_depth(camera, pose), rtol=1e-4)
    shifted = pose_of([0.5, -0.69, 1.2], yaw, pitch)
    assert np.abs(depth - room_depth(camera, shifted)).max() > 2e-3


def test_no_pixel_leaks_out_of_a_closed_room(room):
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose = pose_of(rng.uniform([-1, -1, 0.5], [1, 1, 2.5]), *rng.uniform(-3, 3, 2))
        assert (room.render(CAMERA, RigidMotion(pose)).depth > 0).all()


def test_depth_beyond_the_range_is_none_but_seen(room):
    camera = replace(CAMERA, max_range_m=2.0)
    rendering = room.render(camera, RigidMotion(pose_of([0, 0, 1.5])))
    assert rendering.depth[24, 32] == 0
    assert tuple(rendering.rgb[24, 32]) == (200, 0, 0)
    assert rendering.depth.max() <= 2.0


def test_distorted_rays_project_back_to_their_pixels():
    k1, k2, p1, p2, k3 = distortion = (-0.25, 0.06, 0.002, -0.001, 0.01)
    camera = replace(CAMERA, distortion=distortion)
    x, y, _ = np.moveaxis(pixel_rays(camera).astype(np.float64), -1, 0)
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    columns, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    np.testing.assert_allclose(xd * camera.focal_px + 32, columns, atol=1e-2)
    np.testing.assert_allclose(yd * camera.focal_px + 24, rows, atol=1e-2)


def test_distortion_that_folds_the_image_is_refused(room):
    camera = replace(CAMERA, distortion=(-0.5, 0.0, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"distortion \(-0\.5.*folds the image"):
        room.render(camera, RigidMotion(pose_of([0, 0, 1.5])))


def test_walls_have_their_colours(room):
    centre = [0, 0, 1.5]
    for yaw, colour in [(0, (200, 0, 0)), (np.pi, (0, 90, 0)), (np.pi / 2, (0, 0, 60))]:
        rgb = room.render(CAMERA, RigidMotion(pose_of(centre, yaw))).rgb
        assert tuple(rgb[24, 32]) == colour


def wall_ahead() -> trimesh.Trimesh:
    """A wall at x = 1 that fills the view; corners from the lower left (y = 1) on, counter-clockwise."""
    corners = [[1, 1, -0.75], [1, -1, -0.75], [1, -1, 0.75], [1, 1, 0.75]]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def test_texture_is_shown_texel_for_texel():
    image = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for repeats in (1, 3):
        wall = wall_ahead()
        wall.visual = trimesh.visual.TextureVisuals(
            uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * repeats - (repeats - 1),
            material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(image)),
        )
        camera = Camera(width=96, height=72)
        rgb = RaycastBackend(from_trimesh(wall), "wall").render(camera, RigidMotion(pose_of([0, 0, 0]))).rgb
        texel = 12 // repeats
        np.testing.assert_array_equal(
            rgb, np.tile(image, (repeats, repeats, 1)).repeat(texel, axis=0).repeat(texel, axis=1)
        )


def test_vertex_colours_are_interpolated():
    wall = wall_ahead()
    wall.visual.vertex_colors = [[0, 0, 9, 255], [200, 0, 9, 255], [200, 100, 9, 255], [0, 100, 9, 255]]
    rgb = RaycastBackend(from_trimesh(wall), "wall").render(CAMERA, RigidMotion(pose_of([0, 0, 0]))).rgb
    columns, rows = np.meshgrid((np.arange(64) + 0.5) / 64, (np.arange(48) + 0.5) / 48)
    expected = np.stack([200 * columns, 100 * (1 - rows), np.full_like(rows, 9)], axis=-1)
    assert np.abs(rgb - expected).max() <= 1


def test_rolling_shutter_is_row_wise_rendering(noisy):
    camera = replace(CAMERA, readout_s=0.05)
    rolling = noisy.render(camera, MOVING, [WALKING])
    sharp = noisy.render(CAMERA, MOVING, [WALKING])
    offsets = row_offsets(camera)
    assert offsets[0] == -0.025 and offsets[-1] == 0.025
    for row in (0, 11, 30, 47):
        [pose] = MOVING.poses_at(offsets[row : row + 1])
        [place] = WALKING.motion.poses_at(offsets[row : row + 1])
        still = noisy.render(CAMERA, RigidMotion(pose), [Mover("box", RigidMotion(place))])
        np.testing.assert_allclose(rolling.depth[row], still.depth[row], rtol=1e-5)
        assert (rolling.rgb[row] == still.rgb[row]).all(axis=-1).mean() > 0.98
    assert np.abs(rolling.depth[0] - sharp.depth[0]).max() > 0.01


@pytest.mark.parametrize("samples", [2, 5])
@pytest.mark.parametrize("readout_s", [0.0, 0.03])
def test_blur_is_the_mean_of_sharp_frames_in_linear_light(noisy, samples, readout_s):
    camera = replace(CAMERA, exposure_s=0.04, blur_samples=samples, readout_s=readout_s)
    sharp_camera = replace(CAMERA, readout_s=readout_s)
    blurred = noisy.render(camera, MOVING, [WALKING])
    light = np.zeros((48, 64, 3))
    for offset in exposure_offsets(camera):
        [pose] = MOVING.poses_at(np.array([offset]))
        [place] = WALKING.motion.poses_at(np.array([offset]))
        sharp = noisy.render(
            sharp_camera, replace(MOVING, pose=pose), [Mover("box", replace(WALKING.motion, pose=place))]
        )
        light += to_linear(sharp.rgb) / samples
    expected = np.rint(to_srgb(light.astype(np.float32)))
    assert (np.abs(blurred.rgb - expected) <= 1).all(axis=-1).mean() > 0.97
    middle = noisy.render(sharp_camera, MOVING, [WALKING])
    np.testing.assert_allclose(blurred.depth, middle.depth, rtol=1e-5)
    assert np.abs(blurred.rgb.astype(int) - middle.rgb).mean() > 5


def test_linear_light_round_trip_keeps_all_grey_levels():
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(np.rint(to_srgb(to_linear(levels))), levels)


@pytest.mark.parametrize("position", [[0.8, 0.3, 0.1], [-1.1, 0.45, 0.5], [-1.0, 0.8, 0.3]])
def test_mover_equals_the_same_mesh_merged(noisy, position):
    """In view, around the camera, and half behind it."""
    place = trimesh.transformations.euler_matrix(0.1, -0.2, 0.7)
    place[:3, 3] = position
    merged = RaycastBackend(merge_meshes([(noise_room(), np.eye(4)), (box_mover(), place)]), "merged")
    apart = noisy.render(CAMERA, MOVING, [Mover("box", RigidMotion(place))])
    whole = merged.render(CAMERA, MOVING)
    np.testing.assert_allclose(apart.depth, whole.depth, rtol=1e-3)
    assert (apart.rgb == whole.rgb).all(axis=-1).mean() > 0.99
    assert (apart.rgb != noisy.render(CAMERA, MOVING).rgb).any(axis=-1).mean() > 0.05


def test_movers_hide_behind_walls_and_each_other(room):
    motion = RigidMotion(pose_of([0, 0, 0.6]))
    alone = room.render(CAMERA, motion)
    outside = Mover("box", RigidMotion(trimesh.transformations.translation_matrix([5, 0, 0])))
    behind = Mover("box", RigidMotion(trimesh.transformations.translation_matrix([-1.5, 0, 0])))
    assert np.array_equal(room.render(CAMERA, motion, [outside, behind]).rgb, alone.rgb)
    near, far = (
        Mover("box", RigidMotion(trimesh.transformations.translation_matrix([x, 0, 0]))) for x in (1.0, 2.0)
    )
    both = [room.render(CAMERA, motion, movers) for movers in ([near, far], [far, near])]
    assert np.array_equal(both[0].depth, both[1].depth)
    assert both[0].depth[24, 32] == pytest.approx(0.8)


def test_depth_reprojects_between_poses(room):
    first, second = pose_of([-0.5, 0.2, 1.3], 0.2), pose_of([-0.2, -0.3, 1.1], 0.35, 0.1)
    depths = [room.render(CAMERA, RigidMotion(pose)).depth for pose in (first, second)]
    points = (pixel_rays(CAMERA) * depths[0][..., None]).reshape(-1, 3) @ first[:3, :3].T + first[:3, 3]

    def error(pose):
        seen = (points - pose[:3, 3]) @ pose[:3, :3]
        seen = seen[seen[:, 2] > 0.1]
        pixel = seen[:, :2] / seen[:, 2:] * CAMERA.focal_px + [32, 24]
        index = np.floor(pixel).astype(int)
        inside = ((index >= 0) & (index < [64, 48])).all(axis=1)
        assert inside.sum() > 500
        # A planar scene: look the ray up exactly instead of at the nearest pixel centre.
        rays = seen[inside] / seen[inside, 2:]
        found = room.range_along(np.tile(pose[:3, 3], (len(rays), 1)), rays @ pose[:3, :3].T)
        return np.abs(found - seen[inside, 2]).max()

    assert error(second) < 1e-3
    shifted = second.copy()
    shifted[0, 3] += 0.01
    assert error(shifted) < 1e-3  # the room is convex: any pose inside sees the same points
    points += [0.01, 0, 0]
    assert error(second) > 5e-3


def test_noise_gain_and_saturation(room):
    motion = RigidMotion(pose_of([0, 0, 1.5]))
    clean = room.render(CAMERA, motion).rgb.astype(float)
    noisy_camera = replace(CAMERA, noise_std=4.0)
    noise = room.render(noisy_camera, motion, rng=np.random.default_rng(0)).rgb - clean
    inner = noise[(clean > 20) & (clean < 235)]
    assert abs(inner.mean()) < 0.2 and inner.std() == pytest.approx(4.0, rel=0.05)
    again = room.render(noisy_camera, motion, rng=np.random.default_rng(0)).rgb
    assert np.array_equal(again, noise + clean)
    assert room.render(replace(CAMERA, exposure_gain=1e3), motion).rgb[24, 32].tolist() == [255, 0, 0]
    assert room.render(replace(CAMERA, exposure_gain=0.0), motion).rgb.max() == 0
    with pytest.raises(ValueError, match="rng"):
        room.render(noisy_camera, motion)


def test_same_call_same_bytes(noisy):
    camera = replace(CAMERA, exposure_s=0.02, blur_samples=3, readout_s=0.02, noise_std=2.0)
    fresh = RaycastBackend(from_trimesh(noise_room()), "fresh", {"box": from_trimesh(box_mover())})
    calls = [b.render(camera, MOVING, [WALKING], np.random.default_rng(5)) for b in (noisy, noisy, fresh)]
    for other in calls[1:]:
        assert other.rgb.tobytes() == calls[0].rgb.tobytes()
        assert other.depth.tobytes() == calls[0].depth.tobytes()
    assert calls[0].rgb is not calls[1].rgb and calls[0].rgb.flags.owndata | calls[0].rgb.flags.writeable


def cluttered() -> trimesh.Trimesh:
    rng = np.random.default_rng(2)
    parts = [coloured_room()]
    for _ in range(12):
        part = trimesh.creation.box(rng.uniform(0.1, 0.8, 3))
        part.apply_transform(trimesh.transformations.random_rotation_matrix(rng.uniform(size=3)))
        part.apply_translation([*rng.uniform(-2, 2, 2), rng.uniform(0.2, 2.5)])
        parts.append(part)
    return trimesh.util.concatenate(parts)


def test_clearance_of_a_sphere_is_brute_force():
    mesh = cluttered()
    backend = RaycastBackend(from_trimesh(mesh), "cluttered", {"box": from_trimesh(box_mover())})
    points = np.random.default_rng(0).uniform([-2.9, -1.9, 0.1], [2.9, 1.9, 2.9], (100, 3))
    body = RobotBody(0.15, flies=True)
    _, expected, _ = trimesh.proximity.closest_point_naive(mesh, points)
    np.testing.assert_allclose(backend.clearance(points, body), expected - 0.15, atol=1e-5)
    place = trimesh.transformations.euler_matrix(0.3, 0.2, 1.0)
    place[:3, 3] = [0.5, 0.5, 0.8]
    moved = box_mover().apply_transform(place)
    _, to_mover, _ = trimesh.proximity.closest_point_naive(moved, points)
    np.testing.assert_allclose(
        backend.clearance(points, body, [Mover("box", RigidMotion(place))]),
        np.minimum(expected, to_mover) - 0.15,
        atol=1e-5,
    )


def test_clearance_of_a_cylinder_is_horizontal(room):
    body = RobotBody(0.2, 0.5)
    points = np.array([[0, 0, 0.0], [2.5, 0, 0], [2.9, 1.0, 0], [2.5, 1.7, 0]])
    walls = np.minimum(SIZE[0] / 2 - np.abs(points[:, 0]), SIZE[1] / 2 - np.abs(points[:, 1]))
    np.testing.assert_allclose(room.clearance(points, body), walls - 0.2, atol=1e-6)
    mover = [Mover("box", RigidMotion(trimesh.transformations.translation_matrix([1.0, 0, 0])))]
    np.testing.assert_allclose(room.clearance(points[:1], body, mover), [0.8 - 0.2], atol=1e-6)
    high = [Mover("box", RigidMotion(trimesh.transformations.translation_matrix([0.1, 0, 0.6])))]
    assert room.clearance(points[:1], body, high) == pytest.approx(walls[0] - 0.2)
    assert room.clearance(points[:1], RobotBody(0.2, 0.7), high) < 0


def test_clearance_of_a_cylinder_is_brute_force_over_the_slab():
    mesh = cluttered()
    backend = RaycastBackend(from_trimesh(mesh), "cluttered")
    dense, _ = trimesh.sample.sample_surface(mesh, 400_000, seed=0)
    dense = dense[(dense[:, 2] >= 0.02) & (dense[:, 2] <= 0.5)]
    points = np.random.default_rng(0).uniform([-2.8, -1.8, 0], [2.8, 1.8, 0], (60, 3))
    sampled = np.array([np.linalg.norm(dense[:, :2] - point[:2], axis=1).min() for point in points])
    exact = backend.clearance(points, RobotBody(0.2, 0.5)) + 0.2
    assert (exact <= sampled + 1e-6).all()
    assert (sampled - exact).max() < 0.03


def test_range_along(room):
    directions = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, -1], [0.6, 0, 0.8]])
    origins = np.tile([0.0, 0, 1.0], (4, 1))
    np.testing.assert_allclose(room.range_along(origins, directions), [3, 2, 1, 2.5], rtol=1e-5)
    mover = [Mover("box", RigidMotion(trimesh.transformations.translation_matrix([1.0, 0, 0])))]
    np.testing.assert_allclose(room.range_along(origins, directions, mover), [0.8, 2, 1, 2.5], rtol=1e-5)
    assert room.range_along(np.array([[9.0, 0, 0]]), directions[:1])[0] == np.inf


def test_load_backend_keeps_scenes_and_names_what_exists(tmp_path):
    coloured_room().export(tmp_path / "room.ply")
    backend = load_backend(str(tmp_path / "room.ply"))
    assert load_backend(str(tmp_path / "room.ply")) is backend
    np.testing.assert_allclose(backend.bounds, [[-3, -2, 0], [3, 2, 3]])
    with pytest.raises(ValueError, match="unknown backend 'magic': choose one of raycast, habitat"):
        load_backend(str(tmp_path / "room.ply"), backend="magic")
    with pytest.raises(FileNotFoundError, match=r"gone\.glb"):
        load_backend(str(tmp_path / "gone.glb"))
