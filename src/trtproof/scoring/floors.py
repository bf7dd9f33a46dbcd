"""How surely a score itself is known: its interval over samples, without a reference.

The methods are those of trtproof.scoring.drops: exact for right and wrong answers (Clopper and
Pearson), else the bootstrap over samples, of single values, of sums or of scored resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from trtproof.data.base import Label
from trtproof.errors import InputError
from trtproof.scoring import resampling
from trtproof.scoring.base import Prediction, Scorer
from trtproof.scoring.drops import REACHES
from trtproof.scoring.proportions import (
    MOST_SAMPLES,
    Bounds,
    Values,
    first_that,
    share_interval,
)
from trtproof.scoring.weighing import NO_FIGURE, Weighable, draw_figures, weigh


@dataclass(frozen=True)
class Scored:
    """One scorer's predictions of a variant."""

    indices: Sequence[int]
    labels: Sequence[Label]
    predictions: Sequence[Prediction]


@dataclass(frozen=True)
class ScoreInterval:
    """A score with the interval that decides, None for the `reason`.

    `hits` is the number of right answers where every answer is right or wrong, and `reach` what one
    of them counts.
    """

    value: float
    samples_count: int
    level: float
    gate: Bounds | None = None
    reason: str = ""
    hits: int | None = None
    reach: float = 1.0

    def samples_needed(self, limit: float) -> int | None:
        """Return how many samples at the same rates put the interval on one side of a limit.

        None where no number up to MOST_SAMPLES does, or none can be told.
        """
        if self.gate is None or self.value == limit:
            return None
        if self.hits is not None:
            return first_that(lambda samples: self._settles(limit, samples), self.samples_count)
        end = self.gate[1] if self.value < limit else self.gate[0]
        needed = ceil(self.samples_count * ((end - self.value) / (limit - self.value)) ** 2)
        return needed if needed <= MOST_SAMPLES else None

    def _settles(self, limit: float, samples: int) -> bool:
        hits = round((self.hits or 0) * samples / self.samples_count)
        low, high = share_interval(hits, samples, self.level)
        return self.reach * high < limit or self.reach * low > limit


def bound_scores(scorer: Scorer, scored: Scored, level: float) -> dict[str, ScoreInterval]:
    """Return metric -> score with its interval at a confidence.

    Raises:
        InputError: the scorer cannot score the predictions.
    """
    plain = {
        name: ScoreInterval(value, len(scored.labels), level)
        for name, value in scorer.score(scored.predictions, scored.labels).items()
    }
    single = scorer.per_sample(scored.predictions, scored.labels)
    sums = weigh(scorer, scored.predictions, scored.labels)
    if single is None and sums is None:
        return _rescore(scorer, scored, plain)
    seed = resampling.seed_of(scored.indices)
    found, rest = {}, {}
    for name, score in plain.items():
        if single is not None and name in single:
            found[name] = _bound(name, score, np.asarray(single[name], dtype=np.float64), seed)
        else:
            rest[name] = replace(score, reason=f"per_sample gives no {name}")
    return found | (_weigh(rest, sums, seed) if rest and sums is not None else rest)


def _weigh(
    plain: Mapping[str, ScoreInterval], sums: Weighable, seed: int
) -> dict[str, ScoreInterval]:
    """Return the scores with the intervals of resampled sums."""
    (drawn,) = draw_figures([sums], seed)
    found = {}
    for name, score in plain.items():
        values = drawn[name]
        if not np.isfinite(values).all() or not values.std():
            why = "the resamples are all the same" if np.isfinite(values).all() else NO_FIGURE
            found[name] = replace(score, reason=why)
            continue
        gate = resampling.percentile_interval(values, score.value, score.level)
        found[name] = replace(score, gate=gate)
    return found


def _bound(name: str, score: ScoreInterval, values: Values, seed: int) -> ScoreInterval:
    """Return the score with the interval of the mean of single values."""
    reach = REACHES.get(name.rpartition("_")[2], 1.0)
    if np.isin(values, (0.0, reach)).all():
        hits = int(np.count_nonzero(values))
        low, high = share_interval(hits, score.samples_count, score.level)
        return replace(score, gate=(reach * low, reach * high), hits=hits, reach=reach)
    found = resampling.mean_intervals(values, seed, [score.level])
    if found is None:
        return replace(score, reason="the samples' values are too few or all the same")
    return replace(score, gate=found[0])


def _rescore(
    scorer: Scorer, scored: Scored, plain: dict[str, ScoreInterval]
) -> dict[str, ScoreInterval]:
    """Return the scores with the intervals of scored resamples."""
    samples, seed = len(scored.labels), resampling.seed_of(scored.indices)
    if samples > resampling.MOST_RESCORED:
        why = resampling.too_many(samples)
        return {name: replace(score, reason=why) for name, score in plain.items()}
    drawn: dict[str, list[float]] = {name: [] for name in plain}
    try:
        for rows in resampling.resample(samples, seed, count=resampling.FEWEST_RESAMPLES):
            for row in rows:
                places = row.tolist()
                labels = [scored.labels[place] for place in places]
                found = scorer.score([scored.predictions[place] for place in places], labels)
                for name, values in drawn.items():
                    values.append(found[name])
    except (InputError, ArithmeticError, ValueError) as error:
        why = f"the scorer cannot score a resample: {error}"
        return {name: replace(score, reason=why) for name, score in plain.items()}
    return {
        name: replace(
            score,
            gate=resampling.percentile_interval(np.asarray(drawn[name]), score.value, score.level),
        )
        for name, score in plain.items()
    }
