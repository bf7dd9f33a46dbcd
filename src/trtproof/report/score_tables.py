"""Tables of how sure a lost score is, and of what a variant takes against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trtproof.report.cells import ENDS, Cell, Column, Facts, Table, absent_cell, name_cell, unit_of
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Scores, VariantFindings
from trtproof.report.metrics import THROUGHPUT_CONTROL, drop_name
from trtproof.report.tables import drop_cell, score_names, score_title
from trtproof.scoring.drops import Drop, Method

INTERVALS: Final = ("ci", "gate")
"""By their key in metrics: 95 % is shown, 99 % decides."""

DROP_NOTES: Final = (
    "A limit is met or missed only where the whole 99 % interval is on one side of it.",
    (
        "Lost and gained are the samples on which the variant is worse and better than the "
        "reference; p is that of McNemar's exact test that it loses as many as it gains."
    ),
)
RELATIVE_NOTES: Final = (
    (
        "Host memory is the largest of the processes that timed a variant, with all the libraries "
        "that it loads; throughput is that of the batch and number of streams that give most, and "
        "the reference's row shows its own second run (A/A)."
    ),
)

NO_WINDOWS: Final = "it takes two windows of a load with both"


def drop_table(findings: Findings, facts: Facts) -> Table:
    """Return every drop with both intervals and the samples that it was counted from."""
    columns = (
        Column("Variant"),
        Column("Score"),
        Column("Drop", is_number=True),
        *(Column(title, is_number=True) for title in ("95 % from", "to", "99 % from", "to")),
        *(Column(title, is_number=True) for title in ("Lost", "Gained", "McNemar's p")),
        Column("Interval"),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        drops = variant.scores.drops if isinstance(variant.scores, Scores) else variant.scores
        if position == 0 or not drops:
            continue
        name = name_cell(variant.name, position)
        if isinstance(drops, NotMeasured):
            rows.append((name, absent_cell(drops.reason, span=len(columns) - 1)))
            continue
        rows += [
            (name, *_drop_cells(variant, facts, metric, drops[metric]))
            for metric in score_names(findings)
            if metric in drops
        ]
    return Table(columns=columns, rows=rows, notes=DROP_NOTES)


def relative_table(findings: Findings, facts: Facts) -> Table:
    """Return memory, size and throughput, absolute or as a multiple of the reference's."""
    name = findings.reference.name
    titles = ("Host memory, peak", f"over {name}", f"Plan over {name}")
    columns = (
        Column("Variant"),
        *(Column(title, is_number=True) for title in titles),
        Column(f"Throughput over {name}, best loads", is_number=True),
        Column("95 %", is_number=True),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        keys = ("host_peak_mib", "host_peak_ratio", "plan_size_ratio")
        cells = [facts.device_cell(variant.name, key) for key in keys]
        if position == 0:
            cells[1:] = [Cell("reference")] * len(cells[1:])
        ratio = "throughput_ratio" if position else THROUGHPUT_CONTROL
        cells.append(facts.device_cell(variant.name, ratio, "value"))
        interval = facts.interval(variant.name, ratio)
        cells.append(Cell(interval, kind="number") if interval else absent_cell(NO_WINDOWS))
        rows.append((name_cell(variant.name, position), *cells))
    return Table(columns=columns, rows=rows, notes=RELATIVE_NOTES)


def _drop_cells(variant: VariantFindings, facts: Facts, metric: str, drop: Drop) -> list[Cell]:
    name, stem = drop_name(metric), metric.rpartition("_")[0]
    cells = [Cell(score_title(metric)), drop_cell(variant, facts, metric)]
    if drop.gate is None:
        cells.append(absent_cell(drop.reason, span=len(INTERVALS) * len(ENDS)))
    else:
        cells += [
            facts.cell(variant.name, "scores", f"{name}_{kind}_{end}", unit=unit_of(name))
            for kind in INTERVALS
            for end in ENDS
        ]
    for key in (f"{stem}_lost_count", f"{stem}_gained_count", f"{stem}_mcnemar_p_ratio"):
        known = facts.number(variant.name, "scores", key) is not None
        plain = facts.cell(variant.name, "scores", key, unit="count")
        cells.append(plain if known else Cell("none for this method"))
    return [*cells, Cell(drop.method if drop.method is not Method.NONE else "none")]
