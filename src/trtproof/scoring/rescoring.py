"""Resamples that a scorer scores anew, for scores of which nothing else is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trtproof.data.base import Label
from trtproof.scoring import resampling
from trtproof.scoring.base import Prediction, Scorer, is_lower_better
from trtproof.scoring.proportions import Values


@dataclass(frozen=True)
class Paired:
    """One scorer's predictions by the reference and by a variant, for the same samples."""

    indices: Sequence[int]
    labels: Sequence[Label]
    reference: Sequence[Prediction]
    variant: Sequence[Prediction]


def why_not_rescored(paired: Paired) -> str:
    """Return why resamples are not scored, an empty text where they are."""
    samples = len(paired.labels)
    if samples > resampling.MOST_RESCORED:
        return resampling.too_many(samples)
    differing = sum(
        one != other for one, other in zip(paired.reference, paired.variant, strict=True)
    )
    if differing < resampling.FEWEST_DIFFERING:
        return (
            f"{differing} of {samples:,} samples have another prediction, resampling takes "
            f"{resampling.FEWEST_DIFFERING}"
        )
    return ""


def draw_scores(scorer: Scorer, paired: Paired, names: Sequence[str]) -> dict[str, Values]:
    """Return metric -> the drop of every resample."""
    drawn: dict[str, list[float]] = {name: [] for name in names}
    samples, seed = len(paired.labels), resampling.seed_of(paired.indices)
    for rows in resampling.resample(samples, seed, count=resampling.FEWEST_RESAMPLES):
        for row in rows:
            places = row.tolist()
            labels = [paired.labels[place] for place in places]
            before = scorer.score([paired.reference[place] for place in places], labels)
            after = scorer.score([paired.variant[place] for place in places], labels)
            for name in names:
                sign = -1.0 if is_lower_better(scorer, name) else 1.0
                drawn[name].append(sign * (before[name] - after[name]))
    return {name: np.asarray(values, dtype=np.float64) for name, values in drawn.items()}
