"""The samples: `dataset.factory`."""

import numpy as np

from signs.drawing import draw_sign


def prepare(image):
    """Return pixel values (3, 32, 32) of about -1 to 1, as in training."""
    return image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1


def make_samples(split, seed, count):
    """Return pairs of inputs by name and label; `seed` and `count` are the split's own."""
    random = np.random.default_rng(seed)
    drawn = [draw_sign(random) for _ in range(count)]
    return [({"pixel_values": prepare(image)}, kind) for image, kind in drawn]
