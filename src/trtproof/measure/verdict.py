"""The four words: FASTER, SLOWER, SAME, INCONCLUSIVE, and whether they may decide anything.

A change counts only where two levels agree:

- over rounds, the whole exact 99 % interval of the ratio lies beyond +-delta, the larger of the
  smallest effect that matters and the run's own noise floor (A/A at 99 %);
- over worker starts, the 95 % interval that is shown does not contain 1.

The first alone takes luck at the start of a worker for a difference: its rounds repeat it. The
second alone believes three starts that happen to agree. Together a false alarm needs every start
to have favoured one side and the reference's two runs, which had as many starts, not to have shown
that such luck exists: about 1 of 100 runs of three sessions when contenders are really the same,
whether luck has two values or many (simulated in tests/unit/test_false_alarms.py). With fewer than
three starts a verdict never gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from trtproof.measure.disturbed import Selection
from trtproof.measure.ratios import (
    GATE_CONFIDENCE,
    SHOWN_CONFIDENCE,
    Bounds,
    Ratio,
    aa_halfwidth,
    ratio_of_rounds,
)

INDICATIVE_PROFILES: Final = ("quick", "smoke")
"""Benchmark profiles that say roughly how fast, and never decide."""

FEWEST_SESSIONS: Final = 3
"""Fewer starts of the workers cannot tell luck at the start from a difference."""


class Word(StrEnum):
    """What the contender is, compared with the reference."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


