"""A choice as tables, which the terminal and Markdown share."""

from __future__ import annotations

from collections.abc import Sequence

from trtproof.choice.cells import Value, measure
from trtproof.choice.choose import GroupChoice
from trtproof.choice.figures import Figure
from trtproof.choice.finals import FinalPlan
from trtproof.choice.question import say_value
from trtproof.choice.verdicts import CellVerdict, Judged
from trtproof.choice.winner import Winner
from trtproof.report.cells import NOT_MEASURED, Cell, Column, Table
from trtproof.report.limits import TONES
from trtproof.sweep.record import JobRecord

INDICATIVE = "indicative"


def cell_table(choice: GroupChoice) -> Table:
    """Return one row per cell: its figures, its verdicts, and whether it is on the front."""
    columns = (
        Column("#"),
        Column("Configuration"),
        Column("Job", is_number=True),
        *(Column(figure.name, is_number=True) for figure in choice.axes),
        *(Column(str(constraint)) for constraint in choice.question.constraints),
        Column("Front"),
    )
    rows = [
        (
            Cell(choice.label(number)),
            Cell(f"{item.cell.name}{', the reference' if item.cell.is_reference else ''}"),
            Cell(str(item.cell.result.job.number), kind="number"),
            *(figure_cell(item, figure) for figure in choice.axes),
            *(verdict_cell(verdict) for verdict in item.verdicts),
            Cell(say_front(choice, number)),
        )
        for number, item in enumerate(choice.judged)
    ]
    return Table(columns, rows)


def say_front(choice: GroupChoice, number: int) -> str:
    """Return whether a cell is on the front, or which cell is better in everything."""
    if number in choice.front:
        return "on it"
    by = choice.dominated.get(number)
    return "not placed" if by is None else f"dominated by {choice.label(by)}"


def figure_cell(item: Judged, figure: Figure) -> Cell:
    """Return what a cell has of a figure."""
    found = measure(figure, item.cell)
    if isinstance(found, Value):
        return Cell(say_value(found.value, figure), kind="number")
    return Cell(NOT_MEASURED, kind="absent", detail=found.reason)


def verdict_cell(verdict: CellVerdict) -> Cell:
    """Return a verdict with its interval, and why it is what it is."""
    ends = ""
    if verdict.ends is not None and verdict.ends[0] != verdict.ends[1]:
        low, high = (say_value(end, verdict.constraint.figure) for end in verdict.ends)
        ends = f"{low} to {high}"
    parts = (ends, verdict.why, INDICATIVE if verdict.is_indicative else "")
    return Cell(verdict.word, tone=TONES[verdict.word], detail="; ".join(filter(None, parts)))


def winner_table(winner: Winner) -> Table:
    """Return one row per finalist: what the last session found."""
    constraints = [item.constraint for item in winner.judged[0].verdicts]
    columns = (
        Column("Finalist"),
        Column("Objective", is_number=True),
        *(Column(str(constraint)) for constraint in constraints),
        Column("Against the best"),
    )
    rows = [
        (
            Cell(item.cell.name),
            Cell(_objective(item), kind="number"),
            *(verdict_cell(verdict) for verdict in item.verdicts),
            _place(item, winner),
        )
        for item in winner.judged
    ]
    return Table(columns, rows)


def _objective(item: Judged) -> str:
    found = item.objective
    return f"{found.value:.5g}" if isinstance(found, Value) else NOT_MEASURED


def _place(item: Judged, winner: Winner) -> Cell:
    if winner.best and item.cell == winner.best[0]:
        return Cell("best")
    duel = next((one for one in winner.duels if one.second == item.cell), None)
    if duel is None:
        return Cell("not weighed", detail=f"its constraints: {item.word}")
    word = "worse" if duel.is_clear else "no difference found"
    if duel.ratio is None:
        return Cell(word, detail=duel.reason)
    ends = f", 95 % {duel.bounds[0]:.3f} to {duel.bounds[1]:.3f}" if duel.bounds else ""
    return Cell(word, detail=f"the best is {duel.ratio:.3f} times as good{ends}; {duel.reason}")


def unfinished_table(jobs: Sequence[JobRecord]) -> Table:
    """Return the jobs that have no result, with the reason."""
    columns = (Column("Job", is_number=True), Column("Overrides"), Column("Status"), Column("Why"))
    rows = [
        (
            Cell(str(job.number), kind="number"),
            Cell(" ".join(job.overrides) or "conf/ as it is"),
            Cell(job.status),
            Cell(job.reason or ""),
        )
        for job in jobs
    ]
    return Table(columns, rows)


def left_out_table(plan: FinalPlan) -> Table:
    """Return the cells that would have been finalists and cannot be, with the reason."""
    columns = (Column("Not in the last session"), Column("Why"))
    return Table(columns, [(Cell(cell.title), Cell(why)) for cell, why in plan.left_out])
