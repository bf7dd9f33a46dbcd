"""Pictures from above: grass, two ploughed fields, a lake and a road, told apart by texture."""

import numpy as np

KINDS = ("grass", "field", "lake", "road")
COLOURS = np.array([[70, 120, 60], [110, 100, 60], [60, 90, 110], [120, 120, 110]])


def draw_land(random, height=48, width=64):
    """Return a picture (height, width, 3) of uint8 and its classes (height, width) of uint8."""
    rows, columns = np.mgrid[:height, :width]
    classes = np.zeros((height, width), np.uint8)
    furrows = np.zeros((height, width))
    for _ in range(2):
        top, left = random.integers(height - 16), random.integers(width - 16)
        field = (slice(top, top + random.integers(12, 28)), slice(left, left + 20))
        classes[field] = 1
        furrows[field] = (25 * np.sign(np.sin(2 * rows + random.uniform(0, 6))))[field]
    y, x = random.integers(height), random.integers(width)
    lake = ((rows - y) / random.uniform(7, 12)) ** 2 + ((columns - x) / random.uniform(7, 16)) ** 2
    classes[lake < 1] = 2
    slope, start = random.uniform(-0.6, 0.6), random.uniform(12, height - 12)
    classes[abs(rows - start - slope * (columns - width / 2)) < 2.5] = 3
    light = COLOURS[classes] + np.where(classes == 1, furrows, 0)[..., None]
    picture = light * random.uniform(0.7, 1.3) + random.normal(0, 20, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8), classes
