"""The network: one box and one score per class for each of 8 x 8 cells; without NMS."""

import torch
from torch import nn

STRIDE, CELLS = 8, 8


class Detector(nn.Module):
    """Take pictures as uint8 and return boxes (N, 64, 4) in pixels and logits (N, 64, 3)."""

    def __init__(self, classes):
        super().__init__()
        widths = (3, 12, 24, 32)
        layers = [_block(widths[i], widths[i + 1], stride=2) for i in range(3)]
        self.body = nn.Sequential(*layers, _block(32, 32, stride=1), _block(32, 32, stride=1))
        self.head = nn.Conv2d(32, 4 + classes, 1)
        middle = (torch.arange(CELLS) + 0.5) * STRIDE
        rows, columns = torch.meshgrid(middle, middle, indexing="ij")
        centres = torch.stack([columns.flatten(), rows.flatten()], dim=1)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, picture):
        """Return what each cell sees, decoded to pixels."""
        features = self.body(picture.float() / 127.5 - 1.0)
        cells = self.head(features).flatten(2).transpose(1, 2)
        centre = self.centres + STRIDE * cells[..., 0:2]
        half = STRIDE * nn.functional.softplus(cells[..., 2:4])
        return {
            "boxes": torch.cat([centre - half, centre + half], dim=2),
            "logits": cells[..., 4:],
        }


def _block(inside, outside, *, stride):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )
