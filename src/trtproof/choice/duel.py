"""Two cells of one session by the objective: is one better, or can no difference be told.

Rounds and windows are paired, and the noise is the reference's against its own second run, as in a
comparison of two revisions. What has no rounds (sizes, scores) is clear where the intervals do not
meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.choice.cells import Cell, Value, measure
from trtproof.choice.figures import Figure, Kind
from trtproof.measure.disturbed import Selection
from trtproof.measure.quantiles import PUBLISHED, percentile
from trtproof.measure.ratios import GATE_CONFIDENCE, SHOWN_CONFIDENCE, Bounds, Ratio, aa_halfwidth
from trtproof.measure.samples import LATENCY, THROUGHPUT, counted, of_scenario
from trtproof.measure.schedule import AGAIN
from trtproof.measure.verdict import Better, RoundValues, VerdictRule, Word, choose_word, judge
from trtproof.report.carried_noise import carry_rounds
from trtproof.report.comparisons import WALL_P99
from trtproof.report.figures import HEADLINE, NS_PER_MS, Timing, time_contender
from trtproof.report.left_out import read_selection
from trtproof.report.relative import Rate, rate_over_windows
from trtproof.report.skipped import why_skipped

if TYPE_CHECKING:
    from pandas import DataFrame

LATENCY_FIGURES: Final = {"p50_ms": HEADLINE, "p99_ms": WALL_P99}
TOO_LITTLE: Final = "no round or window that both have"
Rounds = Mapping[int, float]


@dataclass(frozen=True)
class Duel:
    """The better cell of two, or no difference; `ratio` is above 1 where `first` is better.

    `bounds` is the ratio's 95 % interval, None for too few values or a figure without rounds.
    """

    first: Cell
    second: Cell
    word: Word
    reason: str
    ratio: float | None = None
    bounds: Bounds | None = None

    @property
    def is_clear(self) -> bool:
        """Say whether the first is better beyond doubt."""
        return self.word is Word.FASTER


@dataclass(frozen=True)
class Session:
    """The recorded session of the finalists: run.json and every request."""

    record: Mapping[str, Any]
    samples: DataFrame

    @property
    def reference(self) -> str:
        """Return the variant that always runs twice."""
        return str(self.record["reference"])

    @property
    def profile(self) -> str:
        """Return the benchmark's profile."""
        return str(self.record["profile"])

    def effect(self, figure: str) -> float:
        """Return the smallest difference that matters, as a share; the median's for others."""
        figures = self.record["figures"]
        return float(figures.get(figure, figures[HEADLINE])["minimum_effect"])


def settle(first: Cell, second: Cell, figure: Figure, session: Session) -> Duel:
    """Return whether the first cell is better than the second by a figure."""
    if figure.kind is Kind.RATE:
        return _over_windows(first, second, figure, session)
    if figure.kind is Kind.LATENCY:
        found = _over_rounds(first, second, figure, session)
        return found or _over_windows(first, second, figure, session)
    return _by_bounds(first, second, figure)


def _over_rounds(first: Cell, second: Cell, figure: Figure, session: Session) -> Duel | None:
    """Compare with one request in flight; None where a cell was not timed so, or has no P99."""
    if (first.streams, second.streams) != (1, 1):
        return None
    key = LATENCY_FIGURES[figure.name]
    samples = of_scenario(session.samples, LATENCY)
    names = (second.variant, first.variant, session.reference, f"{session.reference}{AGAIN}")
    batches = (second.batch, first.batch, second.batch, second.batch)
    timings = [
        time_contender(samples, name, batch) for name, batch in zip(names, batches, strict=True)
    ]
    found = [item for item in timings if isinstance(item, Timing) and key in item.values_ms]
    if len(found) < len(timings):
        return None
    worse, better, once, again = (item.values_ms[key] for item in found)
    selection = read_selection(samples, session.record)
    if not set(selection.kept) & worse.keys() & better.keys() & again.keys():
        return None
    return _judge(
        (first, second),
        RoundValues(worse, carry_rounds(worse, once, again), better, found[0].sessions),
        VerdictRule(session.effect(key), session.profile),
        selection,
    )


