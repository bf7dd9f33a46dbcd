"""The PyTorch twin of the tiny ONNX model in tests/fakes.py; a module of its own for workers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.block = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.fc = nn.Linear(8, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        first = torch.relu(self.stem(images))
        result: Tensor = self.fc((self.block(first) + first).mean(dim=(2, 3)))
        return result


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.second(self.first(values))
        return result


class Divide(nn.Module):
    """Two inputs whose order is not the alphabet's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, over: Tensor, below: Tensor) -> Tensor:
        return self.scale * over / below


def make_tiny(classes: int = 5) -> nn.Module:
    return Tiny(classes)


def make_tied() -> nn.Module:
    return Tied()
