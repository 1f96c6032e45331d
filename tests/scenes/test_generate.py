"""Laws of generated scenes, checked on one flat and one hall."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from scipy.sparse.csgraph import connected_components

from asyncmde_sim.scenes.generate import KINDS, GeneratedScene, furniture, generate_scene
from asyncmde_sim.scenes.generate.atlas import ATLAS_PX, PAD_PX, pack
from asyncmde_sim.scenes.generate.course import Airspace, Hall
from asyncmde_sim.scenes.generate.floorplan import draw_plan
from asyncmde_sim.scenes.generate.lighting import Lamp, Lights, bake
from asyncmde_sim.scenes.generate.materials import PATTERNS, Surface, albedo
from asyncmde_sim.scenes.generate.movers import MOVER_KINDS, mover_mesh, mover_radius
from asyncmde_sim.scenes.generate.parts import Piece
from asyncmde_sim.scenes.generate.placing import FloorGrid, top_of
from asyncmde_sim.scenes.generate.shapes import Material, Shape, triangulate


@pytest.fixture(scope="session")
def flat() -> GeneratedScene:
    return generate_scene("flat", 11)


@pytest.fixture(scope="session")
def hall() -> GeneratedScene:
    return generate_scene("hall", 11)


def test_the_same_seed_gives_the_same_bytes(flat: GeneratedScene) -> None:
    again = generate_scene("flat", 11)
    assert again.to_glb() == flat.to_glb()
    assert json.dumps(again.metadata) == json.dumps(flat.metadata)


def test_every_face_has_texels_of_its_own(flat: GeneratedScene, hall: GeneratedScene) -> None:
    for scene in (flat, hall):
        assert scene.uv.min() >= 0 and scene.uv.max() <= 1
        corners = scene.uv[scene.faces].astype(np.float64) * ATLAS_PX
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        assert (np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 1e-3).all()


def test_every_face_has_an_area_and_a_finite_place(flat: GeneratedScene, hall: GeneratedScene) -> None:
    for scene in (flat, hall):
        assert np.isfinite(scene.vertices).all()
        corners = scene.vertices[scene.faces].astype(np.float64)
        area = (
            np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        )
        assert area.min() > 1e-8
        assert 500 < len(scene.faces) < 15_000


def test_a_glb_is_read_back_upright_with_its_texture(flat: GeneratedScene) -> None:
    data = flat.to_glb()
    assert struct.unpack("<I", data[8:12])[0] == len(data)
    loaded = trimesh.load(io.BytesIO(data), file_type="glb", force="mesh", process=False)
    np.testing.assert_array_equal(loaded.faces, flat.faces)
    x, y, z = loaded.vertices.T
    np.testing.assert_allclose(np.column_stack([x, -z, y]), flat.vertices, atol=1e-6)
    np.testing.assert_allclose(loaded.visual.uv, flat.mesh.visual.uv, atol=1e-6)
    image = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"))
    np.testing.assert_array_equal(image, flat.texture)


def test_lamps_and_shadows_leave_a_varied_picture(flat: GeneratedScene, hall: GeneratedScene) -> None:
    for scene in (flat, hall):
        middle = (scene.uv[scene.faces].mean(axis=1) * ATLAS_PX).astype(int)
        grey = scene.texture[middle[:, 1], middle[:, 0]].mean(axis=1)
        assert 40 < np.median(grey) < 200
        assert grey.std() > 20


def test_plans_are_flats_whose_rooms_are_all_connected() -> None:
    for seed in range(40):
        plan = draw_plan(np.random.default_rng(seed))
        assert 3 <= len(plan.rooms) <= 6
        assert 60 <= plan.width * plan.depth <= 120
        assert 2.4 <= plan.height <= 2.8
        links = np.zeros((len(plan.rooms), len(plan.rooms)))
        for door in plan.doors:
            links[door.a, door.b] = 1
            assert 0.85 <= door.high - door.low <= 1.0
            assert 2.0 <= door.top <= 2.1
            for room in (plan.rooms[door.a], plan.rooms[door.b]):
                low, high = room.span("west" if door.vertical else "south")
                assert low < door.low and door.high < high
        assert connected_components(links, directed=False)[0] == 1


def test_furniture_never_cuts_off_a_room() -> None:
    plan = draw_plan(np.random.default_rng(3))
    grid = FloorGrid(plan)
    room = plan.rooms[plan.doors[0].a]
    x, y = plan.doors[0].center
    assert not grid.claim(x - 0.4, y - 0.4, x + 0.4, y + 0.4)
    assert not grid.claim(room.x0, room.y0, room.x1, room.y1)
    before = grid.reachable_area
    middle = room.center
    assert grid.claim(middle[0] - 0.2, middle[1] - 0.2, middle[0] + 0.2, middle[1] + 0.2)
    assert not grid.claim(middle[0] - 0.2, middle[1] - 0.2, middle[0] + 0.2, middle[1] + 0.2)
    assert grid.reachable_area < before


def has_level(piece: Piece, height: float) -> bool:
    """Whether the piece has a level surface at the height that faces up."""
    return any(
        abs(p.origin[2] - height) < 1e-6 and p.u[2] == 0 == p.v[2] and np.cross(p.u, p.v)[2] > 0.03
        for p in piece.shape.patches
    )


def test_furniture_has_the_dimensions_of_real_furniture() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert has_level(furniture.chair(rng), 0.45)
        assert has_level(furniture.sofa(rng), 0.45)
        assert has_level(furniture.desk(rng), 0.74)
        assert has_level(furniture.dining_set(rng), 0.74)
        assert has_level(furniture.bed(rng), 0.5)
        assert has_level(furniture.kitchen_counter(rng), 0.9)
        assert 1.9 <= top_of(furniture.wardrobe(rng).shape) <= 2.25


def test_pieces_stay_within_their_floor_rectangle() -> None:
    makers = (furniture.sofa, furniture.shelf, furniture.bed, furniture.wardrobe, furniture.kitchen_counter)
    for maker in makers:
        piece = maker(np.random.default_rng(1))
        points = triangulate(piece.shape.patches)[0]
        assert points[:, 0].min() > -0.02 and points[:, 0].max() < piece.depth + 0.02
        assert np.abs(points[:, 1]).max() < piece.width / 2 + 0.02


def test_a_hall_is_passable_and_its_ends_are_open(hall: GeneratedScene) -> None:
    spans = {s["name"]: s for s in hall.metadata["spawn"]}
    start, goal = spans["start"]["rect"], spans["goal"]["rect"]
    assert goal[0] - start[2] > 20
    centers = hall.vertices[hall.faces].mean(axis=1)
    z = np.array(spans["start"]["z"])
    for x0, y0, x1, y1 in (start, goal):
        inside = (centers[:, 0] > x0) & (centers[:, 0] < x1) & (centers[:, 1] > y0) & (centers[:, 1] < y1)
        assert not (inside & (centers[:, 2] > z[0]) & (centers[:, 2] < z[1])).any()


def test_airspace_tells_a_closed_hall_from_an_open_one() -> None:
    space = Airspace(Hall(12.0, 4.0, 3.0))
    assert space.passable(0.5)
    space.add([((6.0, 0.0, 0.0), (6.2, 2.5, 3.0))])
    assert space.passable(0.5) and not space.passable(0.9)
    space.add([((6.0, 2.5, 0.0), (6.2, 4.0, 3.0))])
    assert not space.passable(0.1)


def test_the_sidecar_names_rooms_doors_and_difficulty(flat: GeneratedScene) -> None:
    meta = json.loads(json.dumps(flat.metadata))
    assert meta["seed"] == 11 and meta["kind"] == "flat"
    assert len(meta["rooms"]) == len(meta["spawn"]) >= 3
    assert 0 < meta["free_area_m2"] < meta["figures"]["floor_area_m2"]
    assert meta["figures"]["narrowest_door_m"] == min(d["width_m"] for d in meta["doors"])
    assert meta["figures"]["thin_parts"] > 20
    assert meta["lights"]["lamps"]


def test_a_packed_patch_overlaps_no_other() -> None:
    rng = np.random.default_rng(0)
    atlas = pack(rng.uniform(0.02, 6, 300), rng.uniform(0.02, 3, 300))
    used = np.zeros((ATLAS_PX, ATLAS_PX), dtype=int)
    for x, y, w, h in zip(atlas.x, atlas.y, atlas.width, atlas.height, strict=True):
        used[y : y + h + 2 * PAD_PX, x : x + w + 2 * PAD_PX] += 1
    assert used.max() == 1


def test_light_falls_with_distance_and_a_board_casts_a_shadow() -> None:
    white = Material("plaster", (0.7, 0.7, 0.7))
    shape = Shape()
    shape.quad((-2, -2, 0), (4, 0, 0), (0, 4, 0), white)
    lamp = Lights((Lamp((0.0, 0.0, 2.0), (1.0, 1.0, 1.0), 0.0),))
    half = np.full((1, 3), 0.5, dtype=np.float32)
    grid = bake(shape.patches, half, lamp, np.random.default_rng(0))
    image = grid.value.reshape(grid.rows[0] + 1, grid.columns[0] + 1, 3)[..., 0]
    middle = image[image.shape[0] // 2]
    assert middle[len(middle) // 2] == pytest.approx(0.25, rel=0.02)
    assert middle[0] < middle[len(middle) // 4] < middle[len(middle) // 2]
    shape.box((-0.5, -0.5, 1.0), (0.5, 0.5, 1.02), white)
    shaded = bake(shape.patches, np.repeat(half, 7, axis=0), lamp, np.random.default_rng(0))
    center = shaded.first[0] + (shaded.rows[0] // 2) * (shaded.columns[0] + 1) + shaded.columns[0] // 2
    assert shaded.value[center, 0] < 0.05


def test_every_pattern_is_a_reflectance() -> None:
    a, b = (g.ravel().astype(np.float32) for g in np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 20)))
    one = np.ones_like(a)
    surface = Surface(3 * a - 1, 2 * b, a, b, 3 * one, 2 * one, np.full(len(a), 5))
    for pattern in PATTERNS:
        color = albedo(Material(pattern), surface)
        assert color.shape == (400, 3) and color.dtype == np.float32
        assert color.min() >= 0.01 and color.max() <= 0.95


@pytest.mark.parametrize("kind", MOVER_KINDS)
def test_movers_stand_on_their_origin(kind: str) -> None:
    mesh = mover_mesh(kind)
    assert mesh.bounds[0, 2] == pytest.approx(0, abs=0.02)
    assert len(mesh.faces) < 400
    reach = np.linalg.norm(mesh.vertices[:, :2], axis=1).max()
    assert reach <= mover_radius(kind) + 1e-9
    assert mesh.visual.vertex_colors[:, :3].std() > 5
    height = mesh.bounds[1, 2]
    low, high = {"p": (1.55, 1.9), "c": (0.8, 1.05), "t": (0.8, 1.05), "b": (0.4, 1.0)}[kind[0]]
    assert low <= height <= high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("castle", 1), "flat, hall"),
        (("flat", -1), "must not be negative"),
        (("hall", 1, 1.5), r"must lie in \[0, 1\]"),
        (("hall", 1, float("nan")), r"must lie in \[0, 1\]"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate_scene(*arguments)


def test_wrong_parts_are_refused() -> None:
    assert set(KINDS) == {"flat", "hall"}
    with pytest.raises(ValueError, match="unknown mover"):
        mover_mesh("dragon")
    with pytest.raises(ValueError, match="unknown mover"):
        mover_radius("dragon")
    with pytest.raises(ValueError, match="empty"):
        Shape().box((0, 0, 0), (1, 1, 0), Material())
    with pytest.raises(ValueError, match="scale"):
        Material(scale=0)
    with pytest.raises(ValueError, match="unknown pattern"):
        empty = np.zeros(1, dtype=np.float32)
        albedo(Material("lava"), Surface(empty, empty, empty, empty, empty, empty, np.zeros(1, dtype=int)))
