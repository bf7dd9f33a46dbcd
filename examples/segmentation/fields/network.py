"""The network: a small U-Net whose scores have half the picture's height and width."""

import torch
from torch import nn


class Segmenter(nn.Module):
    """Take pictures (N, 3, H, W) and return scores (N, classes, H / 2, W / 2)."""

    def __init__(self, classes):
        super().__init__()
        self.to_half = nn.Sequential(_block(3, 12, stride=2), _block(12, 12, stride=1))
        self.to_quarter = nn.Sequential(_block(12, 24, stride=2), _block(24, 24, stride=1))
        self.to_eighth = nn.Sequential(_block(24, 24, stride=2), _block(24, 24, stride=1))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.join_quarter, self.join_half = _block(48, 24, stride=1), _block(36, 24, stride=1)
        self.head = nn.Conv2d(24, classes, 1)

    def forward(self, picture):
        """Return the scores of every 2 x 2 pixels."""
        half = self.to_half(picture)
        quarter = self.to_quarter(half)
        joined = self.join_quarter(torch.cat([quarter, self.up(self.to_eighth(quarter))], dim=1))
        return self.head(self.join_half(torch.cat([half, self.up(joined)], dim=1)))


def _block(inside, outside, *, stride):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )
