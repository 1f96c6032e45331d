"""Slow paths: what refreshes the memory.

``ConvSlowPath`` is our own, trained from scratch on generated scenes; it stands in for the foundation
model. ``DepthAnythingSlowPath`` wraps any transformers Depth Anything model.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

from torch import Tensor, nn

from asyncmde_sim.depth.decoder import FEATURE_CHANNELS, LEVELS, DPTDecoder
from asyncmde_sim.depth.memory import resize

BACKBONE_CHANNELS = (32, 64, 128, 256)
"""Channels at strides 4, 8, 16 and 32."""
BACKBONE_DEPTHS = (2, 2, 3, 2)
CONTEXT_CHANNELS = 512
"""Channels at stride 64, where most of the parameters lie: room and scale at little cost."""
CONTEXT_DEPTH = 8
CONTEXT_EXPANSION = 4


class SlowPath(Protocol):
    """A model whose neck gives the memory and whose decoder turns it into depth."""

    decoder: DPTDecoder

    def features(self, images: Tensor) -> list[Tensor]:
        """Four feature maps (B, 128, h, w), finest first, of normalised images (B, 3, H, W)."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """The decoder's map (B, H, W)."""
        ...


class _BasicBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.skip = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.skip(x))


class _MixingBlock(nn.Module):
    """A depthwise convolution and a two-layer perceptron at every cell, as in ConvNeXt, with batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = CONTEXT_EXPANSION * channels
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _stage(c_in: int, c_out: int, depth: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(c_in, c_out, stride)
    return nn.Sequential(first, *(_BasicBlock(c_out, c_out, 1) for _ in range(depth - 1)))


class ConvSlowPath(nn.Module):
    """Our own slow path: a 22 M parameter residual backbone under Depth Anything's neck and decoder."""

    def __init__(self, max_depth_m: float = 20.0) -> None:
        super().__init__()
        stem = BACKBONE_CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem // 2, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(stem // 2, stem, 3, 2, 1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        widths = (stem, *BACKBONE_CHANNELS)
        self.stages = nn.ModuleList(
            _stage(c_in, c_out, depth, stride=1 if level == 0 else 2)
            for level, ((c_in, c_out), depth) in enumerate(
                zip(pairwise(widths), BACKBONE_DEPTHS, strict=True)
            )
        )
        deepest = BACKBONE_CHANNELS[-1]
        self.context = nn.Sequential(
            nn.Conv2d(deepest, CONTEXT_CHANNELS, 2, 2, bias=False, padding=1),
            nn.BatchNorm2d(CONTEXT_CHANNELS),
            *(_MixingBlock(CONTEXT_CHANNELS) for _ in range(CONTEXT_DEPTH)),
            nn.Conv2d(CONTEXT_CHANNELS, deepest, 1),
        )
        self.neck = nn.ModuleList(
            nn.Conv2d(c, FEATURE_CHANNELS, 3, padding=1, bias=False) for c in BACKBONE_CHANNELS
        )
        self.decoder = DPTDecoder("metric", max_depth_m)

    def features(self, images: Tensor) -> list[Tensor]:
        """See :class:`SlowPath`; strides 4, 8, 16, 32."""
        return [conv(level) for conv, level in zip(self.neck, self.levels(images), strict=True)]

    def levels(self, images: Tensor) -> list[Tensor]:
        """The backbone's four feature maps, which the neck takes; strides 4, 8, 16, 32."""
        x = self.stem(images)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        levels[-1] = levels[-1] + resize(self.context(levels[-1]), levels[-1].shape[-2:])
        return levels

    def forward(self, images: Tensor) -> Tensor:
        """See :class:`SlowPath`."""
        return self.decoder(self.features(images), tuple(images.shape[-2:]))


class DepthAnythingSlowPath(nn.Module):
    """A transformers ``DepthAnythingForDepthEstimation`` as a slow path.

    Args:
        model: The model; images must be multiples of its patch size.

    Raises:
        ValueError: The model's neck does not give four maps of 128 channels.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        levels, channels = len(config.neck_hidden_sizes), config.fusion_hidden_size
        if levels != LEVELS or channels != FEATURE_CHANNELS:
            raise ValueError(
                f"this Depth Anything model gives {levels} feature maps of {channels} channels, but the "
                f"memory holds {LEVELS} of {FEATURE_CHANNELS}: use a ViT-B model"
            )
        self.patch_size = config.patch_size
        self.backbone = model.backbone
        self.reassemble_stage = model.neck.reassemble_stage
        self.convs = model.neck.convs
        max_depth = config.max_depth or 1
        self.decoder = DPTDecoder(
            config.depth_estimation_type, float(max_depth), channels, config.head_hidden_size
        )
        self.decoder.fusion_stage.load_state_dict(model.neck.fusion_stage.state_dict())
        self.decoder.head.load_state_dict(model.head.state_dict())

    def features(self, images: Tensor) -> list[Tensor]:
        """See :class:`SlowPath`; strides 3.5, 7, 14, 28.

        Raises:
            ValueError: The image size is no multiple of the patch size.
        """
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"the image is {height}x{width}, but this model needs multiples of {self.patch_size} px"
            )
        grid = (height // self.patch_size, width // self.patch_size)
        maps = self.reassemble_stage(self.backbone(images).feature_maps, *grid)
        return [conv(m) for conv, m in zip(self.convs, maps, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """See :class:`SlowPath`."""
        return self.decoder(self.features(images), tuple(images.shape[-2:]))
