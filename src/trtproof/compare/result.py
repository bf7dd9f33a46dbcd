"""What a comparison found, and the exit code that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from trtproof.compare.pairs import Absent
from trtproof.measure.ratios import Bounds
from trtproof.measure.verdict import Verdict, Word

FINE: Final = 0
INCONCLUSIVE: Final = 3
NOT_COMPARABLE: Final = 4
REGRESSION: Final = 5


class Mode(StrEnum):
    """How times are compared."""

    PAIRED = "paired"
    STORED = "stored"


class ScoreWord(StrEnum):
    """What became of a score on the same samples."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    SAME = "SAME"
    INCONCLUSIVE = "INCONCLUSIVE"


class SizeWord(StrEnum):
    """What became of a figure that is exact, or has no repetitions: it never gates."""

    SMALLER = "SMALLER"
    LARGER = "LARGER"
    SAME = "SAME"


@dataclass(frozen=True)
class TimeChange:
    """One variant at one batch size by one figure; ratios are above 1 where it is faster now.

    `before_ms` and `after_ms` are medians over rounds, for orientation: the ratio is not theirs.
    """

    variant: str
    batch: int
    figure: str
    title: str
    verdict: Verdict
    decides: bool
    before_ms: float
    after_ms: float


@dataclass(frozen=True)
class ScoreChange:
    """One score of one variant; `loss` is positive where it is worse now, in the metric's unit."""

    variant: str
    metric: str
    before: float
    after: float
    loss: float
    word: ScoreWord
    reason: str
    margin: float
    shown: Bounds | None = None
    gate: Bounds | None = None


@dataclass(frozen=True)
class SizeChange:
    """One plain figure of one variant; `minimum_effect` is the share from which it counts."""

    variant: str
    what: str
    unit: str
    before: float
    after: float
    minimum_effect: float

    @property
    def change(self) -> float | None:
        """Return the change as a share of what it was; None where that was nothing."""
        return self.after / self.before - 1 if self.before else None

    @property
    def word(self) -> SizeWord:
        """Return whether it changed by more than what matters."""
        if abs(self.after - self.before) <= self.minimum_effect * abs(self.before):
            return SizeWord.SAME
        return SizeWord.LARGER if self.after > self.before else SizeWord.SMALLER


@dataclass(frozen=True)
class Difference:
    """One fact that is not the same on both sides."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {self.before} -> {self.after}"


@dataclass(frozen=True)
class Subject:
    """What was compared, and where and when it was measured."""

    mode: Mode
    base: str
    work: str
    commit: str
    profile: str
    slug: str
    measured: str


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    `refused` names the facts that keep recorded times from being compared at all; `absent` the
    variants that were not compared; `notes` what a reader must know.
    """

    subject: Subject
    times: Sequence[TimeChange] = ()
    scores: Sequence[ScoreChange] = ()
    sizes: Sequence[SizeChange] = ()
    absent: Sequence[Absent] = ()
    refused: Sequence[Difference] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def regressions(self) -> list[TimeChange | ScoreChange]:
        """Return what is worse and may decide."""
        slower = [item for item in self.times if item.decides and item.verdict.word is Word.SLOWER]
        return [*slower, *(item for item in self.scores if item.word is ScoreWord.WORSE)]

    @property
    def undecided(self) -> list[TimeChange | ScoreChange]:
        """Return what should decide and cannot; an indicative run decides no time at all."""
        times = [
            item
            for item in self.times
            if not item.verdict.gates or (item.decides and item.verdict.word is Word.INCONCLUSIVE)
        ]
        return [*times, *(item for item in self.scores if item.word is ScoreWord.INCONCLUSIVE)]

    @property
    def is_comparable(self) -> bool:
        """Say whether something was compared, and everything that should have been."""
        found = bool(self.times or self.scores or self.sizes)
        return found and not self.refused and not any(item.blocks for item in self.absent)


class Strictness(StrEnum):
    """What an inconclusive comparison is to the caller."""

    LENIENT = "lenient"
    STRICT = "strict"


def exit_code(found: Comparison, strictness: Strictness) -> int:
    """Return the command's exit code: the gravest of all that was found.

    A regression counts even where another variant could not be compared.
    """
    if found.regressions:
        return REGRESSION
    if not found.is_comparable:
        return NOT_COMPARABLE
    if strictness is Strictness.STRICT and found.undecided:
        return INCONCLUSIVE
    return FINE
