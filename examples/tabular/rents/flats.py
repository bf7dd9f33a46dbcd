"""Flats drawn from a formula: its noise is the error that no model can go below."""

import numpy as np

DISTRICT_EUROS = (0, 150, 320, -80, 40, 210)
HEATING_EUROS = (0, 30, -25)
NOISE_EUROS = 40.0


def draw_flats(random, count):
    """Return numbers (count, 3), categories (count, 2) and rents in euros (count,)."""
    area, age, floor = random.uniform((25, 0, 0), (120, 80, 6), (count, 3)).T
    district, heating = random.integers((6, 3), size=(count, 2)).T
    rent = 200 + 11 * area - 3 * np.minimum(age, 40) + 15 * floor
    rent += np.take(DISTRICT_EUROS, district) * area / 60 + np.take(HEATING_EUROS, heating)
    rent += random.normal(0, NOISE_EUROS, count)
    return np.stack([area, age, floor], 1), np.stack([district, heating], 1), rent
