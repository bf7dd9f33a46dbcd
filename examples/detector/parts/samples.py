"""The samples: `dataset.factory`."""

import numpy as np

from parts.drawing import draw_belt


def make_samples(split, seed, count):
    """Yield pairs of inputs by name and label; `seed` and `count` are the split's own."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        picture, boxes, kinds = draw_belt(random)
        yield {"picture": picture}, {"boxes": boxes, "classes": kinds}
