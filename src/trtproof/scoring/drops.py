"""How much of every score a variant loses against the reference, sample by sample, and how surely.

The method follows from what the scorer gives:

- `per_sample` values of 0 and 1 (0 and 100 for a metric in percent): the exact interval of paired
  proportions and McNemar's test (trtproof.scoring.proportions);
- other `per_sample` values: the bootstrap over samples, and where too few samples differ for one,
  the bound that needs no more than a metric's range (trtproof.scoring.resampling);
- no `per_sample` of a metric, but `weigh`: the bootstrap over samples, each figure computed from
  the sums of what was drawn (trtproof.scoring.weighing);
- neither: the scorer scores resamples of the samples.

Everything is a function of the stored predictions and labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Final

import numpy as np

from trtproof.errors import InputError
from trtproof.scoring import resampling
from trtproof.scoring.base import Scorer, is_lower_better
from trtproof.scoring.proportions import (
    MOST_SAMPLES,
    Bounds,
    Discordance,
    Values,
    drop_interval,
    first_that,
    mcnemar_p,
    samples_to_settle,
)
from trtproof.scoring.rescoring import Paired, draw_scores, why_not_rescored
from trtproof.scoring.weighing import (
    NO_FIGURE,
    Weighable,
    count_differing,
    draw_figures,
    weigh,
)

REACHES: Final = {"pct": 100.0, "ratio": 1.0}
"""The largest value of one sample, by the unit of a metric; the smallest is 0."""

SAME: Final = 1e-6
"""How far, as a share, the mean over samples may be from the score that it should be."""

NO_SPREAD: Final = (
    f"fewer than {resampling.FEWEST_DIFFERING} samples differ, and the metric's unit has no range"
)


class Method(StrEnum):
    """Where the interval of a drop comes from."""

    EXACT = "exact, of paired proportions"
    BOOTSTRAP = "bootstrap over samples"
    BOUND = "bound by the samples that differ"
    SUMS = "bootstrap over samples, figures of resampled sums"
    RESCORED = "bootstrap over samples, each resample scored"
    NONE = "none"


@dataclass(frozen=True)
class Levels:
    """Confidences: of the interval that is shown, and of the one that decides."""

    shown: float
    gate: float


@dataclass(frozen=True)
class Drop:
    """The loss of one metric in its own unit: positive where the variant is worse.

    `shown` and `gate` are its intervals, None with method NONE, for the `reason`. `lost_count` and
    `gained_count` are the samples on which the variant is worse and better, None where the metric
    has no values of single samples. `p_value` is McNemar's, None for other methods. `reach` is what
    one sample can lose at most.
    """

    value: float
    samples_count: int
    level: float
    method: Method = Method.NONE
    shown: Bounds | None = None
    gate: Bounds | None = None
    reason: str = ""
    lost_count: int | None = None
    gained_count: int | None = None
    p_value: float | None = None
    reach: float | None = None

    def samples_needed(self, limit: float) -> int | None:
        """Return how many samples at the same rates put the deciding interval on one side.

        It is the number in all. Of the bootstrap's interval the width is taken to shrink as
        1 / sqrt(samples). None where no number up to MOST_SAMPLES does, or none can be told.
        """
        if self.gate is None or self.value == limit:
            return None
        if self.method is Method.EXACT:
            return samples_to_settle(self._discordance(), limit / (self.reach or 1.0), self.level)
        if self.method is Method.BOUND:
            return first_that(lambda samples: self._is_bound(limit, samples), self.samples_count)
        end = self.gate[1] if self.value < limit else self.gate[0]
        factor = (end - self.value) / (limit - self.value)
        needed = ceil(self.samples_count * factor**2)
        return needed if needed <= MOST_SAMPLES else None

    def _discordance(self) -> Discordance:
        return Discordance(self.lost_count or 0, self.gained_count or 0, self.samples_count)

    def _is_bound(self, limit: float, samples: int) -> bool:
        """Say whether the bound is on one side of the limit with so many samples."""
        counts = self._discordance().at_rates(samples)
        most = resampling.most_lost(counts.lost, samples, self.level) * (self.reach or 1.0)
        least = resampling.most_lost(counts.gained, samples, self.level) * (self.reach or 1.0)
        return most < limit if self.value < limit else -least > limit


def measure_drops(scorer: Scorer, paired: Paired, levels: Levels) -> dict[str, Drop]:
    """Return metric -> drop with its intervals, of one scorer's metrics.

    Raises:
        InputError: the scorer cannot score the predictions.
    """
    before = scorer.score(paired.reference, paired.labels)
    after = scorer.score(paired.variant, paired.labels)
    signs = {name: -1.0 if is_lower_better(scorer, name) else 1.0 for name in before}
    plain = {
        name: Drop(
            value=signs[name] * (before[name] - after[name]),
            samples_count=len(paired.labels),
            level=levels.gate,
        )
        for name in before
        if name in after
    }
    both = (paired.reference, paired.variant)
    first, second = (scorer.per_sample(item, paired.labels) for item in both)
    sums = [made for item in both if (made := weigh(scorer, item, paired.labels)) is not None]
    if (first is None or second is None) and not sums:
        return _rescore(scorer, paired, plain, levels)
    seed = resampling.seed_of(paired.indices)
    found, rest = {}, {}
    for name, drop in plain.items():
        if first is None or second is None or name not in first or name not in second:
            rest[name] = replace(drop, reason=f"per_sample gives no {name}")
            continue
        values = np.stack([np.asarray(item[name], dtype=np.float64) for item in (first, second)])
        found[name] = _with_interval(name, drop, signs[name] * values, levels, seed)
    return found | (_weighed(rest, sums, signs, levels, seed) if rest and sums else rest)


def _weighed(
    plain: Mapping[str, Drop],
    sums: Sequence[Weighable],
    signs: Mapping[str, float],
    levels: Levels,
    seed: int,
) -> dict[str, Drop]:
    """Return the drops of set figures, with intervals from resampled sums of both predictions."""
    differing, samples = count_differing(*sums), len(sums[0].parts)
    if differing < resampling.FEWEST_DIFFERING:
        why = (
            f"{differing} of {samples:,} samples differ in what the figure is made of, resampling "
            f"takes {resampling.FEWEST_DIFFERING}"
        )
        return {name: replace(drop, reason=why) for name, drop in plain.items()}
    before, after = draw_figures(sums, seed)
    drawn = {name: signs[name] * (before[name] - after[name]) for name in plain}
    return {
        name: _from_drawn(drop, drawn[name], levels, method=Method.SUMS, absent=NO_FIGURE)
        for name, drop in plain.items()
    }


def _from_drawn(drop: Drop, values: Values, levels: Levels, *, method: Method, absent: str) -> Drop:
    """Return the drop with the intervals of resampled drops, or `absent` where one is no number."""
    if not np.isfinite(values).all():
        return replace(drop, reason=absent)
    shown, gate = (
        resampling.percentile_interval(values, drop.value, level)
        for level in (levels.shown, levels.gate)
    )
    return replace(drop, method=method, shown=shown, gate=gate)


def _with_interval(name: str, drop: Drop, values: Values, levels: Levels, seed: int) -> Drop:
    """Return the drop with its intervals from single samples.

    Args:
        name: of the metric; its last word is the unit.
        drop: without intervals.
        values: (2, samples): reference and variant, larger is better.
        levels: of the intervals.
        seed: of the resamples.
    """
    losses = values[0] - values[1]
    if not np.isfinite(losses).all():
        return replace(drop, reason="per_sample gives values that are no numbers")
    if abs(losses.mean() - drop.value) > SAME * max(1.0, float(np.abs(values).max())):
        return replace(drop, reason="per_sample does not average to the score")
    reach = REACHES.get(name.rpartition("_")[2])
    within = reach is not None and bool((np.abs(values) <= reach).all())
    counted = replace(
        drop,
        lost_count=int(np.count_nonzero(losses > 0)),
        gained_count=int(np.count_nonzero(losses < 0)),
        reach=reach if within else None,
    )
    whole = reach or 1.0
    if np.isin(np.abs(values), (0.0, whole)).all():
        return _exact(replace(counted, reach=whole), levels)
    return _bootstrapped(counted, losses, levels, seed)


def _exact(drop: Drop, levels: Levels) -> Drop:
    reach = drop.reach or 1.0
    counts = Discordance(drop.lost_count or 0, drop.gained_count or 0, drop.samples_count)
    shown, gate = (drop_interval(counts, level) for level in (levels.shown, levels.gate))
    return replace(
        drop,
        method=Method.EXACT,
        shown=(reach * shown[0], reach * shown[1]),
        gate=(reach * gate[0], reach * gate[1]),
        p_value=mcnemar_p(counts),
    )


def _bootstrapped(drop: Drop, losses: Values, levels: Levels, seed: int) -> Drop:
    """Return the drop with the bootstrap's intervals, or with what holds where there is none."""
    both = resampling.mean_intervals(losses, seed, (levels.shown, levels.gate))
    if both is not None:
        return replace(drop, method=Method.BOOTSTRAP, shown=both[0], gate=both[1])
    if drop.reach is None:
        return replace(drop, reason=NO_SPREAD)
    shown, gate = (
        resampling.bounded_interval(losses, drop.reach, level)
        for level in (levels.shown, levels.gate)
    )
    return replace(drop, method=Method.BOUND, shown=shown, gate=gate)


def _rescore(
    scorer: Scorer, paired: Paired, plain: Mapping[str, Drop], levels: Levels
) -> dict[str, Drop]:
    """Return the drops with intervals from resamples that the scorer scores."""
    if why := why_not_rescored(paired):
        return {name: replace(drop, reason=why) for name, drop in plain.items()}
    try:
        drawn = draw_scores(scorer, paired, list(plain))
    except (InputError, ArithmeticError, ValueError) as error:
        why = f"the scorer cannot score a resample: {error}"
        return {name: replace(drop, reason=why) for name, drop in plain.items()}
    absent = "a resample's score is no number"
    return {
        name: _from_drawn(drop, drawn[name], levels, method=Method.RESCORED, absent=absent)
        for name, drop in plain.items()
    }
