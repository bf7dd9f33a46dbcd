"""What int8 keeps of a tensor's values at the scale that a calibration gave it, from histograms.

The error is that of rounding to a uniform grid: below half a step the value itself, elsewhere a
twelfth of the squared step on average, and beyond the range what is cut off. (Rounding the middles
of the bins instead would count how they happen to lie to the grid.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trtproof.calibration.histogram import Statistics
from trtproof.precision.grids import INT8

CANDIDATES: Final = np.geomspace(2.0**-6, 1.0, 49)
"""Ranges that are tried for the best, as shares of the largest magnitude: eight per octave."""

CEILING_DB: Final = 10 * np.log10(12 * INT8.largest**2)
"""53 dB, of values that all lie at the end of the range: int8 promises no more."""

FLOOR_DB: Final = 0.0
"""Nothing of the signal is left: a range that is far too large, or far too small, is no worse."""


@dataclass(frozen=True)
class Regret:
    """Signal to quantisation noise (dB) of a tensor's values at three scales.

    `best_db` at the best one, `own_db` at that of the values' own largest, which no calibration by
    maximum can be expected to beat by much, `calibrated_db` at the calibration's.
    """

    best_db: float
    own_db: float
    calibrated_db: float

    @property
    def regret_db(self) -> float:
        """Return what the calibrated scale loses against the best one."""
        return self.best_db - self.calibrated_db

    @property
    def set_loss_db(self) -> float:
        """Return the part of it that other samples, instead of another method, would bring back.

        Below 0 where the calibration's range suits the values better than their own largest.
        """
        return self.own_db - self.calibrated_db


def leave_out_beyond(values: Statistics, largest: float) -> Statistics:
    """Return the values without those whose bin lies beyond a magnitude."""
    kept = values.magnitudes[0] <= largest
    lowest, highest = (
        float(np.clip(end, -largest, largest)) for end in (values.lowest, values.highest)
    )
    return Statistics(lowest, highest, values.bins[kept], values.counts[kept])


def measure_regret(values: Statistics, calibrated_largest: float) -> Regret:
    """Return how well int8 keeps these values at a calibrated range.

    A calibrated range of 0 keeps nothing; where all values are 0 there is nothing to lose.
    """
    if values.largest == 0:
        return Regret(CEILING_DB, CEILING_DB, CEILING_DB)
    ends = np.append(CANDIDATES * values.largest, [values.largest, calibrated_largest])
    kept = [_kept_db(values, float(end)) for end in ends]
    return Regret(best_db=max(kept), own_db=kept[-2], calibrated_db=kept[-1])


def expected_loss_db(tensors: Sequence[Regret]) -> float:
    """Return what a model loses, over all its quantised tensors, by the calibration set.

    The noise of its tensors adds up at its outputs (measured: the sum predicts a model's
    signal-to-noise ratio within 0.6 dB), so that the worst tensor decides and not the mean in dB.
    """
    calibrated, own = (
        float(np.mean([10 ** (-kept_db / 10) for kept_db in column]))
        for column in (
            [item.calibrated_db for item in tensors],
            [item.own_db for item in tensors],
        )
    )
    return float(10 * np.log10(calibrated / own))


def _kept_db(values: Statistics, end: float) -> float:
    """Return the signal-to-noise ratio of values whose range is taken to end there."""
    if end <= 0:
        return FLOOR_DB
    magnitudes, counts = _middles(values), values.counts
    step = end / INT8.largest
    errors = np.where(magnitudes < step / 2, np.square(magnitudes), step**2 / 12)
    errors = np.where(magnitudes > end, np.square(magnitudes - end) + step**2 / 12, errors)
    noise, signal = float(np.sum(counts * errors)), float(np.sum(counts * np.square(magnitudes)))
    ratio_db = 10 * np.log10(signal / noise) if noise else CEILING_DB
    return float(np.clip(ratio_db, FLOOR_DB, CEILING_DB))


def saturated_share(values: Statistics, calibrated_largest: float) -> float:
    """Return the share of values that the calibrated range cuts by more than rounding errs.

    That is by more than half a step: values just beyond the range lose nothing.
    """
    end = calibrated_largest * (1 + 0.5 / INT8.largest)
    return float(values.counts[values.magnitudes[0] > end].sum()) / max(1, values.values_count)


def _middles(values: Statistics) -> NDArray[np.float64]:
    lower, upper = values.magnitudes
    middles = np.minimum((lower + upper) / 2, values.largest)
    return np.where(values.bins == 0, 0.0, middles)
