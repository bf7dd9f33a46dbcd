"""A small residual convolution network for 16x16 digits.

Three stages of widths 32, 64 and 128, about 0.70 M parameters. The structure is He et al., "Deep
Residual Learning for Image Recognition", with basic blocks.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

WIDTHS: Final = (32, 64, 128)
BLOCKS_PER_STAGE: Final = 2
CLASSES: Final = 10


class Block(nn.Module):
    """Add two 3x3 convolutions to their input, which a 1x1 convolution fits to a new width."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride=stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (N, outer, H / stride, W / stride)."""
        inner = torch.relu(self.norm1(self.conv1(features)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(features))


class DigitsResNet(nn.Module):
    """Classify digits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.layer1 = _make_stage(WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = _make_stage(WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = _make_stage(WIDTHS[1], WIDTHS[2], stride=2)
        self.head = nn.Linear(WIDTHS[2], CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10) of images (N, 1, 16, 16), float32 in [0, 1]."""
        features: Tensor = self.layer3(self.layer2(self.layer1(self.stem(images))))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def _make_stage(inner: int, outer: int, *, stride: int) -> nn.Sequential:
    first = Block(inner, outer, stride)
    return nn.Sequential(first, *(Block(outer, outer, 1) for _ in range(BLOCKS_PER_STAGE - 1)))


def make_model() -> nn.Module:
    """Return the network with random weights."""
    return DigitsResNet()
