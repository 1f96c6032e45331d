"""Feature maps brought along with a camera that turns: what a gyroscope knows about the image.

A rotation moves every pixel by a homography that needs no depth. Moving the memory by it before the fast path
blends it leaves the gates to judge what has changed in the scene, and not what the camera's turn has shifted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from asyncmde_sim.intrinsics import Intrinsics

OUTSIDE = 2.0
"""Normalised image coordinate, anything beyond 1, of a direction that is behind the camera."""
MIN_FORWARD = 1e-3


@dataclass(frozen=True)
class Turn:
    """A camera's rotation between two images.

    Args:
        rotation: (B, 3, 3), takes a direction in the present camera (x right, y down, z forward) to the same
            direction in the earlier camera.
        camera: The camera of both images.
    """

    rotation: Tensor
    camera: Intrinsics
    _grids: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rotation.shape[1:] != (3, 3):
            raise ValueError(f"rotation has shape {tuple(self.rotation.shape)}, but it must be (B, 3, 3)")

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) of the earlier image as the present camera sees them; edges are repeated."""
        grid = self._grid(maps)
        return grid_sample(maps.float(), grid, padding_mode="border", align_corners=False).to(maps.dtype)

    def seen(self, maps: Tensor) -> Tensor:
        """(B, 1, h, w): 1 where the earlier camera saw what is at a cell of the present maps, else 0."""
        return (self._grid(maps).abs() <= 1).all(-1)[:, None].to(maps.dtype)

    def _grid(self, maps: Tensor) -> Tensor:
        """Where in the earlier image each cell's direction was: (B, h, w, 2), -1 to 1 from edge to edge."""
        height, width = maps.shape[-2:]
        if (height, width) not in self._grids:
            camera = self.camera.resized(width, height)
            x = (torch.arange(width, device=maps.device) - camera.cx) / camera.fx
            y = (torch.arange(height, device=maps.device) - camera.cy) / camera.fy
            flat = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
            directions = torch.cat((flat, torch.ones_like(flat[..., :1])), -1)
            with torch.autocast(maps.device.type, enabled=False):
                right, down, forward = torch.einsum("bij,hwj->ibhw", self.rotation.float(), directions)
            near = forward.clamp(min=MIN_FORWARD)
            column, row = camera.fx * right / near + camera.cx, camera.fy * down / near + camera.cy
            grid = torch.stack(((2 * column + 1) / width - 1, (2 * row + 1) / height - 1), -1)
            self._grids[height, width] = torch.where((forward > MIN_FORWARD)[..., None], grid, OUTSIDE)
        return self._grids[height, width]
