"""Training: shards round-trip whole, clips obey their recipe, and a step on a tiny set learns."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from asyncmde_sim.depth.fast_path import FastPath, FastPathWithoutMemory
from asyncmde_sim.depth.losses import asyncmde_loss
from asyncmde_sim.depth.memory import MemoryState
from asyncmde_sim.depth.slow_path import ConvSlowPath
from asyncmde_sim.scenes.backend import Mover, RobotBody
from asyncmde_sim.scenes.camera import Camera, RigidMotion
from asyncmde_sim.training import data, fast, joint
from asyncmde_sim.training.align import align, fit_neck
from asyncmde_sim.training.checkpoint import Checkpoint
from asyncmde_sim.training.clips import KINDS, ClipRecipe, Clips, read_shard, render_clip, write_shard
from asyncmde_sim.training.data import ClipPool
from asyncmde_sim.training.loop import (
    Schedule,
    cosine_rate,
    load_recipe,
    mixed_precision,
    optimise,
    step_generator,
)
from asyncmde_sim.training.render import render_jobs
from asyncmde_sim.training.slow import LinearReadout, SlowStage, coarse_depth, train_slow


class RampBackend:
    """A fake scene whose images and depth tell where the camera is."""

    name = "ramp"
    bounds = np.array([[-5.0, -5, 0], [5, 5, 3]])

    def __init__(self, clear: bool = True) -> None:
        self.clear = clear
        self.motions: list[RigidMotion] = []
        self.movers: list[tuple[Mover, ...]] = []

    def sample_free(self, rng, body, count, margin_m=0.1):  # type: ignore[no-untyped-def]
        return rng.uniform(-4, 4, (count, 3)) * [1, 1, 0]

    def clearance(self, points, body, movers=()):  # type: ignore[no-untyped-def]
        return np.full(len(points), 1.0 if self.clear else -1.0)

    def range_along(self, origins, directions, movers=()):  # type: ignore[no-untyped-def]
        return np.full(len(origins), 3.0)

    def render(self, camera, motion, movers=(), rng=None):  # type: ignore[no-untyped-def]
        from asyncmde_sim.scenes.backend import Rendering

        self.motions.append(motion)
        self.movers.append(tuple(movers))
        depth = np.linspace(1, 3, camera.width, dtype=np.float32)[None].repeat(camera.height, 0)
        return Rendering((depth[..., None] * [80, 60, 40]).astype(np.uint8), depth)


RECIPE = ClipRecipe(RobotBody(0.2, 0.5), 0.45, 0.1, max_speed_mps=1.0, max_yaw_rate_radps=1.0)
CAMERA = Camera(width=64, height=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, frames in (("views", 1), ("clips", 4)):
        rng = np.random.default_rng(0)
        parts = [render_clip(RampBackend(), RECIPE, CAMERA, frames, rng) for _ in range(3)]  # type: ignore[arg-type]
        write_shard(Clips.joined(parts), tmp_path / name, "a")
    return tmp_path


def test_a_clip_moves_as_its_recipe_says_and_is_the_same_for_the_same_seed() -> None:
    backend = RampBackend()
    recipe = replace(RECIPE, movers=("person",), max_movers=3)
    first, second = (render_clip(backend, recipe, CAMERA, 5, np.random.default_rng(3)) for _ in range(2))  # type: ignore[arg-type]
    assert np.array_equal(first.images, second.images) and first.images.shape == (1, 5, 32, 64, 3)
    eyes = np.array([m.pose[:3, 3] for m in backend.motions[:5]])
    assert np.array_equal(first.poses[0], [m.pose for m in backend.motions[:5]])
    assert np.allclose(eyes[:, 2], 0.45)
    assert np.linalg.norm(np.diff(eyes, axis=0), axis=1).max() <= 1.0 * 0.1 + 1e-9
    for earlier, later in zip(backend.movers[:4], backend.movers[1:5], strict=True):
        for a, b in zip(earlier, later, strict=True):
            assert np.allclose(b.motion.pose[:3, 3] - a.motion.pose[:3, 3], 0.1 * a.motion.linear_velocity)


def test_a_scene_without_clear_motion_is_refused() -> None:
    with pytest.raises(ValueError, match="ramp: no clear camera motion"):
        render_clip(RampBackend(clear=False), RECIPE, CAMERA, 3, np.random.default_rng(0))  # type: ignore[arg-type]


def test_shards_round_trip_and_a_shard_without_its_depth_does_not_exist(folder: Path) -> None:
    clips = read_shard(folder / "clips", "a")
    write_shard(clips, folder / "copy", "b")
    copy = read_shard(folder / "copy", "b")
    for kind in KINDS:
        assert np.array_equal(getattr(copy, kind), getattr(clips, kind))
    (folder / "copy" / "b-depth.npy").unlink()
    with pytest.raises(FileNotFoundError, match="holds no clips"):
        ClipPool(folder / "copy")


def test_a_shards_name_tells_the_camera_apart(tmp_path: Path) -> None:
    usual, narrow = (
        render_jobs("val", 1, 2, 3, 0, tmp_path, camera=Camera(hfov_rad=np.radians(deg))) for deg in (90, 60)
    )
    assert usual[0] == render_jobs("val", 1, 2, 3, 0, tmp_path)[0]
    assert narrow[0].name == f"{usual[0].name}-60deg"


def test_the_first_scene_leaves_out_those_before_it(tmp_path: Path) -> None:
    all_jobs = render_jobs("val", 3, 2, 3, 0, tmp_path, ["IndoorStatic"])
    assert render_jobs("val", 2, 2, 3, 0, tmp_path, ["IndoorStatic"], first_scene=1) == all_jobs[1:]


def test_images_depth_and_poses_must_belong_together() -> None:
    images, poses = np.zeros((1, 2, 4, 4, 3), np.uint8), np.zeros((1, 2, 4, 4))
    for depth, where in (((1, 3, 4, 4), poses), ((1, 2, 4, 4), poses[:, :1])):
        with pytest.raises(ValueError, match="do not belong together"):
            Clips(images, np.zeros(depth, np.float16), where)


def test_batches_are_a_function_of_the_seed(folder: Path) -> None:
    views = ClipPool(folder / "views")
    first, again = (views.draw(2, step_generator(7, 3)) for _ in range(2))
    assert torch.equal(first.images, again.images) and torch.equal(first.depth, again.depth)
    for seed, step in ((8, 3), (7, 4)):
        assert not torch.equal(views.draw(2, step_generator(seed, step)).images, first.images)
    small = views.draw(2, step_generator(7, 3), shrink=2)
    assert small.images.shape[-2:] == small.depth.shape[-2:] == (16, 32)


def test_a_batch_holds_the_clips_mirrored_or_not_with_their_own_depth(folder: Path) -> None:
    clips = read_shard(folder / "views", "a")
    ramp = torch.from_numpy(clips.depth[0].astype(np.float32))
    batch = ClipPool(folder / "views").draw(16, step_generator(0, 1))
    kinds = {torch.equal(depth, ramp): depth for depth in batch.depth}
    assert set(kinds) == {True, False} and torch.equal(kinds[False], ramp.flip(-1))
    brighter_with_depth = [
        np.corrcoef(i.mean(1).flatten(), d.flatten())[0, 1]
        for i, d in zip(batch.images, batch.depth, strict=True)
    ]
    assert min(brighter_with_depth) > 0.8


def test_a_pool_takes_in_what_is_written_meanwhile(folder: Path) -> None:
    clips = read_shard(folder / "views", "a")
    pool = ClipPool(folder / "views")
    write_shard(clips, folder / "views", "b")
    assert len(pool) == 3
    pool.update()
    pool.update()
    assert len(pool) == 6
    with pytest.raises(FileNotFoundError, match="holds no clips"):
        ClipPool(folder / "nothing")


def test_a_pool_says_what_it_waits_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = read_shard(folder / "views", "a")
    written = iter(["b", "b", "c"])
    monkeypatch.setattr(data.time, "sleep", lambda _: write_shard(clips, folder / "views", next(written)))
    assert len(ClipPool(folder / "views", wait_for=3)) == 9
    waited = [f"waiting for {folder / 'views'}: {there} of 3 shards are rendered" for there in (1, 2)]
    assert capsys.readouterr().out.splitlines() == waited


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    assert cosine_rate(0) == 0 and cosine_rate(1) == pytest.approx(0) and cosine_rate(0.1) > 0.95
    with pytest.raises(ValueError, match="steps is 0"):
        Schedule(0, 1, 1e-3)


def test_a_training_ends_after_its_steps_or_its_time_whichever_is_first() -> None:
    assert Schedule(10, 1, 1e-3).fraction(5, 1e9) == 0.5
    timed = Schedule(10, 1, 1e-3, seconds=100)
    assert timed.fraction(5, 20) == 0.5 and timed.fraction(5, 80) == 0.8 and timed.fraction(5, 200) == 1
    with pytest.raises(ValueError, match="seconds is 0"):
        Schedule(1, 1, 1e-3, seconds=0)


def test_recipes_are_known_by_name() -> None:
    for name in ("cpu", "gpu"):
        recipe = load_recipe(name)
        assert all(SlowStage(**stage).steps for stage in recipe.pop("slow"))
        assert joint.JointSchedule(**recipe.pop("joint")).steps
        assert set(recipe) - {"fast"} == {"distil", "fast-only", "align", "gates", "tune"}
        assert all(Schedule(**schedule).steps for schedule in recipe.values())
    with pytest.raises(FileNotFoundError, match=r"no recipe 'x'.*cpu"):
        load_recipe("x")


def test_a_loss_that_is_not_finite_stops_the_training(folder: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(FloatingPointError, match="at step 1: lower the learning rate"):
        optimise(
            "phase",
            [parameter],
            partial(ClipPool(folder / "views").draw, 1),
            lambda *_: parameter.sum() * torch.inf,
            Schedule(1, 1, 1.0),
            0,
            Checkpoint({}),
        )


def test_what_is_trained_with_caution_moves_by_its_share_of_the_way(folder: Path) -> None:
    bold, cautious = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    optimise(
        "phase",
        [bold],
        partial(ClipPool(folder / "views").draw, 1),
        lambda *_: (bold + cautious).sum(),
        Schedule(5, 1, 1e-3),
        0,
        Checkpoint({}),
        cautious=[cautious],
        caution=0.25,
    )
    assert 1 - bold.item() > 1e-4
    assert (1 - cautious.item()) == pytest.approx((1 - bold.item()) / 4, rel=1e-2)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_of_the_learning_rate_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"slow_share is .* within 0 and 1"):
        joint.JointSchedule(1, 1, 1e-3, slow_share=share)


def test_the_coarse_decoder_leaves_out_the_finest_stage_alone() -> None:
    torch.manual_seed(0)
    model = ConvSlowPath().eval()
    images = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        features = model.features(images)
        depth = coarse_depth(model.decoder, features, (32, 64))
        assert depth.shape == (1, 16, 32)
        torch.nn.init.normal_(model.decoder.fusion_stage.layers[3].projection.weight)
        features[0] = torch.randn_like(features[0])
        assert torch.equal(coarse_depth(model.decoder, features, (32, 64)), depth)


def test_the_fitted_neck_gives_the_controls_features_where_the_backbone_allows_it(folder: Path) -> None:
    torch.manual_seed(0)
    slow, other, control = ConvSlowPath().eval(), ConvSlowPath().eval(), FastPathWithoutMemory().eval()
    other.load_state_dict(slow.state_dict())
    images = torch.randn(2, 3, 32, 64)
    views = ClipPool(folder / "views")
    left = fit_neck(slow, control, views, batch=3, steps=2, seed=0)
    assert len(left) == 4 and all(0 <= share < 1 for share in left)
    linear = control
    linear.features = other.features  # type: ignore[method-assign]
    assert max(fit_neck(slow, linear, views, batch=3, steps=2, seed=0)) < 0.01
    with torch.no_grad():
        assert not torch.equal(slow.neck[0].weight, other.neck[0].weight)
        for a, b in zip(slow.levels(images), other.levels(images), strict=True):
            assert torch.equal(a, b)


def test_a_fast_path_that_trusts_no_memory_is_the_control() -> None:
    torch.manual_seed(0)
    control, path, slow = FastPathWithoutMemory().eval(), FastPath().eval(), ConvSlowPath().eval()
    torch.nn.init.normal_(control.decoder.head.conv3.weight)
    fast.start_from(path, control)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for gate in (path.smu.gate1, path.smu.gate4):
            gate[-1].weight.zero_()
            gate[-1].bias.fill_(-100)
        state = MemoryState(tuple(slow.features(images)))
        assert torch.allclose(path(images, state)[0], control(images), atol=1e-4)
        path.smu.gate4[-1].bias.fill_(100)
        path.smu.gate1[-1].bias.fill_(100)
        assert not torch.allclose(path(images, state)[0], control(images), atol=1e-2)


def test_averaging_leads_from_the_fast_path_to_the_control_and_spares_the_gates() -> None:
    torch.manual_seed(0)
    control, path, halfway = FastPathWithoutMemory(), FastPath(), FastPath()
    halfway.load_state_dict(path.state_dict())
    fast.average_with(halfway, control, 0.0)
    for name, value in halfway.state_dict().items():
        assert torch.equal(value, path.state_dict()[name])
    fast.average_with(halfway, control, 0.5)
    for ours, before, theirs in zip(
        halfway.decoder.parameters(), path.decoder.parameters(), control.decoder.parameters(), strict=True
    ):
        assert torch.allclose(ours, (before + theirs) / 2)
    for ours, before in zip(halfway.smu.gate1.parameters(), path.smu.gate1.parameters(), strict=True):
        assert torch.equal(ours, before)
    fast.average_with(halfway, control, 1.0)
    for name, value in halfway.encoder.state_dict().items():
        assert torch.equal(value, control.encoder.state_dict()[name])


def test_the_loss_of_a_clip_is_that_of_its_frames_run_one_by_one(folder: Path) -> None:
    torch.manual_seed(0)
    path, slow = FastPath().eval(), ConvSlowPath().eval()
    batch = ClipPool(folder / "clips").draw(1, step_generator(0, 1))
    frames = batch.images.shape[1]
    with torch.no_grad(), mixed_precision(batch.images.device):
        for first in range(frames):
            state = MemoryState(tuple(slow.features(batch.images[:, 0])))
            for index in range(first, frames):
                depth, state, trust = path(batch.images[:, index], state)
                expected = asyncmde_loss(depth, batch.depth[:, index], batch.valid[:, index], trust)
                loss = fast.clip_loss(path, slow, batch, first, [index], batch.frames([index]))
                assert torch.allclose(loss, expected, rtol=2e-3)


def test_pseudo_labels_are_the_slow_paths_depth_on_every_pixel_and_what_is_then_learned(folder: Path) -> None:
    torch.manual_seed(0)
    slow, views = ConvSlowPath().eval().requires_grad_(False), ClipPool(folder / "views")
    batch = views.draw(2, step_generator(0, 1))
    batch = replace(batch, valid=torch.zeros_like(batch.valid))
    labelled = fast.slow_path_depth(slow, batch)
    with torch.no_grad(), mixed_precision(views.device):
        expected = slow(batch.images[:, 0])
    assert torch.equal(labelled.depth[:, 0], expected.float()) and labelled.valid.all()
    assert labelled.images is batch.images and not torch.equal(labelled.depth, batch.depth)

    def trained(label: fast.Label) -> torch.Tensor:
        torch.manual_seed(0)
        control = FastPathWithoutMemory()
        fast.train_without_memory(control, views, Schedule(2, 2, 1e-3), 0, Checkpoint({}), label)
        return control.decoder.head.conv3.weight

    on_labels, again = (trained(partial(fast.slow_path_depth, slow)) for _ in range(2))
    assert torch.equal(on_labels, again) and not torch.equal(on_labels, trained(fast.true_depth))


def test_a_batch_turns_as_its_clips_do_mirrored_or_not(folder: Path) -> None:
    """A mirrored clip turns the other way: what the camera saw at one frame lies there at the next."""
    clips = read_shard(folder / "clips", "a")
    steps = clips.poses[:, 0, :3, :3].swapaxes(1, 2) @ clips.poses[:, 1, :3, :3]
    mirror = np.diag([-1.0, 1, 1])
    seen = set()
    for seed in range(8):
        batch = ClipPool(folder / "clips").draw(2, step_generator(seed, 1))
        for rotation in fast.turn_between(batch, 0, 1).rotation.double().numpy():
            found = [
                (clip, mirrored)
                for clip, step in enumerate(steps)
                for mirrored, expected in ((False, step), (True, mirror @ step @ mirror))
                if np.allclose(rotation, expected, atol=1e-5)
            ]
            assert len(found) == 1
            seen.add(found[0])
    assert {mirrored for _, mirrored in seen} == {False, True}


@pytest.mark.parametrize("frozen", [False, True])
def test_joint_training_keeps_the_statistics_of_batch_norm_where_asked(folder: Path, frozen: bool) -> None:
    networks = ConvSlowPath(), FastPath(), FastPathWithoutMemory()
    clips, views = ClipPool(folder / "clips"), ClipPool(folder / "views")
    means = [
        b for network in networks for name, b in network.named_buffers() if name.endswith("running_mean")
    ]
    before = [mean.clone() for mean in means]
    schedule = joint.JointSchedule(1, 1, 1e-3, frozen_norm=frozen)
    joint.train_jointly(*networks, clips, views, schedule, 0, Checkpoint({}))
    assert all(torch.equal(a, b) == frozen for a, b in zip(before, means, strict=True))


def test_all_three_networks_are_trained_jointly_and_the_memory_reaches_the_slow_path(folder: Path) -> None:
    torch.manual_seed(0)
    slow, path, control = ConvSlowPath(), FastPath(), FastPathWithoutMemory()
    clips, views = ClipPool(folder / "clips"), ClipPool(folder / "views")
    before = [p.clone() for network in (slow, path, control) for p in network.parameters()]
    schedule = joint.JointSchedule(2, 1, 1e-3)
    joint.train_jointly(slow, path, control, clips, views, schedule, 0, Checkpoint({}))
    after = [p for network in (slow, path, control) for p in network.parameters()]
    assert sum(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) > 0.95 * len(after)
    assert not any(network.training for network in (slow, path, control))

    batch = clips.draw(1, step_generator(0, 1))
    memory = [level.requires_grad_() for level in slow.features(batch.images[:, 0])]
    for turning in (False, True):
        depth, _, _ = fast.run_clip(path, memory, batch, 0, [2], turning)
        gradients = torch.autograd.grad(depth.sum(), memory)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_joint_training_without_a_share_for_the_slow_path_leaves_it_alone(folder: Path) -> None:
    torch.manual_seed(0)
    networks = ConvSlowPath(), FastPath(), FastPathWithoutMemory()
    clips, views = ClipPool(folder / "clips"), ClipPool(folder / "views")
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in networks]
    joint.train_jointly(
        *networks, clips, views, joint.JointSchedule(1, 1, 1e-3, slow_share=0), 0, Checkpoint({})
    )
    kept = [
        all(torch.equal(v, old[k]) for k, v in network.state_dict().items())
        for network, old in zip(networks, before, strict=True)
    ]
    assert kept == [True, False, False]


def test_scored_frames_follow_the_first_and_cover_the_clip() -> None:
    rng = torch.Generator().manual_seed(0)
    draws = [fast.draw_frames(10, rng) for _ in range(200)]
    assert {first for first, _ in draws} == set(range(5))
    assert {index for _, scored in draws for index in scored} == set(range(10))
    for first, scored in draws:
        assert scored == sorted(set(scored)) and len(scored) == fast.DECODED_FRAMES and scored[0] >= first


def test_all_three_networks_learn_the_ramp(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    saved: list[int] = []

    def telling(number: int) -> Checkpoint:
        return Checkpoint({}, save_weights=lambda: saved.append(number))

    views, clips = ClipPool(folder / "views"), ClipPool(folder / "clips")
    slow = ConvSlowPath()
    stages = [SlowStage(2, 2, 1e-3, decoder="none"), SlowStage(2, 2, 1e-3, decoder="coarse")]
    stages += [SlowStage(6, 2, 1e-3, decoder="full")]
    train_slow(slow, LinearReadout(), views, stages, 0, telling(1))
    single, short = FastPathWithoutMemory(), Schedule(2, 2, 1e-3)
    fast.distil(single, slow, views, short, 0, Checkpoint({}))
    assert torch.equal(single.decoder.head.conv3.weight, slow.decoder.head.conv3.weight)
    fast.train_without_memory(single, views, short, 0, telling(2))
    align(slow, single, views, 2, short, 0, telling(3))
    assert torch.equal(single.decoder.head.conv3.weight, slow.decoder.head.conv3.weight)
    path = FastPath()
    fast.start_from(path, single)
    gate, decoder = path.smu.gate1[0].weight.clone(), path.decoder.head.conv1.weight.clone()
    fast.train_gates(path, slow, clips, short, 0, telling(4))
    assert not torch.equal(gate, path.smu.gate1[0].weight)
    assert torch.equal(decoder, path.decoder.head.conv1.weight)
    teacher = slow.neck[0].weight.clone()
    fast.train_fast(path, single, slow, clips, short, 0, telling(5))
    encoder, head = path.encoder.state_dict(), path.decoder.head.conv1.weight.clone()
    encoder = {name: value.clone() for name, value in encoder.items()}
    before = FastPath()
    before.load_state_dict(path.state_dict())
    fast.tune(path, before, slow, clips, short, 0, telling(6))
    assert all(torch.equal(value, encoder[name]) for name, value in path.encoder.state_dict().items())
    assert not torch.equal(head, path.decoder.head.conv1.weight)
    assert saved == [1, 1, 1, 2, 3, 4, 5, 6]
    for trained in (path, single):
        assert not torch.equal(decoder, trained.decoder.head.conv1.weight) and not trained.training
    assert torch.equal(teacher, slow.neck[0].weight)
    losses = [
        float(line.split("loss ")[1].split()[0])
        for line in capsys.readouterr().out.splitlines()
        if "loss " in line
    ]
    assert losses[1] < losses[0] and all(np.isfinite(losses))