class Better(StrEnum):
    """Which direction of the compared figure is good."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True)
class RoundValues:
    """One positive value per round (say, each block's median) of three contenders of one session.

    Each mapping is by round number; only rounds that all of them have are used. `again` is the
    reference's second run, empty where there was none; `sessions` says which generation of workers
    measured a round. `contender_again` is the contender's own second run, where it had one: what
    differs from itself by a fifth differs from nothing by less.
    """

    reference: Mapping[int, float]
    again: Mapping[int, float]
    contender: Mapping[int, float]
    sessions: Mapping[int, int]
    contender_again: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class VerdictRule:
    """When a difference is one: `minimum_effect` is a share (0.02 is 2 %) of either direction."""

    minimum_effect: float
    profile: str
    better: Better = Better.LOWER


@dataclass(frozen=True)
class Verdict:
    """A word, whether it may gate, and everything that it follows from.

    Ratios are above 1 where the contender is better. `shown` has the 95 % interval over rounds and
    worker starts; `gate` and `control` (A/A) the exact 99 % interval over rounds alone. `shown_all`
    is `shown` with the left-out rounds in, None where none were. `delta` and `noise_floor` are
    shares; the floor is None where there is no control, and the larger A/A half-width where the
    contender ran twice as well.
    """

    word: Word
    gates: bool
    reason: str
    shown: Ratio
    shown_all: Ratio | None
    gate: Ratio
    control: Ratio | None
    noise_floor: float | None
    delta: float


def judge(values: RoundValues, rule: VerdictRule, selection: Selection | None = None) -> Verdict:
    """Return the verdict on one figure of one contender.

    Args:
        values: what was measured, disturbed rounds included.
        rule: when a difference counts.
        selection: which rounds count; None for all.

    Raises:
        InputError: no round has all the values, or one is not positive.
    """
    every_round = _common_rounds(values)
    kept = [number for number in every_round if selection is None or number in selection.kept]
    shown = _compare(values, kept, rule.better)
    gate = _compare_rounds_alone(values, values.contender, kept, rule.better)
    control, shown_all = None, None
    if values.again:
        control = _compare_rounds_alone(values, values.again, kept, rule.better)
    if len(kept) < len(every_round):
        shown_all = _compare(values, every_round, rule.better)
    floor = _find_floor(control, values, kept)
    word, reason = choose_word(shown, gate, floor, rule.minimum_effect)
    if selection is not None and selection.mostly_disturbed:
        word, reason = Word.INCONCLUSIVE, "more than half of the rounds were disturbed"
    indicative = why_indicative(rule.profile, shown.sessions_count)
    return Verdict(
        word=word,
        gates=indicative is None,
        reason=f"indicative ({indicative}): {reason}" if indicative else reason,
        shown=shown,
        shown_all=shown_all,
        gate=gate,
        control=control,
        noise_floor=floor,
        delta=max(rule.minimum_effect, floor or 0.0),
    )


def _find_floor(control: Ratio | None, values: RoundValues, kept: Sequence[int]) -> float | None:
    """Return the A/A half-width of whichever is the noisier; None if one is not known."""
    floor = aa_halfwidth(control) if control else None
    rounds = [number for number in kept if number in values.contender_again]
    if floor is None or not rounds:
        return floor
    own = [values.contender[number] for number in rounds]
    second = [values.contender_again[number] for number in rounds]
    other = aa_halfwidth(ratio_of_rounds(own, second, confidence=GATE_CONFIDENCE))
    return None if other is None else max(floor, other)


def choose_word(
    shown: Ratio, gate: Ratio, noise_floor: float | None, minimum_effect: float
) -> tuple[Word, str]:
    """Return the word and the reason in words.

    SAME is a claim too: that no difference of `minimum_effect` exists. A machine whose own noise
    is larger than that cannot make it, so a large floor gives INCONCLUSIVE and never SAME.

    Args:
        shown: the ratio with its 95 % interval, above 1 where the contender is better.
        gate: the ratio with the 99 % interval over rounds.
        noise_floor: the A/A half-width as a share; None where it is not known.
        minimum_effect: the smallest difference that matters, as a share.
    """
    interval, decisive = _bounds(shown), _bounds(gate)
    if interval is None or decisive is None:
        return Word.INCONCLUSIVE, f"{gate.rounds_count} rounds are too few for an interval"
    if noise_floor is None:
        return Word.INCONCLUSIVE, "there is no second run to tell the noise by"
    margin = max(minimum_effect, noise_floor)
    if decisive[0] > 1 + margin and interval[0] > 1:
        return Word.FASTER, f"better by more than {_percent(margin)} in all that was seen"
    if decisive[1] < 1 / (1 + margin) and interval[1] < 1:
        return Word.SLOWER, f"worse by more than {_percent(margin)} in all that was seen"
    ends = (min(interval[0], decisive[0]), max(interval[1], decisive[1]))
    return _choose_without_change(ends, noise_floor, minimum_effect)


def _choose_without_change(
    ends: Bounds, noise_floor: float, minimum_effect: float
) -> tuple[Word, str]:
    """Return SAME, or why not even that can be said."""
    effect = _percent(minimum_effect)
    if noise_floor > minimum_effect:
        noise = _percent(noise_floor)
        why = f"two runs of one of them may differ by {noise} here, more than {effect}"
        return Word.INCONCLUSIVE, why
    if 1 / (1 + minimum_effect) <= ends[0] and ends[1] <= 1 + minimum_effect:
        return Word.SAME, f"within {effect} in all that was seen"
    return Word.INCONCLUSIVE, f"less than {effect} and more are both possible"


def why_indicative(profile: str, sessions_count: int) -> str | None:
    """Return why a verdict must not decide anything, or None where it may."""
    if profile in INDICATIVE_PROFILES:
        return f"profile {profile}"
    if sessions_count < FEWEST_SESSIONS:
        return f"{sessions_count} of at least {FEWEST_SESSIONS} starts of the workers"
    return None


def _compare(values: RoundValues, rounds: Sequence[int], better: Better) -> Ratio:
    """Return the contender's ratio to show."""
    before, after = _turn(values.reference, values.contender, rounds, better)
    sessions = [values.sessions[number] for number in rounds]
    return ratio_of_rounds(before, after, sessions=sessions, confidence=SHOWN_CONFIDENCE)


def _compare_rounds_alone(
    values: RoundValues, other: Mapping[int, float], rounds: Sequence[int], better: Better
) -> Ratio:
    """Return a ratio to the reference that decides, at the level of rounds."""
    before, after = _turn(values.reference, other, rounds, better)
    return ratio_of_rounds(before, after, confidence=GATE_CONFIDENCE)


def _turn(
    reference: Mapping[int, float],
    other: Mapping[int, float],
    rounds: Sequence[int],
    better: Better,
) -> tuple[list[float], list[float]]:
    """Return what is divided by what, so that above 1 is better."""
    before = [reference[number] for number in rounds]
    after = [other[number] for number in rounds]
    return (before, after) if better is Better.LOWER else (after, before)


def _common_rounds(values: RoundValues) -> list[int]:
    common = values.reference.keys() & values.contender.keys() & values.sessions.keys()
    if values.again:
        common &= values.again.keys()
    return sorted(common)


def _bounds(ratio: Ratio) -> Bounds | None:
    return None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
