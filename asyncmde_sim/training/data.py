"""Batches of augmented clips, drawn from shards in a background thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from asyncmde_sim.depth.images import normalise
from asyncmde_sim.training.clips import Clips, read_shards

PREFETCH = 4


@dataclass(frozen=True)
class Batch:
    """``images`` (B, T, 3, H, W) normalised, ``depth`` (B, T, H, W) metres, ``valid`` its mask."""

    images: Tensor
    depth: Tensor
    valid: Tensor


def batches(
    folder: Path, batch: int, steps: int, seed: int, shrink: int = 1, max_depth_m: float = 20.0
) -> Iterator[Batch]:
    """``steps`` random batches of a folder's clips, whose frames all have one length.

    Args:
        folder: Where the shards are.
        batch: Clips a batch.
        steps: Number of batches.
        seed: Seed of the draw and the augmentation.
        shrink: Factor by which images and depth are made smaller.
        max_depth_m: Depth beyond it is not valid.
    """
    shards = list(read_shards(folder))
    index = [(shard, clip) for shard, clips in enumerate(shards) for clip in range(len(clips.images))]
    ready: queue.Queue[Batch] = queue.Queue(PREFETCH)

    def produce() -> None:
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            chosen = [index[i] for i in rng.integers(0, len(index), batch)]
            ready.put(_collate(shards, chosen, rng, shrink, max_depth_m))

    threading.Thread(target=produce, daemon=True).start()
    for _ in range(steps):
        yield ready.get()


def _collate(
    shards: list[Clips],
    chosen: list[tuple[int, int]],
    rng: np.random.Generator,
    shrink: int,
    max_depth_m: float,
) -> Batch:
    pairs = [_augmented(shards[s].images[c], shards[s].depth[c], rng) for s, c in chosen]
    images = torch.from_numpy(np.stack([p[0] for p in pairs]))
    depth = torch.from_numpy(np.stack([p[1] for p in pairs])).float()
    clips, frames = depth.shape[:2]
    flat = normalise(images.flatten(0, 1))
    if shrink > 1:
        flat = avg_pool2d(flat, shrink)
        depth = depth[..., shrink // 2 :: shrink, shrink // 2 :: shrink]
    valid = (depth > 1e-3) & (depth < max_depth_m)
    return Batch(flat.unflatten(0, (clips, frames)), depth, valid)


def _augmented(
    images: NDArray[np.uint8], depth: NDArray[np.float16], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """One clip, mirrored half of the time, with a random colour cast, contrast and brightness."""
    gain = np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.12)).astype(np.float32)
    levels = np.arange(256, dtype=np.float32)[:, None] * gain + rng.normal(0, 6)
    table = np.clip(levels, 0, 255).astype(np.uint8)
    images = np.stack([table[images[..., c], c] for c in range(3)], axis=-1)
    if rng.random() < 0.5:
        images, depth = images[..., ::-1, :], depth[..., ::-1]
    return np.ascontiguousarray(images), np.ascontiguousarray(depth)
