"""Signs: a circle, a square, a triangle or a cross, of any colour, size and place, in noise."""

import numpy as np

KINDS = ("circle", "square", "triangle", "cross")
SIZE = 32


def draw_sign(random):
    """Return an image (32, 32, 3) of uint8 and its class."""
    kind = int(random.integers(len(KINDS)))
    radius = random.uniform(7, 12)
    x, y = random.uniform(radius, SIZE - radius, size=2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    right, down = (columns - x) / radius, (rows - y) / radius
    inside = (
        right**2 + down**2 < 1,
        np.maximum(abs(right), abs(down)) < 0.85,
        (abs(right) < (down + 1) / 2) & (down < 1),
        (np.minimum(abs(right), abs(down)) < 0.3) & (np.maximum(abs(right), abs(down)) < 1),
    )[kind]
    ground, colour = random.integers(0, 100, size=3), random.integers(120, 256, size=3)
    image = np.where(inside[..., None], colour, ground) + random.normal(0, 40, (SIZE, SIZE, 3))
    return image.clip(0, 255).astype(np.uint8), kind
