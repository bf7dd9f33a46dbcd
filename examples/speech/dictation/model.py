"""The model, `model.factory`, and an example of its input, `model.inputs`."""

import numpy as np
from torch import nn

BANDS = 80


class Recogniser(nn.Module):
    """Give scores of the symbols for every second frame, (batch, frames / 2, symbols)."""

    def __init__(self, symbols, width):
        super().__init__()
        self.hear = nn.Conv1d(BANDS, width, 5, stride=2, padding=2)
        self.join = nn.Conv1d(width, width, 5, padding=2)
        self.name = nn.Conv1d(width, symbols, 1)

    def forward(self, features):
        """Return scores, unnormalised."""
        heard = self.hear(features.transpose(1, 2)).relu()
        return self.name(self.join(heard).relu()).transpose(1, 2)


def make_inputs():
    """Return one example and the names of its dynamic axes."""
    return {"features": (np.zeros((1, 96, BANDS), np.float32), ("batch", "frames"))}
