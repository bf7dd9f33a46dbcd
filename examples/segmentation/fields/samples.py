"""The samples: `dataset.factory`."""

import numpy as np

from fields.drawing import draw_land


def prepare(picture):
    """Return a picture (3, H, W) of about -1 to 1, as in training."""
    return picture.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1


class Pictures:
    """Pictures drawn when they are asked for; `seed` and `count` are the split's own."""

    def __init__(self, split, seed, count):
        self.seed, self.count = seed, count

    def __len__(self):
        return self.count

    def __getitem__(self, place):
        picture, classes = draw_land(np.random.default_rng([self.seed, place]))
        return {"picture": prepare(picture)}, classes
