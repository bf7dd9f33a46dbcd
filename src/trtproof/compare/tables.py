"""A comparison -> tables, which terminal, Markdown and page share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.compare.result import (
    Comparison,
    ScoreChange,
    ScoreWord,
    SizeChange,
    SizeWord,
    TimeChange,
)
from trtproof.measure.ratios import Ratio
from trtproof.report.cells import Cell, Column, Table, Tone
from trtproof.report.timing_tables import TONES

NO_INTERVAL: Final = "too few rounds"
SCORE_TONES: Final[Mapping[ScoreWord, Tone]] = {
    ScoreWord.BETTER: "ok",
    ScoreWord.WORSE: "bad",
    ScoreWord.SAME: "same",
    ScoreWord.INCONCLUSIVE: "warn",
}
DIGITS: Final = 4


@dataclass(frozen=True)
class Titled:
    """A table, what stands above it, and how many of its first columns name a row."""

    title: str
    table: Table
    names_count: int = 2


def make_tables(found: Comparison) -> list[Titled]:
    """Return every table that has rows, in the order of reading."""
    tables = [
        Titled("Time", time_table(found.times), names_count=3),
        Titled("Scores", score_table(found.scores)),
        Titled("Engines", size_table(found.sizes)),
        Titled("Not the same on both sides", refused_table(found)),
        Titled("Not compared", absent_table(found)),
    ]
    return [item for item in tables if item.table.rows]


def time_table(times: Sequence[TimeChange]) -> Table:
    """Return one row per variant, batch size and figure."""
    columns = (
        Column("Variant"),
        Column("Batch", is_number=True),
        Column("Compared by"),
        Column("Before", is_number=True),
        Column("Now", is_number=True),
        Column("Speed, before = 1", is_number=True),
        Column("95 % interval", is_number=True),
        Column("Noise", is_number=True),
        Column("Verdict"),
    )
    return Table(columns=columns, rows=[_time_row(item) for item in times])


def score_table(scores: Sequence[ScoreChange]) -> Table:
    """Return one row per variant and metric."""
    columns = (
        Column("Variant"),
        Column("Metric"),
        Column("Before", is_number=True),
        Column("Now", is_number=True),
        Column("Loss", is_number=True),
        Column("95 % interval", is_number=True),
        Column("Verdict"),
    )
    rows = [
        (
            Cell(item.variant),
            Cell(item.metric),
            _number(item.before),
            _number(item.after),
            _number(item.loss),
            _plain(f"{item.shown[0]:.3g} to {item.shown[1]:.3g}" if item.shown else "none"),
            Cell(item.word, tone=SCORE_TONES[item.word], detail=item.reason),
        )
        for item in scores
    ]
    return Table(columns=columns, rows=rows)


def size_table(sizes: Sequence[SizeChange]) -> Table:
    """Return one row per variant and plain figure; none of them decides anything."""
    columns = (
        Column("Variant"),
        Column("Figure"),
        Column("Before", is_number=True),
        Column("Now", is_number=True),
        Column("Change", is_number=True),
        Column("Word"),
    )
    return Table(columns=columns, rows=[_size_row(item) for item in sizes])


def refused_table(found: Comparison) -> Table:
    """Return the facts that keep two recorded sessions from being compared."""
    columns = (Column("Fact"), Column("Before"), Column("Now"))
    rows = [(Cell(item.name), Cell(item.before), Cell(item.after)) for item in found.refused]
    return Table(columns=columns, rows=rows)


def absent_table(found: Comparison) -> Table:
    """Return what was not compared, and why."""
    columns = (Column("Variant"), Column("Why not"))
    return Table(columns, [(Cell(item.variant), Cell(item.reason)) for item in found.absent])


def summary_line(found: Comparison) -> str:
    """Return the outcome in one sentence."""
    if found.regressions:
        names = ", ".join(dict.fromkeys(item.variant for item in found.regressions))
        return f"Regression: {names}"
    if not found.is_comparable:
        return "Not comparable"
    if any(not item.verdict.gates for item in found.times):
        return "Indicative only: this run cannot decide whether anything became slower"
    if found.undecided:
        return f"No regression found; {len(found.undecided)} of its verdicts are inconclusive"
    return "No regression"


def _time_row(item: TimeChange) -> Sequence[Cell]:
    verdict = item.verdict
    role = "decides" if item.decides else ("shown only" if verdict.gates else "")
    detail = "; ".join(part for part in (role, verdict.reason) if part)
    noise = "unknown" if verdict.noise_floor is None else f"{100 * verdict.noise_floor:.2g} %"
    return (
        Cell(item.variant),
        _plain(str(item.batch)),
        Cell(item.title),
        _plain(f"{_digits(item.before_ms)} ms"),
        _plain(f"{_digits(item.after_ms)} ms"),
        _plain(f"{verdict.shown.value:.3f}\N{MULTIPLICATION SIGN}"),
        _plain(interval_text(verdict.shown)),
        _plain(noise),
        Cell(verdict.word, tone=TONES[verdict.word], detail=detail),
    )


def interval_text(ratio: Ratio) -> str:
    """Return a ratio's interval as people read it."""
    if ratio.low is None or ratio.high is None:
        return NO_INTERVAL
    return f"{ratio.low:.3f} to {ratio.high:.3f}\N{MULTIPLICATION SIGN}"


def _size_row(item: SizeChange) -> Sequence[Cell]:
    unit = f" {item.unit}" if item.unit else ""
    change = "" if item.change is None else f"{100 * item.change:+,.1f} %"
    word = item.word
    return (
        Cell(item.variant),
        Cell(item.what),
        _plain(f"{_digits(item.before)}{unit}"),
        _plain(f"{_digits(item.after)}{unit}"),
        _plain(change if item.after != item.before else "0 %"),
        Cell(word, tone="same" if word is SizeWord.SAME else None),
    )


def _digits(value: float) -> str:
    """Return a number with DIGITS significant digits; whole numbers as they are."""
    return f"{value:,.0f}" if value == int(value) else f"{value:#.{DIGITS}g}"


def _number(value: float) -> Cell:
    return _plain(_digits(value))


def _plain(text: str) -> Cell:
    return Cell(text, kind="number")
