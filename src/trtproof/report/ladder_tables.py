"""The ladder as a table of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from trtproof.report.cells import Cell, Column, Table, absent_cell, format_number
from trtproof.report.figures import NotMeasured
from trtproof.report.ladder import Step
from trtproof.report.timed import NOT_RECORDED
from trtproof.scoring.difference import TensorDifference

NOTE: Final = (
    "Each row is compared with the one it was made from: what this step alone cost; and with the "
    "reference: what all steps cost together. The step that lost most on the way to a row is where "
    "to look: a recipe's own step is its precision, an engine's what the engine adds."
)


def ladder_table(steps: Sequence[Step] | NotMeasured) -> Table:
    """Return a row per rung and output, and where most was lost on the way."""
    columns = (
        Column("Step"),
        Column("Made from"),
        Column("Computed by"),
        Column("Output"),
        Column("SQNR to the step before", is_number=True),
        Column("SQNR to the reference", is_number=True),
        Column("Scores (change in this step)"),
        Column("Most was lost at"),
    )
    if isinstance(steps, NotMeasured):
        return Table(columns, [(absent_cell(steps.reason, span=len(columns)),)])
    rows = [row for step in steps for row in _rows(step)]
    return Table(columns=columns, rows=rows, notes=(NOTE,))


def _rows(step: Step) -> Iterator[Sequence[Cell]]:
    rung = step.rung
    head = (
        Cell(rung.name),
        Cell(rung.made_from or "the model itself"),
        Cell(rung.executor or NOT_RECORDED),
    )
    tail = (Cell(_scores_text(step)), Cell(step.address or "the reference"))
    names = sorted(step.against_before)
    for name in names:
        before, reference = step.against_before[name], step.against_reference[name]
        yield (*head, Cell(name, kind="code"), _ratio(before), _ratio(reference), *tail)
    if not names:
        text = "reference" if rung.made_from is None else "no outputs are kept"
        yield (*head, Cell(text, span=3), *tail)


def _ratio(difference: TensorDifference) -> Cell:
    if difference.nan_count or difference.inf_count:
        lost = difference.nan_count + difference.inf_count
        return Cell(f"{lost} values are not numbers", tone="bad")
    if difference.identical:
        return Cell("identical", kind="number")
    if difference.sqnr_db is None:
        return absent_cell("does not exist for these values")
    return Cell(format_number(difference.sqnr_db, "db"), kind="number")


def _scores_text(step: Step) -> str:
    parts = []
    for name, value in step.rung.scores.items():
        before = step.scores_before.get(name)
        change = "" if before is None else f" ({value - before:+.2f})"
        parts.append(f"{name.rpartition('_')[0] or name} {value:.2f}{change}")
    return ", ".join(parts) or "no scores"
