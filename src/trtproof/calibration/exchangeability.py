"""Whether two sets of samples could be two draws of the same thing, seen by a model's activations.

Two questions, both without a parameter to tune. How often does a new sample exceed the largest
value of n calibration samples? Once in n + 1 where samples are exchangeable: each of the n + 1 is
the largest equally often. And do the sizes per sample have one distribution (Kolmogorov-Smirnov;
Benjamini and Hochberg, "Controlling the false discovery rate", 1995)?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from trtproof.calibration.samples import LARGEST, Samples, Sizes

FALSE_ALARM_SHARE: Final = 0.01
"""How often either test raises an alarm on exchangeable samples, at most."""

DIVISIONS: Final = 999
"""Random divisions of all samples that the exceedance is compared with."""

SEED: Final = 0
EXACT_LIMIT: Final = 1_000
"""Samples of the larger set up to which the Kolmogorov-Smirnov test is exact."""


@dataclass(frozen=True)
class Exceedance:
    """How often samples go beyond the largest calibrated value, over all tensors.

    `ratio` is the mean share times (n + 1): 1 is expected of exchangeable samples. `p_value` is the
    share of random divisions of the same samples into sets of these sizes whose ratio is as high:
    it takes into account that the tensors of one model go together.
    """

    shares: Mapping[str, float]
    """Tensor name -> share of samples beyond."""

    expected_share: float
    ratio: float
    p_value: float

    @property
    def mean_share(self) -> float:
        """Return the mean over the tensors."""
        return float(np.mean(list(self.shares.values())))


def measure_exceedance(calibration: Samples, others: Samples) -> Exceedance:
    """Return how often the other samples go beyond the calibration's range.

    Both have at least one sample, and a tensor in common.
    """
    names = shared_tensors(calibration, others)
    first, second = (
        np.stack([item.sizes[name][:, LARGEST] for name in names], axis=1)
        for item in (calibration, others)
    )
    count = len(first)
    together = np.concatenate([first, second])
    ranked = np.argsort(-together, axis=0, kind="stable")
    descending = np.take_along_axis(together, ranked, axis=0)
    # How many samples are strictly larger than the one at each place of the descending order.
    larger = np.maximum.accumulate(
        np.where(
            np.diff(descending, axis=0, prepend=np.inf) != 0, np.arange(len(together))[:, None], 0
        ),
        axis=0,
    )
    chosen = np.arange(len(together)) < count
    beyond = _count_beyond(chosen, ranked, larger)
    generator = np.random.Generator(np.random.PCG64(SEED))
    as_high = sum(
        _count_beyond(generator.permutation(chosen), ranked, larger).sum() >= beyond.sum()
        for _ in range(DIVISIONS)
    )
    shares = beyond / len(second)
    return Exceedance(
        shares=dict(zip(names, shares.tolist(), strict=True)),
        expected_share=1 / (count + 1),
        ratio=float(shares.mean() * (count + 1)),
        p_value=(1 + int(as_high)) / (DIVISIONS + 1),
    )


def _count_beyond(
    chosen: NDArray[np.bool_], ranked: NDArray[np.int64], larger: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, for each tensor, how many samples are larger than all the chosen ones."""
    place = np.argmax(chosen[ranked], axis=0)
    found: NDArray[np.int64] = np.take_along_axis(larger, place[np.newaxis], axis=0)[0]
    return found


def find_differing(calibration: Samples, others: Samples) -> set[str]:
    """Return the tensors whose largest or mean magnitudes per sample differ between the sets.

    At a false discovery rate of FALSE_ALARM_SHARE: for exchangeable samples the result is empty in
    all but that share of cases.
    """
    names = shared_tensors(calibration, others)
    columns = [(name, column) for name in names for column in range(2)]
    chances = np.array(
        [
            _kolmogorov_smirnov(calibration.sizes[name], others.sizes[name], column)
            for name, column in columns
        ]
    )
    order = np.argsort(chances, kind="stable")
    limits = FALSE_ALARM_SHARE * np.arange(1, len(chances) + 1) / max(1, len(chances))
    below = np.nonzero(chances[order] <= limits)[0]
    last = int(below[-1]) + 1 if below.size else 0
    return {columns[position][0] for position in order[:last]}


def _kolmogorov_smirnov(first: Sizes, second: Sizes, column: int) -> float:
    """Return the chance of so large a difference between two draws of one distribution."""
    from scipy.stats import ks_2samp

    exact = max(len(first), len(second)) <= EXACT_LIMIT
    found = ks_2samp(first[:, column], second[:, column], method="exact" if exact else "asymp")
    return float(found.pvalue)


def shared_tensors(calibration: Samples, others: Samples) -> list[str]:
    """Return the tensors that both sets have sizes of, sorted."""
    return sorted(set(calibration.sizes) & set(others.sizes))