def _judge(
    cells: tuple[Cell, Cell], values: RoundValues, rule: VerdictRule, selection: Selection
) -> Duel:
    verdict = judge(values, rule, selection)
    return Duel(*cells, verdict.word, verdict.reason, verdict.shown.value, verdict.shown.bounds)


def _over_windows(first: Cell, second: Cell, figure: Figure, session: Session) -> Duel:
    """Compare loads window by window; the noise is the reference's, at either load."""
    one, two = (_windows(cell, cell.variant, figure, session) for cell in (first, second))
    ratio = _ratio(one, two, figure.better)
    controls = [
        _ratio(
            _windows(cell, f"{session.reference}{AGAIN}", figure, session),
            _windows(cell, session.reference, figure, session),
            figure.better,
        )
        for cell in (first, second)
    ]
    if ratio is None:
        why = why_skipped(
            session.record.get("scenarios", {}), THROUGHPUT,
            setting=THROUGHPUT, profile=session.profile,
        )  # fmt: skip
        return Duel(first, second, Word.INCONCLUSIVE, why.reason if why else TOO_LITTLE)
    floors = [aa_halfwidth(_as_ratio(item, gate=True)) for item in controls if item is not None]
    known = [floor for floor in floors if floor is not None]
    shown = _as_ratio(ratio, gate=False)
    floor = max(known) if len(known) == len(controls) else None
    word, reason = choose_word(shown, _as_ratio(ratio, gate=True), floor, session.effect(HEADLINE))
    return Duel(first, second, word, reason, shown.value, shown.bounds)


def _windows(cell: Cell, contender: str, figure: Figure, session: Session) -> Rounds:
    """Return round -> a contender's rate or percentile under the cell's load."""
    notes = [
        note
        for note in session.record.get("scenarios", {}).get(THROUGHPUT, ())
        if note.get("contender") == contender
        and (note["batch"], note["streams"]) == (cell.batch, cell.streams)
        and not note["left_out"]
    ]
    if figure.kind is Kind.RATE:
        return {int(note["round"]): float(note["samples_per_s"]) for note in notes}
    rows = counted(of_scenario(session.samples, THROUGHPUT))
    rows = rows[(rows["contender"] == contender) & (rows["batch"] == cell.batch)]
    rows = rows[rows["streams"] == cell.streams]
    share = PUBLISHED[figure.key]
    return {
        int(str(number)): percentile(window["e2e_ns"].to_numpy(dtype=np.int64) / NS_PER_MS, share)
        for number, window in rows.groupby("round")
    }


def _ratio(one: Rounds, two: Rounds, better: Better) -> Rate | None:
    """Return how much better the first is, window by window, None without a common one."""
    common = sorted(one.keys() & two.keys())
    if not common:
        return None
    ratios = [one[number] / two[number] for number in common]
    return rate_over_windows([value if better is Better.HIGHER else 1 / value for value in ratios])


def _as_ratio(rate: Rate, *, gate: bool) -> Ratio:
    bounds = rate.gate if gate else rate.shown
    low, high = bounds or (None, None)
    confidence = GATE_CONFIDENCE if gate else SHOWN_CONFIDENCE
    return Ratio(rate.value, low, high, rate.windows, confidence=confidence)


def _by_bounds(first: Cell, second: Cell, figure: Figure) -> Duel:
    """Compare what has no rounds: clear where the intervals do not meet."""
    values = [measure(figure, cell) for cell in (first, second)]
    found = [item for item in values if isinstance(item, Value)]
    ends = [item.ends for item in found if item.ends is not None]
    if len(ends) < len(values):
        return Duel(first, second, Word.INCONCLUSIVE, "one of them has no interval")
    one, two = _turned(ends, figure.better)
    if one[0] > two[1]:
        return Duel(first, second, Word.FASTER, "their intervals do not meet")
    if one == two and one[0] == one[1]:
        return Duel(first, second, Word.SAME, "exactly the same")
    return Duel(first, second, Word.INCONCLUSIVE, "their intervals meet")


def _turned(ends: Sequence[Bounds], better: Better) -> Sequence[Bounds]:
    """Return intervals of which the higher is better."""
    if better is Better.HIGHER:
        return ends
    return [(-high, -low) for low, high in ends]
