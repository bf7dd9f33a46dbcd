"""Figures over a whole set that are no mean over samples, resampled without scoring anew.

A ratio of sums (word errors by words, intersections by unions, the root of a mean square) must be
resampled as such: samples are drawn, their parts are added up, and then divided. A scorer gives a
`Weighable` for it. The mean of the single samples' ratios would be another figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np

from trtproof.data.base import Label
from trtproof.scoring import resampling
from trtproof.scoring.base import Prediction, Scorer
from trtproof.scoring.proportions import Values

NO_FIGURE: Final = "a resample has no such figure (nothing that it is computed from was drawn)"


@dataclass(frozen=True)
class Weighable:
    """What a set's figures are computed from, for samples that count several times or not at all.

    `parts` has one item per sample: whatever the figures depend on; two predictions of equal parts
    score alike. `figures` takes how often every sample counts, float64 of shape (resamples,
    samples), and returns metric -> one value per resample; NaN where there is no such figure.
    `resamples` is how many are drawn for an interval.
    """

    parts: Sequence[Any]
    figures: Callable[[Values], Mapping[str, Values]]
    resamples: int = resampling.RESAMPLES


class WeighableScorer(Scorer, Protocol):
    """A scorer whose set figures are resampled from parts of samples."""

    def weigh(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Weighable | None:
        """Return the parts of these samples and how figures follow from them.

        The figures of samples that count once each are those of `score`. None where there is
        nothing of the kind.
        """
        ...


def weigh(
    scorer: Scorer, predictions: Sequence[Prediction], labels: Sequence[Label]
) -> Weighable | None:
    """Return what a scorer's set figures are computed from, None where it does not say."""
    found: Weighable | None = None
    if hasattr(scorer, "weigh"):
        found = cast("WeighableScorer", scorer).weigh(predictions, labels)
    return found


def score_all(weighable: Weighable) -> dict[str, float]:
    """Return the figures of all samples, each counted once; those that exist."""
    found = weighable.figures(np.ones((1, len(weighable.parts))))
    return {name: float(values[0]) for name, values in found.items() if np.isfinite(values[0])}


def count_differing(first: Weighable, second: Weighable) -> int:
    """Return how many samples differ in what the figures are computed from."""
    return sum(one != other for one, other in zip(first.parts, second.parts, strict=True))


def draw_figures(weighables: Sequence[Weighable], seed: int) -> list[dict[str, Values]]:
    """Return metric -> figure of every resample, for several predictions on the same resamples.

    At most MOST_DRAWS samples are drawn in all, but never fewer than FEWEST_RESAMPLES resamples.
    """
    samples, wanted = len(weighables[0].parts), min(item.resamples for item in weighables)
    most = max(resampling.FEWEST_RESAMPLES, resampling.MOST_DRAWS // samples)
    drawn: list[dict[str, list[Values]]] = [{} for _ in weighables]
    for counts in _counts(samples, seed, count=min(wanted, most)):
        for item, found in zip(weighables, drawn, strict=True):
            for name, values in item.figures(counts).items():
                found.setdefault(name, []).append(values)
    return [{name: np.concatenate(parts) for name, parts in found.items()} for found in drawn]


def _counts(samples: int, seed: int, *, count: int) -> Iterator[Values]:
    """Yield how often each sample is in each resample, in chunks of shape (resamples, samples)."""
    for positions in resampling.resample(samples, seed, count=count):
        rows = len(positions)
        flat = positions + samples * np.arange(rows)[:, np.newaxis]
        counted = np.bincount(flat.ravel(), minlength=rows * samples)
        yield counted.reshape(rows, samples).astype(np.float64)
