"""The model, `model.factory`, and an example of its two inputs, `model.inputs`."""

import numpy as np
import torch
from torch import nn


class RentModel(nn.Module):
    """Embed the categories, put them beside the numbers, and predict euros."""

    def __init__(self, districts, heatings):
        super().__init__()
        self.district = nn.Embedding(districts, 4)
        self.heating = nn.Embedding(heatings, 2)
        self.layers = nn.Sequential(
            nn.Linear(3 + 4 + 2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, numbers, categories):
        """Return euros, (batch, 1)."""
        embedded = [self.district(categories[:, 0]), self.heating(categories[:, 1])]
        return 1000 + 300 * self.layers(torch.cat([numbers, *embedded], dim=1))


def make_inputs():
    """Return one example; an array alone has the dynamic axis `batch` first."""
    return {"numbers": np.zeros((1, 3), np.float32), "categories": np.zeros((1, 2), np.int64)}
