"""The DPT decoder of Depth Anything: four fusion stages and a head, with transformers' parameter names.

Source: Ranftl et al., "Vision Transformers for Dense Prediction" (arXiv 2103.13413), as configured by
Depth Anything V2 (arXiv 2406.09414). ``neck.fusion_stage`` and ``head`` of a transformers
``DepthAnythingForDepthEstimation`` load as ``fusion_stage`` and ``head``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

FEATURE_CHANNELS = 128
LEVELS = 4

DepthType = Literal["metric", "relative"]


class _ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.convolution2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convolution2(torch.relu(self.convolution1(torch.relu(x))))


class _FusionLayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, channels, 1)
        self.residual_layer1 = _ResidualUnit(channels)
        self.residual_layer2 = _ResidualUnit(channels)

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        if skip is not None:
            x = x + self.residual_layer1(skip)
        x = interpolate(self.residual_layer2(x), size=size, mode="bilinear", align_corners=True)
        return self.projection(x)


class _FusionStage(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_FusionLayer(channels) for _ in range(LEVELS))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        coarse_first = features[::-1]
        height, width = coarse_first[-1].shape[-2:]
        sizes = [tuple(f.shape[-2:]) for f in coarse_first[1:]] + [(2 * height, 2 * width)]
        x = self.layers[0](coarse_first[0], None, sizes[0])
        for layer, skip, size in zip(self.layers[1:], coarse_first[1:], sizes[1:], strict=True):
            x = layer(x, skip, size)
        return x


class _Logits(nn.Conv2d):
    """A convolution in full precision also under autocast: bfloat16 logits round depth by a percent."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class _Head(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, hidden, 3, padding=1)
        self.conv3 = _Logits(hidden, 1, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = interpolate(self.conv1(x), size, mode="bilinear", align_corners=True)
        return self.conv3(torch.relu(self.conv2(x)))[:, 0]


class DPTDecoder(nn.Module):
    """Four feature maps (B, C, h, w), finest first, to a map (B, H, W).

    Args:
        depth_type: ``metric`` gives depth in metres (sigmoid times ``max_depth_m``); ``relative`` gives
            inverse depth up to an unknown scale and shift (ReLU).
        max_depth_m: The largest metric depth.
        channels: Channels of the feature maps.
        head_hidden: Channels before the last convolution.
    """

    def __init__(
        self,
        depth_type: DepthType = "metric",
        max_depth_m: float = 20.0,
        channels: int = FEATURE_CHANNELS,
        head_hidden: int = 32,
    ) -> None:
        super().__init__()
        if depth_type not in ("metric", "relative"):
            raise ValueError(f"depth_type is {depth_type!r}, but it must be 'metric' or 'relative'")
        self.depth_type = depth_type
        self.max_depth_m = max_depth_m
        self.fusion_stage = _FusionStage(channels)
        self.head = _Head(channels, head_hidden)

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Decode four feature maps to a map (B, H, W) of ``size`` (H, W)."""
        x = self.head(self.fusion_stage(features), size)
        return self.max_depth_m * torch.sigmoid(x) if self.depth_type == "metric" else torch.relu(x)
