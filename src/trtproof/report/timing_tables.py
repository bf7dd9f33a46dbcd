"""Findings -> the tables of latency, of its percentiles and of the verdicts on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trtproof.measure.quantiles import samples_needed
from trtproof.measure.verdict import Word
from trtproof.report.cells import Cell, Column, Facts, Table, Tone, absent_cell, name_cell
from trtproof.report.comparisons import Comparison
from trtproof.report.figures import PERCENTILES, NotMeasured, Timing
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.metrics import ratio_key
from trtproof.report.torch_best import torch_key
from trtproof.report.torch_tables import best_cell, best_column, best_name, best_text

TONES: Final[dict[Word, Tone]] = {
    Word.FASTER: "ok",
    Word.SLOWER: "bad",
    Word.SAME: "same",
    Word.INCONCLUSIVE: "warn",
}
NO_INTERVAL: Final = "too few rounds"


def latency_table(findings: Findings, facts: Facts, batch: int) -> Table:
    """Return latency, speed-up with its interval, and throughput at one batch size."""
    columns = (
        Column("Variant"),
        Column("Median", is_number=True),
        Column("P99", is_number=True),
        Column(f"Speed, {findings.reference.name} = 1", is_number=True),
        Column("95 % interval", is_number=True),
        Column("Verdict"),
        best_column(findings, batch),
        Column("Samples per second", is_number=True),
        Column("Requests", is_number=True),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        timing = variant.timings[batch]
        if isinstance(timing, NotMeasured):
            cells: Sequence[Cell] = (absent_cell(timing.reason, span=len(columns) - 1),)
        else:
            cells = (
                facts.device_cell(variant.name, f"latency_b{batch}_ms", "p50"),
                replace(_percentile_cell(facts, variant.name, timing, "p99"), detail=""),
                *_speed_cells(variant, findings, facts, batch),
                best_cell(findings, facts, variant, batch),
                facts.device_cell(variant.name, f"throughput_b{batch}_ips"),
                facts.device_cell(variant.name, f"samples_b{batch}_count"),
            )
        rows.append((name_cell(variant.name, position), *cells))
    return Table(columns=columns, rows=rows, notes=[f"{best_text(findings, batch)}."])


def percentile_table(findings: Findings, facts: Facts, batch: int) -> Table:
    """Return latencies from the smallest to the largest with 95 % intervals, and CPU time."""
    titles = {"min": "Smallest"}
    titles |= {name: name.upper().replace("_", ".") for name in PERCENTILES}
    titles |= {"max": "Largest", "mean": "Mean"}
    rows = [
        (
            name_cell(variant.name, position),
            *(_percentile_cell(facts, variant.name, timing, name) for name in titles),
            _with_interval(facts, variant.name, f"cpu_b{batch}_ms", "p50"),
            facts.device_cell(variant.name, f"samples_b{batch}_count"),
        )
        for position, variant in enumerate(findings.variants)
        if isinstance(timing := variant.timings[batch], Timing)
    ]
    heads = (*titles.values(), "CPU time, P50", "Requests")
    columns = (Column("Variant"), *(Column(title, is_number=True) for title in heads))
    note = (
        "Small print: 95 % interval, over rounds and worker starts up to P99, by order statistics "
        "beyond. A percentile stands here only with ten requests beyond it (so many must be "
        "measured), and has an interval over rounds only where every round by itself has as many."
    )
    return Table(columns=columns, rows=rows, notes=[note])


def verdict_table(findings: Findings, facts: Facts, batch: int) -> Table:
    """Return every comparison with the reference, and what its word follows from.

    The first rows compare the reference with its own second run.
    """
    titles = ["Ratio, 95 % interval", "99 %, rounds only", "Counts from"]
    if findings.selection.left_out:
        titles.insert(2, "With all rounds")
    columns = (
        Column("Variant"),
        Column("Compared by"),
        Column("Verdict"),
        *(Column(title, is_number=True) for title in titles),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, comparisons = name_cell(variant.name, position), variant.comparisons[batch]
        if isinstance(comparisons, NotMeasured):
            rows.append((name, absent_cell(comparisons.reason, span=len(columns) - 1)))
            continue
        head = replace(name, detail="" if position else "its second run")
        rows += [
            (
                head,
                *_comparison_cells(
                    findings,
                    facts,
                    variant,
                    ratio_key(figure, batch, is_control=not position),
                    comparison,
                ),
            )
            for figure, comparison in comparisons.items()
        ]
        rows += _torch_rows(findings, facts, variant, name, batch)
    return Table(columns=columns, rows=rows, notes=_verdict_notes(findings))


def word_cell(comparison: Comparison) -> Cell:
    """Return the word in its colour; what must not decide anything says so below it."""
    verdict = comparison.verdict
    undecided = "shown only" if verdict.gates else "indicative"
    detail = "decides" if comparison.decides else undecided
    return Cell(verdict.word, tone=TONES[verdict.word], detail=detail)


def _percentile_cell(facts: Facts, variant: str, timing: Timing, name: str) -> Cell:
    if name in PERCENTILES and name not in timing.percentiles:
        needed = samples_needed(PERCENTILES[name])
        return absent_cell(f"{timing.samples_count:,} of {needed:,} requests")
    return _with_interval(facts, variant, f"latency_b{timing.batch}_ms", name)


def _with_interval(facts: Facts, variant: str, key: str, name: str) -> Cell:
    """Return a number with its 95 % interval, where it has one, in small print."""
    cell = facts.device_cell(variant, key, name)
    return replace(cell, detail=facts.interval(variant, key, f"{name}_ci_"))


def _speed_cells(
    variant: VariantFindings, findings: Findings, facts: Facts, batch: int
) -> tuple[Cell, ...]:
    """Return ratio, interval and word; the reference shows its own second run there."""
    comparisons, is_reference = variant.comparisons[batch], variant is findings.reference
    if isinstance(comparisons, NotMeasured):
        second = "second run, " if is_reference else ""
        return (absent_cell(f"{second}{comparisons.reason}", span=3),)
    figure, headline = next(iter(comparisons.items()))
    key = ratio_key(figure, batch, is_control=is_reference)
    word = Cell("reference, run twice") if is_reference else word_cell(headline)
    ratio = facts.device_cell(variant.name, key, "value")
    return ratio, _interval_cell(facts, variant.name, key), word


def _comparison_cells(
    findings: Findings,
    facts: Facts,
    variant: VariantFindings,
    key: str,
    comparison: Comparison,
) -> tuple[Cell, ...]:
    """Return the cells beside the name; `key` is where the ratio stands in the metrics."""
    is_reference, name = variant is findings.reference, variant.name
    verdict, word = comparison.verdict, word_cell(comparison)
    says_all = is_reference or not verdict.gates  # an indicative verdict's reason says so
    why = verdict.reason if says_all else f"{word.detail}; {verdict.reason}"
    every = replace(
        facts.device_cell(name, key, "all_rounds"),
        detail=facts.interval(name, key, "all_rounds_ci_"),
    )
    shown = facts.device_cell(name, key, "value")
    return (
        Cell(comparison.title),
        replace(word, kind="reason", detail=why),
        replace(shown, detail=facts.interval(name, key) or NO_INTERVAL),
        _interval_cell(facts, name, key, "gate_"),
        *((every,) if findings.selection.left_out else ()),
        Cell(f"{100 * verdict.delta:.1f} %", kind="number"),
    )


def _torch_rows(
    findings: Findings, facts: Facts, variant: VariantFindings, name: Cell, batch: int
) -> list[Sequence[Cell]]:
    """Return the comparisons with the best PyTorch setting, where that is not the reference."""
    best, found = best_name(findings, batch), variant.against_torch[batch]
    if best in {"", findings.reference.name} or isinstance(found, NotMeasured):
        return []
    rows: list[Sequence[Cell]] = []
    for figure, comparison in found.items():
        key = torch_key(figure, batch)
        title, *cells = _comparison_cells(findings, facts, variant, key, comparison)
        rows.append((name, replace(title, detail=f"against {best}"), *cells))
    return rows


def _interval_cell(facts: Facts, variant: str, key: str, prefix: str = "ci_") -> Cell:
    interval = facts.interval(variant, key, prefix)
    return Cell(interval, kind="number") if interval else absent_cell(NO_INTERVAL)


def _verdict_notes(findings: Findings) -> list[str]:
    rule = (
        "FASTER and SLOWER need the whole 99 % interval beyond the share that counts, and the 95 % "
        "interval beyond 1. A difference counts from the smallest effect that matters, or from the "
        "99 % half-width of the reference against itself, whichever is larger; against the best "
        "PyTorch setting, of that one against itself where it ran twice. Where both of a pair ran "
        "twice the noisier one counts. On a processor, "
        "which others use too, P10 and CPU time decide; on a GPU the median and P99."
    )
    left_out = (
        "Disturbed rounds are left out for all variants alike, by what the machine's counters say "
        "and never by the times; the column with all rounds shows what that changes."
    )
    return [rule, left_out] if findings.selection.left_out else [rule]
