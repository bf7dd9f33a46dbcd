"""The verdict on two recorded sessions: a difference of differences, never of times.

The machine of the one day is not that of the other, so a variant's time is first divided into the
reference's of its own session, round by round; the two ratios are then divided. Their intervals
come from independent rounds, so that on the log scale half-widths add in quadrature. Being measured
apart costs certainty that no interval shows: what counts as a change is twice as large as in one
session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, expm1, hypot, log, log1p
from typing import Final

from trtproof.measure.disturbed import Selection
from trtproof.measure.ratios import Bounds, Ratio
from trtproof.measure.verdict import (
    RoundValues,
    Verdict,
    VerdictRule,
    Word,
    choose_word,
    judge,
    why_indicative,
)

CAUTION: Final = 2.0
"""Factor on what counts as a change between sessions that were measured apart."""


@dataclass(frozen=True)
class StoredValues:
    """One figure of one contender in one recorded session."""

    values: RoundValues
    selection: Selection | None = None


def judge_stored(before: StoredValues, after: StoredValues, rule: VerdictRule) -> Verdict:
    """Return the verdict on how a contender's ratio to its reference changed between two sessions.

    The returned ratios are (reference / contender now) / (reference / contender before): above 1
    where it is faster now.

    Raises:
        InputError: as `trtproof.measure.verdict.judge`.
    """
    old = judge(before.values, rule, before.selection)
    new = judge(after.values, rule, after.selection)
    shown, gate = divide(new.shown, old.shown), divide(new.gate, old.gate)
    floor = combine_floors([old.noise_floor, new.noise_floor])
    effect = CAUTION * rule.minimum_effect
    word, reason = choose_word(shown, gate, None if floor is None else CAUTION * floor, effect)
    if any(item.selection and item.selection.mostly_disturbed for item in (before, after)):
        word, reason = Word.INCONCLUSIVE, "more than half of a session's rounds were disturbed"
    indicative = why_indicative(rule.profile, shown.sessions_count)
    return Verdict(
        word=word,
        gates=indicative is None,
        reason=f"indicative ({indicative}): {reason}" if indicative else reason,
        shown=shown,
        shown_all=None,
        gate=gate,
        control=None,
        noise_floor=floor,
        delta=max(effect, CAUTION * (floor or 0.0)),
    )


def divide(after: Ratio, before: Ratio) -> Ratio:
    """Return the ratio of two independent ratios, its interval in quadrature on the log scale."""
    value, low, high = after.value / before.value, None, None
    new, old = _bounds(after), _bounds(before)
    if new and old:
        down = hypot(_distance(after.value, new[0]), _distance(old[1], before.value))
        up = hypot(_distance(new[1], after.value), _distance(before.value, old[0]))
        low, high = value * exp(-down), value * exp(up)
    return Ratio(
        value=value,
        low=low,
        high=high,
        rounds_count=min(after.rounds_count, before.rounds_count),
        sessions_count=min(after.sessions_count, before.sessions_count),
        confidence=after.confidence,
    )


def combine_floors(floors: Sequence[float | None]) -> float | None:
    """Return the noise of both sessions together; None where one has no control."""
    known = [floor for floor in floors if floor is not None]
    if len(known) < len(floors):
        return None
    return expm1(hypot(*(log1p(floor) for floor in known)))


def _bounds(ratio: Ratio) -> Bounds | None:
    return None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)


def _distance(high: float, low: float) -> float:
    """Return log(high / low), at least 0: a centre may lie just outside of its interval."""
    return max(log(high / low), 0.0)
