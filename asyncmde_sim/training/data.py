"""Batches of augmented clips, drawn on the training device from the shards of a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from asyncmde_sim.depth.images import normalise
from asyncmde_sim.training.clips import read_shard, shard_names

UPDATE_EVERY_S = 5.0
"""Time between two looks for new shards."""
POLL_S = 1.0


@dataclass(frozen=True)
class Batch:
    """Clips on the training device.

    Args:
        images: (B, T, 3, H, W), normalised.
        depth: (B, T, H, W) metres.
        valid: Its mask.
        rotations: (B, T, 3, 3), from the camera to the world.
    """

    images: Tensor
    depth: Tensor
    valid: Tensor
    rotations: Tensor

    def frames(self, chosen: Sequence[int]) -> Batch:
        """Some of the frames of each clip."""
        return Batch(*(x[:, chosen] for x in self._tensors))

    def part(self, count: int) -> Batch:
        """The first ``count`` clips."""
        return Batch(*(x[:count] for x in self._tensors))

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return self.images, self.depth, self.valid, self.rotations


class ClipPool:
    """The clips of a folder, on the training device; shards that are written meanwhile join in.

    On the CPU the shards stay on disk, memory-mapped. All frames of a folder have one size and length.

    Args:
        folder: Where the shards are.
        device: Where the batches are wanted.
        wait_for: Number of shards to wait for while another process renders them.

    Raises:
        FileNotFoundError: The folder has no shard and none is waited for.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu", wait_for: int = 0) -> None:
        self.folder, self.device = folder, torch.device(device)
        self._names: set[str] = set()
        self._clips: list[tuple[Tensor, Tensor, Tensor]] = []
        self._wait_for(wait_for)
        self.update()
        if not self._clips:
            raise FileNotFoundError(f"{folder} holds no clips: render some first")

    def __len__(self) -> int:
        return len(self._clips)

    def _wait_for(self, wanted: int) -> None:
        shown = None
        while (there := len(shard_names(self.folder))) < wanted:
            if there != shown:
                print(f"waiting for {self.folder}: {there} of {wanted} shards are rendered", flush=True)
                shown = there
            time.sleep(POLL_S)

    def update(self) -> None:
        """Take in the shards that are new."""
        self._updated = time.monotonic()
        for name in shard_names(self.folder):
            if name in self._names:
                continue
            clips = read_shard(self.folder, name)
            images = torch.from_numpy(clips.images).to(self.device)
            depth = torch.from_numpy(clips.depth).to(self.device)
            rotations = torch.from_numpy(clips.poses[..., :3, :3].astype(np.float32)).to(self.device)
            self._clips += zip(images, depth, rotations, strict=True)
            self._names.add(name)

    def draw(self, batch: int, rng: torch.Generator, shrink: int = 1, max_depth_m: float = 20.0) -> Batch:
        """A random batch, the same for the same ``rng`` on a folder that does not grow.

        Args:
            batch: Clips a batch.
            rng: Draws the clips and their augmentation.
            shrink: Factor by which images and depth are made smaller.
            max_depth_m: Depth beyond it is not valid.
        """
        if time.monotonic() - self._updated > UPDATE_EVERY_S:
            self.update()
        chosen = torch.randint(len(self._clips), (batch,), generator=rng).tolist()
        images, depth, rotations = (
            torch.stack(kind) for kind in zip(*(self._clips[i] for i in chosen), strict=True)
        )
        return _collate(images, depth, rotations, rng, shrink, max_depth_m)


def _collate(
    images: Tensor, depth: Tensor, rotations: Tensor, rng: torch.Generator, shrink: int, max_depth_m: float
) -> Batch:
    clips, frames = depth.shape[:2]
    flat = normalise(_recoloured(images, rng).flatten(0, 1))
    depth = depth.float()
    if shrink > 1:
        flat = avg_pool2d(flat, shrink)
        depth = depth[..., shrink // 2 :: shrink, shrink // 2 :: shrink]
    images = flat.unflatten(0, (clips, frames))
    mirrored = (torch.rand(clips, generator=rng) < 0.5).to(depth.device)
    images = torch.where(mirrored[:, None, None, None, None], images.flip(-1), images)
    depth = torch.where(mirrored[:, None, None, None], depth.flip(-1), depth)
    mirror = torch.where(mirrored[:, None, None, None], rotations.new_tensor([-1, 1, 1]), 1)
    return Batch(images, depth, (depth > 1e-3) & (depth < max_depth_m), rotations * mirror)


def _recoloured(images: Tensor, rng: torch.Generator) -> Tensor:
    """Clips (B, T, H, W, 3) as float grey levels, each with a random colour cast, contrast and brightness."""
    each = (len(images), 1, 1, 1, 1)
    cast = 0.08 * torch.randn((*each[:4], 3), generator=rng)
    gain = cast + 0.12 * torch.randn(each, generator=rng)
    offset = 6.0 * torch.randn(each, generator=rng)
    return (images * gain.exp().to(images.device) + offset.to(images.device)).clamp(0, 255)
