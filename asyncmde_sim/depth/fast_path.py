"""The fast path, run on every frame: MobileNetV3-Small encoder, spatial memory, DPT decoder.

Source: AsyncMDE (arXiv 2603.10438); 3.83 M parameters (0.93 M + 0.38 M + 2.52 M).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asyncmde_sim.depth.decoder import FEATURE_CHANNELS, DepthType, DPTDecoder
from asyncmde_sim.depth.memory import MemoryState, SpatialMemoryUnit
from asyncmde_sim.depth.mobilenet import ENCODER_CHANNELS, MobileNetV3Small


class FastPath(nn.Module):
    """Image and memory state in, depth and memory state out; the module itself remembers nothing."""

    def __init__(self, depth_type: DepthType = "metric", max_depth_m: float = 20.0) -> None:
        super().__init__()
        self.encoder = MobileNetV3Small()
        self.smu = SpatialMemoryUnit(ENCODER_CHANNELS)
        self.decoder = DPTDecoder(depth_type, max_depth_m)

    def forward(self, images: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState, Tensor]:
        """One frame.

        Args:
            images: Normalised, (B, 3, H, W).
            state: The memory, refreshed by the slow path at least once.

        Returns:
            The decoder's map (B, H, W), the next state and the trust map T (B, 1, h, w).
        """
        state, trust = self.fuse(images, state)
        return self.decoder(state.memory, tuple(images.shape[-2:])), state, trust

    def fuse(self, images: Tensor, state: MemoryState) -> tuple[MemoryState, Tensor]:
        """The fast path without its decoder: the next state and the trust map."""
        return self.smu(self.encoder(images), state)


class FastPathWithoutMemory(nn.Module):
    """The control: the fast path's encoder, projector and decoder, frame by frame."""

    def __init__(self, depth_type: DepthType = "metric", max_depth_m: float = 20.0) -> None:
        super().__init__()
        self.encoder = MobileNetV3Small()
        self.projector = nn.ModuleList(nn.Conv2d(c, FEATURE_CHANNELS, 1) for c in ENCODER_CHANNELS)
        self.decoder = DPTDecoder(depth_type, max_depth_m)

    def features(self, images: Tensor) -> list[Tensor]:
        """Projected features (B, 128, h, w) at strides 4, 8, 16 and 32."""
        return [p(f) for p, f in zip(self.projector, self.encoder(images), strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) to the decoder's map (B, H, W)."""
        return self.decoder(self.features(images), tuple(images.shape[-2:]))


def count_parameters(modules: nn.Module | Sequence[nn.Module]) -> int:
    """The number of parameters of a module or of several."""
    group = [modules] if isinstance(modules, nn.Module) else modules
    return sum(p.numel() for m in group for p in m.parameters())


def initialise_decoder(decoder: DPTDecoder, teacher: DPTDecoder) -> None:
    """Copy the slow path's decoder into the fast path's, as the paper does before training."""
    with torch.no_grad():
        decoder.load_state_dict(teacher.state_dict())
