"""Pictures of a belt with one to four parts: washers (rings), nuts (squares), bolts (crosses)."""

import numpy as np

KINDS = ("washer", "nut", "bolt")
SIZE = 64


def draw_belt(random):
    """Return a picture (3, 64, 64) of uint8, and its parts' boxes x1 y1 x2 y2 and classes."""
    picture = np.full((SIZE, SIZE, 3), random.integers(0, 90, size=3), np.float64)
    boxes, kinds = [], []
    for _ in range(random.integers(1, 5)):
        radius = random.uniform(6, 11)
        x, y = random.uniform(radius, SIZE - radius, size=2)
        if any(np.hypot(x - (a + c) / 2, y - (b + d) / 2) < 16 for a, b, c, d in boxes):
            continue
        kind = int(random.integers(len(KINDS)))
        picture[_mask(kind, x, y, radius)] = random.integers(130, 256, size=3)
        boxes.append([x - radius, y - radius, x + radius, y + radius])
        kinds.append(kind)
    picture += random.normal(0, 20, picture.shape)
    return picture.clip(0, 255).astype(np.uint8).transpose(2, 0, 1), boxes, kinds


def _mask(kind, x, y, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    right, down = abs(columns - x) / radius, abs(rows - y) / radius
    distance, largest = np.hypot(right, down), np.maximum(right, down)
    return (
        (distance < 1) & (distance > 0.45),
        largest < 1,
        (np.minimum(right, down) < 0.35) & (largest < 1),
    )[kind]
