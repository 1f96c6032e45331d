"""MobileNetV3-Small as a four-level feature encoder, with torchvision's parameter names.

Source: Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244), table 2. A state dict of
``torchvision.models.mobilenet_v3_small`` loads with :func:`load_torchvision_weights`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

ENCODER_CHANNELS = (16, 24, 48, 576)
"""Channels at strides 4, 8, 16 and 32."""

# kernel, expanded channels, output channels, squeeze-and-excitation, hard-swish, stride
_BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
_TAPS = (1, 3, 8, 12)


def _make_divisible(value: float, divisor: int = 8) -> int:
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _conv_norm(
    c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out, eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([activation] if activation else []))


class _SqueezeExcitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _make_divisible(channels // 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.fc2(scale))


class _InvertedResidual(nn.Module):
    def __init__(
        self, c_in: int, kernel: int, expanded: int, c_out: int, excite: bool, hard_swish: bool, stride: int
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and c_in == c_out
        activation = nn.Hardswish if hard_swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != c_in:
            layers.append(_conv_norm(c_in, expanded, 1, activation=activation()))
        layers.append(_conv_norm(expanded, expanded, kernel, stride, expanded, activation()))
        if excite:
            layers.append(_SqueezeExcitation(expanded))
        layers.append(_conv_norm(expanded, c_out, 1))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.skip else self.block(x)


class MobileNetV3Small(nn.Module):
    """The encoder of the fast path: normalised images (B, 3, H, W) to four feature maps, finest first."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv_norm(3, 16, 3, 2, activation=nn.Hardswish())]
        channels = 16
        for kernel, expanded, c_out, excite, hard_swish, stride in _BLOCKS:
            layers.append(_InvertedResidual(channels, kernel, expanded, c_out, excite, hard_swish, stride))
            channels = c_out
        layers.append(_conv_norm(channels, ENCODER_CHANNELS[-1], 1, activation=nn.Hardswish()))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of 16, 24, 48 and 576 channels at strides 4, 8, 16 and 32."""
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                taps.append(x)
        return taps


def load_torchvision_weights(encoder: MobileNetV3Small, state: Mapping[str, Tensor]) -> None:
    """Load a ``torchvision.models.mobilenet_v3_small`` state dict; its classifier is left out.

    Raises:
        RuntimeError: The state dict is not that of a MobileNetV3-Small.
    """
    encoder.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier.")})
