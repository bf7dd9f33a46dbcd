"""Every cell's verdict on every constraint, in the words and by the rule of the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trtproof.choice.cells import Cell, Value, measure
from trtproof.choice.figures import Figure
from trtproof.choice.question import Constraint, Question
from trtproof.measure.ratios import Bounds
from trtproof.report.figures import NotMeasured
from trtproof.report.limits import Word, place


@dataclass(frozen=True)
class CellVerdict:
    """One constraint at one cell; `why` is empty where the interval says it all."""

    constraint: Constraint
    word: Word
    value: float | None
    ends: Bounds | None
    why: str
    is_indicative: bool = False


@dataclass(frozen=True)
class Judged:
    """A cell with the objective, its values on the axes, and the verdict on every constraint."""

    cell: Cell
    objective: Value | NotMeasured
    values: Sequence[float | None]
    verdicts: Sequence[CellVerdict]

    @property
    def word(self) -> Word:
        """Return the gravest verdict; met where all are, or where there is no constraint."""
        words = {item.word for item in self.verdicts}
        if isinstance(self.objective, NotMeasured):
            words.add("not measured")
        order: tuple[Word, ...] = ("missed", "not measured", "inconclusive")
        return next((word for word in order if word in words), "met")

    @property
    def point(self) -> tuple[float, ...] | None:
        """Return its place among all figures, None where one was not measured."""
        known = tuple(value for value in self.values if value is not None)
        return known if len(known) == len(self.values) else None

    @property
    def is_indicative(self) -> bool:
        """Say whether a run too short to decide anything says so."""
        own = isinstance(self.objective, Value) and self.objective.is_indicative
        return own or any(item.is_indicative for item in self.verdicts)


def judge_cell(cell: Cell, question: Question, axes: Sequence[Figure]) -> Judged:
    """Return a cell with its verdicts, and its place on the axes."""
    return Judged(
        cell=cell,
        objective=measure(question.objective, cell),
        values=[_value(figure, cell) for figure in axes],
        verdicts=[judge_constraint(cell, item) for item in question.constraints],
    )


def judge_constraint(cell: Cell, constraint: Constraint) -> CellVerdict:
    """Return whether a cell keeps a constraint."""
    found = measure(constraint.figure, cell)
    if isinstance(found, NotMeasured):
        return CellVerdict(constraint, "not measured", None, None, found.reason)
    word: Word = "inconclusive"
    if found.bounds:
        word = place(found.bounds, constraint.limit, constraint.figure.better)
    why = found.why
    if word == "inconclusive" and not why:
        why = "the limit is within the interval: more rounds, requests or samples would settle it"
    return CellVerdict(constraint, word, found.value, found.ends, why, found.is_indicative)


def _value(figure: Figure, cell: Cell) -> float | None:
    found = measure(figure, cell)
    return found.value if isinstance(found, Value) else None
