"""What tests share: a scene that loads in milliseconds, fake engines, a small model, shards of noise."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import trimesh

from asyncmde_sim.training.clips import Clips, write_shard

LENGTH, WIDTH, HEIGHT = 12.0, 5.0, 2.6
DOOR = (1.5, 2.6)
"""The door's range of y, in the partition at x = 6 m."""


def _box(low, high, colour) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    box = trimesh.creation.box(high - low)
    box.apply_translation((low + high) / 2)
    box.visual.face_colors = np.tile([*colour, 255], (len(box.faces), 1))
    return box


def two_rooms() -> trimesh.Trimesh:
    """A floor at z = 0 and walls around x in [0, 12] m, y in [0, 5] m; z up."""
    wall, t = (170, 160, 150), 0.1
    parts = [
        _box((-t, -t, -t), (LENGTH + t, WIDTH + t, 0), (110, 80, 60)),
        _box((-t, -t, HEIGHT), (LENGTH + t, WIDTH + t, HEIGHT + t), (230, 230, 230)),
        _box((-t, -t, 0), (0, WIDTH + t, HEIGHT), wall),
        _box((LENGTH, -t, 0), (LENGTH + t, WIDTH + t, HEIGHT), (90, 120, 160)),
        _box((0, -t, 0), (LENGTH, 0, HEIGHT), wall),
        _box((0, WIDTH, 0), (LENGTH, WIDTH + t, HEIGHT), (160, 110, 90)),
        _box((6 - t, 0, 0), (6, DOOR[0], HEIGHT), (60, 140, 80)),
        _box((6 - t, DOOR[1], 0), (6, WIDTH, HEIGHT), (60, 140, 80)),
        _box((3.0, 2.2, 0), (3.4, 2.8, 0.8), (200, 60, 50)),
    ]
    return trimesh.util.concatenate(parts)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scene") / "two-rooms.ply"
    two_rooms().export(path)
    return str(path)


@pytest.fixture(scope="session")
def backend(scene):
    from asyncmde_sim.scenes import load_backend

    return load_backend(scene)


@pytest.fixture
def depth_anything():
    """Makes a small transformers Depth Anything model, untrained: ``metric`` or ``relative``."""

    def make(kind):
        transformers = pytest.importorskip("transformers")
        backbone = transformers.Dinov2Config(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
            out_features=["stage1", "stage2", "stage3", "stage4"],
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone,
            reassemble_hidden_size=32,
            patch_size=14,
            neck_hidden_sizes=[16, 16, 32, 32],
            fusion_hidden_size=128,
            depth_estimation_type=kind,
            max_depth=20 if kind == "metric" else 1,
        )
        torch.manual_seed(0)
        return transformers.DepthAnythingForDepthEstimation(config).eval()

    return make


@pytest.fixture
def write_tiny_shards():
    """Writes shards of noise for a training: 16 ``views``, and ``clips`` of four frames."""

    def write(folder, clips):
        rng = np.random.default_rng(0)
        for name, count, frames in (("views", 16, 1), ("clips", clips, 4)):
            images = rng.integers(0, 256, (count, frames, 32, 64, 3), dtype=np.uint8)
            depth = rng.uniform(1, 5, (count, frames, 32, 64)).astype(np.float16)
            poses = np.broadcast_to(np.eye(4), (count, frames, 4, 4)).copy()
            write_shard(Clips(images, depth, poses), folder / name, "a")

    return write


def _map(value: float) -> np.ndarray:
    return np.full((2, 2), value, np.float32)


@dataclass
class FakeEngines:
    """Slow, fast and single engine in one. A frame's number is its image's value.

    Their numbers tell which frames and which memory an estimate was made from.
    """

    sleep_s: float = 0.0
    ran: list[tuple[str, int]] = field(default_factory=list)

    def _number(self, path: str, image: np.ndarray) -> int:
        time.sleep(self.sleep_s)
        self.ran.append((path, int(image[0, 0, 0])))
        return int(image[0, 0, 0])

    @property
    def slow(self) -> FakeSlow:
        return FakeSlow(self)

    @property
    def fast(self) -> FakeFast:
        return FakeFast(self)

    @property
    def single(self) -> FakeSingle:
        return FakeSingle(self)


@dataclass
class FakeSlow:
    engines: FakeEngines

    def run(self, image):
        return _map(self.engines._number("slow", image) + 0.5)

    def memory(self, image):
        return 10.0 * self.engines._number("slow", image)

    def depth_and_memory(self, image):
        memory = self.memory(image)
        return _map(memory / 10 + 0.5), memory


@dataclass
class FakeFast:
    """State: (memory, number of the previous frame). Each run mixes both into the memory that it writes."""

    engines: FakeEngines

    def run(self, image, state):
        number = self.engines._number("fast", image)
        memory, previous = state
        fused = 0.5 * memory + 0.25 * previous + number
        return _map(fused), (fused, number), _map(0.5)

    def remember(self, image, state):
        return self.run(image, state)[1]

    def refreshed(self, state, memory):
        return (memory, -1 if state is None else state[1])

    def turned(self, state, rotation, camera):
        return state

    def turned_memory(self, memory, rotation, camera):
        return memory


@dataclass
class FakeSingle:
    engines: FakeEngines

    def run(self, image):
        return _map(self.engines._number("single", image))


@pytest.fixture
def make_engines():
    return FakeEngines
