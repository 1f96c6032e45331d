"""The spatial memory: projected features, two change gates, and the state that joins both paths.

Source: AsyncMDE (arXiv 2603.10438), SpatialMemoryUnit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from asyncmde_sim.depth.decoder import FEATURE_CHANNELS, LEVELS
from asyncmde_sim.depth.turning import Turn

TRUST_SHARPNESS = 4.0
"""k of the paper: how sharply the level-4 gate chooses between the two gates."""
TRUST_SMOOTHING = 0.5
"""beta of the paper: weight of the present trust map against the smoothed past one."""


@dataclass(frozen=True)
class MemoryState:
    """All that the fast path carries from frame to frame.

    Args:
        memory: Four maps (B, 128, h, w), finest first.
        trust: The smoothed trust map T' (B, 1, h, w) of level 1, or None before the first frame. The
            maps of the coarser levels are resized from it: resizing is linear, so it commutes with the
            smoothing of each level in the paper.
        previous: Projected features of the last frame at levels 1 and 4, or None before the first.
    """

    memory: tuple[Tensor, ...]
    trust: Tensor | None = None
    previous: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        if len(self.memory) != LEVELS:
            raise ValueError(f"the memory has {len(self.memory)} levels, but {LEVELS} are needed")

    def refreshed(self, memory: Sequence[Tensor]) -> MemoryState:
        """This state with its memory overwritten by the slow path's features."""
        return replace(self, memory=tuple(memory))

    def turned(self, turn: Turn) -> MemoryState:
        """This state as the camera sees it after ``turn``; what it did not see before has no past trust."""
        return MemoryState(
            tuple(turn(m) for m in self.memory),
            None if self.trust is None else turn(self.trust) * turn.seen(self.trust),
            None if self.previous is None else (turn(self.previous[0]), turn(self.previous[1])),
        )


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (B, C, h, w) to ``size`` (h, w)."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def _gate(channels: int) -> nn.Sequential:
    """A gate over [previous; current] features, which starts from their difference and without a bias."""
    both, out = nn.Conv2d(2 * channels, 64, 3, padding=1), nn.Conv2d(64, 1, 1)
    with torch.no_grad():
        previous, current = both.weight.split(channels, 1)
        current.copy_(-previous)
        out.get_parameter("bias").zero_()
    return nn.Sequential(both, nn.ReLU(), out)


def combine_gates(trust1: Tensor, trust4: Tensor) -> Tensor:
    """One trust map of both gates': the level-1 gate's where the level-4 gate trusts, else the latter's own.

    Args:
        trust1: Trust of the level-1 gate (B, 1, h, w).
        trust4: Trust of the level-4 gate, at the size of level 1.
    """
    choice = torch.sigmoid(TRUST_SHARPNESS * (trust4 - 0.5))
    return choice * trust1 + (1 - choice) * trust4


class SpatialMemoryUnit(nn.Module):
    """Projects the encoder's features and fuses them with the memory, by how much the view has changed.

    Args:
        encoder_channels: Channels of the encoder's four levels.
        channels: Channels of the memory.
        combine: Makes one trust map of the two gates'; see ``combine_gates``.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int],
        channels: int = FEATURE_CHANNELS,
        combine: Callable[[Tensor, Tensor], Tensor] = combine_gates,
    ) -> None:
        super().__init__()
        self.combine = combine
        self.projector = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in encoder_channels)
        self.gate1 = _gate(channels)
        self.gate4 = _gate(channels)

    def project(
        self, features: Sequence[Tensor], sizes: Sequence[Sequence[int]] | None = None
    ) -> list[Tensor]:
        """Encoder features to 128 channels at the ``sizes`` (h, w) of each level, by default their own."""
        sizes = sizes or [f.shape[-2:] for f in features]
        return [resize(p(f), s) for p, f, s in zip(self.projector, features, sizes, strict=True)]

    def forward(self, features: Sequence[Tensor], state: MemoryState) -> tuple[MemoryState, Tensor]:
        """Fuse one frame's encoder features with the memory.

        Returns:
            The next state, whose ``memory`` is the fused features O, and the present (unsmoothed) trust
            map T (B, 1, h, w) of level 1.
        """
        sizes = [m.shape[-2:] for m in state.memory]
        current = self.project(features, sizes)
        ends = (current[0], current[-1])
        previous = state.previous if state.previous is not None else ends
        trust1 = torch.sigmoid(self.gate1(torch.cat((previous[0], ends[0]), 1)))
        trust4 = torch.sigmoid(self.gate4(torch.cat((previous[1], ends[1]), 1)))
        trust = self.combine(trust1, resize(trust4, sizes[0]))
        smoothed = (
            trust if state.trust is None else TRUST_SMOOTHING * trust + (1 - TRUST_SMOOTHING) * state.trust
        )
        fused = []
        for memory, features_now, size in zip(state.memory, current, sizes, strict=True):
            keep = resize(smoothed, size)
            fused.append(keep * memory + (1 - keep) * features_now)
        return MemoryState(tuple(fused), smoothed, ends), trust
