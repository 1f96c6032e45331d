"""The habitat backend shows and measures what the raycast backend does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asyncmde_sim.evaluation.backend_parity import image_parity, random_views, shifted, way_differences
from asyncmde_sim.scenes import load_backend
from asyncmde_sim.scenes.backend import Mover, RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.scenes.habitat.backend import ON_MESH_M

from .conftest import needs_habitat, use_worker

CAMERA = Camera(128, 96)
BODY = RobotBody(0.18, 0.5)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=needs_habitat)])
def pair(request, room):
    """The two rooms in both backends: habitat, raycast."""
    with pytest.MonkeyPatch.context() as patch:
        use_worker(patch, request.param)
        habitat = load_backend(room, "habitat")
    yield habitat, load_backend(room)
    habitat.close()


def test_both_show_the_same_and_a_centimetre_shows(pair):
    views = random_views(pair[1], 6, np.random.default_rng(0))
    assert image_parity(*pair, CAMERA, views).matches
    control = image_parity(*pair, CAMERA, [shifted(view) for view in views], views)
    assert not control.matches


def test_generated_scenes_look_the_same(kind):
    habitat = None
    for scene in ("flat-val-0000", "hall-val-0000"):
        habitat, raycast = load_backend(scene, "habitat", habitat), load_backend(scene)
        views = random_views(raycast, 4, np.random.default_rng(1))
        assert image_parity(habitat, raycast, Camera(256, 192), views).matches, scene
    habitat.close()


def test_movers_are_where_they_should_be(pair):
    raycast = pair[1]
    pose = np.array([[0.0, 0, 1, 0.7], [-1, 0, 0, 1.2], [0, -1, 0, 0.9], [0, 0, 0, 1]])
    turned = np.array([[0.8, -0.6, 0, 3.0], [0.6, 0.8, 0, 1.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    away = np.eye(4)
    away[:3, 3] = (4.5, 0.8, 0.3)
    for movers in (
        [Mover("person_a", RigidMotion(turned)), Mover("ball", RigidMotion(away))],
        [Mover("cart", RigidMotion(turned))],
        [],
    ):
        a, b = (backend.render(CAMERA, RigidMotion(pose), movers) for backend in pair)
        close = np.abs(a.depth - b.depth) <= 0.01 * b.depth
        assert close.mean() > 0.99
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 4
        seen = np.abs(b.depth - raycast.render(CAMERA, RigidMotion(pose)).depth) > 0.1
        assert seen.any() == bool(movers)
        if movers:
            assert close[seen].mean() > 0.95
            assert np.abs(a.rgb[seen].astype(int) - b.rgb[seen]).mean() < 8


def test_motion_blur_is_the_mean_of_the_exposure(pair):
    pose = np.array([[0.0, 0, 1, 0.7], [-1, 0, 0, 1.2], [0, -1, 0, 0.9], [0, 0, 0, 1]])
    motion = RigidMotion(pose, np.array([0.0, 1.0, 0.0]), np.array([0.0, 2.0, 0.0]))
    mover = Mover(
        "ball", RigidMotion(np.eye(4) + np.diag([3.0, 1.2, 0.5], 1)[:4, :4] * 0, np.array([0.0, 3, 0]))
    )
    for samples in (3, 4):
        camera = replace(CAMERA, exposure_s=0.05, blur_samples=samples, exposure_gain=1.2)
        a, b = (backend.render(camera, motion, [mover]) for backend in pair)
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() < 4
        assert (np.abs(a.depth - b.depth) <= 0.01 * b.depth).mean() > 0.99
        sharp = pair[0].render(replace(camera, exposure_s=0.0, blur_samples=1), motion, [mover])
        assert np.abs(sharp.rgb.astype(int) - a.rgb).mean() > 2


def test_depth_beyond_the_range_is_none(pair):
    views = random_views(pair[1], 3, np.random.default_rng(0))
    for view in views:
        far = pair[0].render(CAMERA, view).depth
        near = pair[0].render(replace(CAMERA, max_range_m=2.0), view).depth
        assert np.array_equal(near, np.where(far <= 2.0, far, 0))


def test_ways_agree(pair):
    differences = way_differences(*pair, 30, np.random.default_rng(0))
    assert np.median(differences) < 0.01 and (differences < 0.02).mean() > 0.95
    outside = np.array([[30.0, 30.0, 0.0]])
    field = pair[0].distance_field(np.array([1.0, 1.0, 0.0]), BODY)
    assert np.isinf(field(outside)).all() and field(np.array([[1.0, 1.0, 0.0]]))[0] < 0.03


def test_ways_are_no_longer_than_those_of_habitats_own_path_finder(pair):
    if pair[0].worker.about["version"] == "fake":
        pytest.skip("the fake worker has no path finder")
    places = pair[1].sample_free(np.random.default_rng(0), BODY, 40)
    own = pair[0].ways(places[1:], places[0], BODY)
    ours = pair[0].distance_field(places[0], BODY)(places[1:])
    assert (ours <= own * 1.01 + 0.05).all() and np.median(own / ours) < 1.02


def test_a_seed_draws_the_same_places_which_are_on_the_mesh(pair):
    for body in (BODY, RobotBody(0.15, flies=True)):
        a, b = (backend.sample_free(np.random.default_rng(5), body, 50) for backend in pair)
        assert np.array_equal(a, b)
    on_floor = pair[0].sample_free(np.random.default_rng(5), BODY, 50)
    assert (pair[0].gaps(on_floor, BODY) <= ON_MESH_M).all()


def test_what_it_cannot_render_is_refused(pair):
    view = RigidMotion(np.eye(4))
    with pytest.raises(
        ValueError, match=r"readout_s is 0\.01, but the habitat backend has no rolling shutter"
    ):
        pair[0].render(replace(CAMERA, readout_s=0.01), view)
    with pytest.raises(ValueError, match=r"distortion is .* but the habitat backend has a pinhole only"):
        pair[0].render(replace(CAMERA, distortion=(0.1, 0, 0, 0, 0)), view)
    with pytest.raises(ValueError, match=r"noise_std is 2, so render needs rng"):
        pair[0].render(replace(CAMERA, noise_std=2), view)
    assert pair[0].render(CAMERA, view).rgb.shape == (96, 128, 3)


def test_a_scene_of_a_dataset(kind, dataset, room):
    habitat, raycast = load_backend(f"{dataset}:apartment", "habitat"), load_backend(room)
    assert np.allclose(habitat.bounds, raycast.bounds, atol=1e-4)
    assert habitat.floor_m == pytest.approx(raycast.floor_m, abs=1e-4)
    for view in random_views(raycast, 3, np.random.default_rng(0)):
        a, b = (backend.render(CAMERA, view).depth for backend in (habitat, raycast))
        assert np.median(np.abs(a - b) / b) < 0.002
    assert np.median(way_differences(habitat, raycast, 10, np.random.default_rng(0))) < 0.01
    habitat.close()


def test_parts_of_a_scene_are_put_together(kind, dataset):
    """A file with z up in a dataset that does not say so, which is how Habitat takes it."""
    if kind == "fake":
        pytest.skip("the fake worker has no parts")
    habitat = load_backend(dataset.replace("rooms.", "upright.") + ":standing", "habitat")
    planner = habitat.planner
    assert habitat.floor_m == pytest.approx(0.0, abs=1e-4)
    for view in random_views(planner, 3, np.random.default_rng(0)):
        a, b = (backend.render(CAMERA, view).depth for backend in (habitat, planner))
        assert np.median(np.abs(a - b) / b) < 0.002
    habitat.close()


def test_scenes_that_are_not_there(kind, dataset, room):
    with pytest.raises(ValueError, match=r"the dataset has no scene 'cellar': it has apartment"):
        load_backend(f"{dataset}:cellar", "habitat")
    with pytest.raises(ValueError, match=r"is of a Habitat dataset: use backend habitat"):
        load_backend(f"{dataset}:apartment")
    with pytest.raises(FileNotFoundError, match=r"there is no such scene dataset config"):
        load_backend("nowhere.scene_dataset_config.json:apartment", "habitat")
    with pytest.raises(ValueError, match=r"unknown backend 'habitat@gpu'"):
        load_backend(room, "habitat@gpu")


def test_the_next_scene_uses_the_same_process(kind, room):
    first = load_backend(room, "habitat")
    assert load_backend(room, "habitat", before=first) is first
    second = load_backend("flat-val-0000", "habitat", before=first)
    assert second.worker is first.worker
    with pytest.raises(RuntimeError, match=r"has loaded 'flat-val-0000' in its place"):
        first.render(CAMERA, RigidMotion(np.eye(4)))
    second.close()
