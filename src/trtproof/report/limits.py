"""The words of the budget's verdicts, and what would settle an inconclusive one.

How much more would is computed at what was seen: the same rates, the same spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Final, Literal

from trtproof.measure.quantiles import PUBLISHED
from trtproof.measure.ratios import (
    GATE_CONFIDENCE,
    SHOWN_CONFIDENCE,
    Bounds,
    fewest_rounds,
    student_factor,
)
from trtproof.measure.targets import Outcome, TargetResult, judge_counts
from trtproof.measure.verdict import Better
from trtproof.report.cells import NOT_MEASURED, Tone
from trtproof.scoring.proportions import MOST_SAMPLES, first_that

Word = Literal["met", "missed", "inconclusive", "not measured"]
TONES: Final[dict[Word, Tone]] = {
    "met": "ok",
    "missed": "bad",
    "inconclusive": "warn",
    "not measured": "warn",
}
WORDS: Final[dict[Outcome, Word]] = {
    Outcome.MET: "met",
    Outcome.MISSED: "missed",
    Outcome.INCONCLUSIVE: "inconclusive",
}
TOO_FEW: Final = "too few rounds for an interval"
MOST_ROUNDS: Final = 10_000
"""Beyond this no number of rounds is named: the figure is at its limit."""


@dataclass(frozen=True)
class TargetVerdict:
    """One target and one variant; `why` says what the word follows from, where it is not plain.

    `is_indicative` is true of a time in a run that is too short to decide anything.
    """

    target: str
    variant: str
    limit: str
    measured: str
    word: Word
    why: str = ""
    is_indicative: bool = False

    @property
    def tone(self) -> Tone:
        """Return the colour that the word is set in."""
        return TONES[self.word]


@dataclass(frozen=True)
class Target:
    """One limit for one variant, before it is judged."""

    title: str
    variant: str
    limit: str

    def judge(self, measured: str, word: Word, why: str = "") -> TargetVerdict:
        """Return the verdict."""
        return TargetVerdict(self.title, self.variant, self.limit, measured, word, why)

    def absent(self, reason: str) -> TargetVerdict:
        """Return that there is nothing to judge, and why."""
        return self.judge(NOT_MEASURED, "not measured", reason)


@dataclass(frozen=True)
class OverRounds:
    """A positive figure whose intervals are over rounds: all of them must be on one side.

    `gate` is the exact 99 % interval over rounds, `shown` the 95 % interval over rounds and worker
    starts, of which there were `sessions`. An interval is None for too few rounds.
    """

    value: float
    shown: Bounds | None
    gate: Bounds | None
    rounds: int
    sessions: int

    def judge(self, limit: float, better: Better) -> tuple[Word, str]:
        """Return the word and, where it is inconclusive, what would settle it."""
        if self.shown is None or self.gate is None:
            least = max(map(fewest_rounds, (SHOWN_CONFIDENCE, GATE_CONFIDENCE)))
            return "inconclusive", f"{TOO_FEW}: {more(least, self.rounds, 'rounds')}"
        word = place([self.shown, self.gate], limit, better)
        if word != "inconclusive":
            return word, ""
        return word, settled_by(self._needed(limit), self.rounds, "rounds like these", MOST_ROUNDS)

    def _needed(self, limit: float) -> int | None:
        """Return how many rounds in all narrow both intervals enough, None beyond MOST_ROUNDS."""
        distance = abs(log(limit / self.value))
        if self.shown is None or self.gate is None or distance == 0:
            return None
        side = 1 if limit > self.value else 0
        wide = [
            abs(log(bounds[side] / self.value)) / distance for bounds in (self.gate, self.shown)
        ]
        rounds = [ceil(self.rounds * max(1.0, wide[0]) ** 2), self._for_starts(max(1.0, wide[1]))]
        even = max(rounds) + max(rounds) % 2
        return even if even <= MOST_ROUNDS else None

    def _for_starts(self, factor: float) -> int:
        """Return how many rounds, with their starts of workers, narrow the shown interval so."""
        if self.sessions == 1:
            return ceil(self.rounds * factor**2)
        reached = student_factor(self.sessions, SHOWN_CONFIDENCE) / factor
        starts = needed_values(reached, SHOWN_CONFIDENCE, at_least=self.sessions)
        return ceil(self.rounds * starts / self.sessions)


@dataclass(frozen=True)
class OverWindows:
    """A rate, more of which is better, with its 99 % interval over windows of time."""

    value: float
    gate: Bounds | None
    windows: int

    def judge(self, least: float) -> tuple[Word, str]:
        """Return the word and, where it is inconclusive, what would settle it."""
        if self.gate is None:
            return "inconclusive", f"{TOO_FEW}: 1 more window (benchmark.throughput.rounds)"
        word = place([self.gate], least, Better.HIGHER)
        if word != "inconclusive":
            return word, ""
        distance = abs(log(least / self.value))
        end = self.gate[1] if least > self.value else self.gate[0]
        wide = abs(log(end / self.value))
        needed = None
        if distance:
            reached = student_factor(self.windows, GATE_CONFIDENCE) * distance / wide
            needed = needed_values(reached, GATE_CONFIDENCE, at_least=self.windows)
        needed = None if needed == MOST_ROUNDS else needed
        return word, settled_by(needed, self.windows, "windows like these", MOST_ROUNDS)


def place(bounds: Sequence[Bounds], limit: float, better: Better) -> Word:
    """Return on which side of the limit all the intervals lie."""
    low, high = min(bound[0] for bound in bounds), max(bound[1] for bound in bounds)
    if better is Better.LOWER:
        met, missed = high <= limit, low > limit
    else:
        met, missed = low >= limit, high < limit
    return "met" if met else "missed" if missed else "inconclusive"


def needed_values(factor: float, confidence: float, *, at_least: int) -> int:
    """Return how many values bring `student_factor` down so far, MOST_ROUNDS where more."""
    count = at_least
    while count < MOST_ROUNDS and student_factor(count, confidence) > factor:
        count += 1
    return count


def explain_counts(result: TargetResult) -> str:
    """Return what was counted against a P99 and, where that decides nothing, how much more would.

    Requests come at the same rate over the limit as they did.
    """
    counted = f"{result.over_count:,} of {result.samples_count:,} requests over it"
    if result.outcome is not Outcome.INCONCLUSIVE:
        return f"{counted}, {100 * result.confidence:g} % confidence"
    rate, share = result.over_count / result.samples_count, PUBLISHED["p99"]

    def settles(count: int) -> bool:
        outcome = judge_counts(count, round(rate * count), share, confidence=result.confidence)
        return outcome is not Outcome.INCONCLUSIVE

    needed = first_that(settles, result.samples_count)
    what = "requests at this rate"
    return f"{counted}; {settled_by(needed, result.samples_count, what, MOST_SAMPLES)}"


def settled_by(needed: int | None, known: int, what: str, most: int) -> str:
    """Return what would settle an inconclusive verdict, as in "about 1,240 more samples"."""
    if needed is None:
        return f"not even {most:,} {what} would settle it: it is too near to its limit"
    return f"about {more(needed, known, what)} would settle it"


def more(needed: int, known: int, what: str) -> str:
    """Return "12 more rounds": what is missing to so many, at least one."""
    return f"{max(1, needed - known):,} more {what}"
