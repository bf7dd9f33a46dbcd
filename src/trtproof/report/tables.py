"""Findings -> tables of the page and the Markdown summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, name_cell
from trtproof.report.cells import format_number as number
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Audit, Findings, Plan, Scores, VariantFindings
from trtproof.report.metrics import drop_name
from trtproof.scoring.difference import WORST_COUNT, TensorDifference
from trtproof.scoring.drops import Method

REFERENCE: Final = Cell("reference", kind="number")


def score_table(findings: Findings, facts: Facts) -> Table:
    """Return every score and its drop, and how often the answer is the reference's."""
    metrics = score_names(findings)
    titles = [title for name in metrics for title in (score_title(name), "Drop")]
    titles += [f"Same answer as {findings.reference.name}", "Samples", "Samples with NaN"]
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        if isinstance(variant.scores, NotMeasured):
            cells: Sequence[Cell] = (absent_cell(variant.scores.reason, span=len(titles)),)
        else:
            cells = _score_cells(variant, facts, metrics, is_reference=position == 0)
        rows.append((name_cell(variant.name, position), *cells))
    columns = (Column("Variant"), *(Column(title, is_number=True) for title in titles))
    return Table(columns=columns, rows=rows, notes=_score_notes(findings))


def difference_table(findings: Findings) -> Table:
    """Return how far the raw outputs of each variant are from the reference's, per tensor."""
    columns = (
        Column("Variant"),
        Column("Output"),
        Column("Largest difference", is_number=True),
        Column("Cosine", is_number=True),
        Column("SQNR", is_number=True),
        Column("NaN", is_number=True),
        Column("Infinite", is_number=True),
        Column("Samples that differ most"),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        if position == 0 or isinstance(variant.scores, NotMeasured):
            continue
        name, differences = name_cell(variant.name, position), variant.scores.differences
        if isinstance(differences, NotMeasured):
            rows.append((name, absent_cell(differences.reason, span=len(columns) - 1)))
            continue
        rows += [
            (name, Cell(output, kind="code"), *_difference_cells(difference, len(columns) - 2))
            for output, difference in differences.items()
        ]
    note = (
        f"Differences are over the samples whose outputs are kept, at most {WORST_COUNT} of which "
        "are named, the worst first; values that are not finite are counted over all samples."
    )
    return Table(columns=columns, rows=rows, notes=[note])


def plan_table(findings: Findings, facts: Facts) -> Table:
    """Return what was built: precision, settings, size, time and identity."""
    columns = (
        Column("Variant"),
        Column("Backend"),
        Column("Precision"),
        Column("TF32"),
        Column("Plan", is_number=True),
        Column("Build", is_number=True),
        Column("SHA-256 of the plan"),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        if isinstance(variant.plan, Plan):
            cells: Sequence[Cell] = (
                facts.device_cell(variant.name, "plan_mib"),
                facts.device_cell(variant.name, "build_s"),
                Cell(variant.plan.sha256, kind="code"),
            )
        else:
            cells = (absent_cell(variant.plan.reason, span=3),)
        tf32 = "allowed" if variant.config.build.tf32 else "off"
        head = (Cell(variant.config.backend), Cell(variant.precision), Cell(tf32))
        rows.append((name_cell(variant.name, position), *head, *cells))
    return Table(columns=columns, rows=rows)


def audit_table(findings: Findings) -> Table:
    """Return the error that each recipe's graph alone brings, found without its target."""
    columns = (
        Column("Recipe"),
        Column("Precision"),
        Column("Output"),
        Column("Largest difference", is_number=True),
        Column("Cosine", is_number=True),
        Column("SQNR", is_number=True),
        Column("Samples", is_number=True),
    )
    rows: list[Sequence[Cell]] = []
    for recipe, audit in zip(findings.settings.recipes, findings.audits, strict=True):
        if not isinstance(audit, Audit):
            rows.append((Cell(recipe), absent_cell(audit.reason, span=len(columns) - 1)))
            continue
        rows += [
            (
                Cell(recipe),
                Cell(audit.precision),
                Cell(output, kind="code"),
                *(_plain_cell(figures.get(key), key) for key in ("max_abs", "cosine", "sqnr_db")),
                Cell(number(audit.samples_count), kind="number"),
            )
            for output, figures in audit.outputs.items()
        ]
    return Table(columns=columns, rows=rows)


def score_names(findings: Findings) -> list[str]:
    """Return every score that any variant has, in the scorers' order."""
    names: dict[str, None] = {}
    for variant in findings.variants:
        if isinstance(variant.scores, Scores):
            names |= dict.fromkeys(variant.scores.values)
    return list(names)


def score_title(metric: str) -> str:
    """Return a metric's name without its unit, as in top1_pct -> "Top-1"."""
    stem = metric.rpartition("_")[0]
    return stem.replace("top", "Top-", 1) if stem.startswith("top") else stem


def _score_cells(
    variant: VariantFindings, facts: Facts, metrics: Sequence[str], *, is_reference: bool
) -> tuple[Cell, ...]:
    cells: list[Cell] = []
    for metric in metrics:
        drop = REFERENCE if is_reference else drop_cell(variant, facts, metric)
        cells += [facts.score_cell(variant.name, metric), drop]
    agreement = facts.score_cell(variant.name, "agreement_pct")
    cells.append(REFERENCE if is_reference else agreement)
    counts = ("samples_count", "missing_count")
    return (*cells, *(facts.score_cell(variant.name, key) for key in counts))


def drop_cell(variant: VariantFindings, facts: Facts, metric: str) -> Cell:
    """Return what a variant loses of a score with its 95 % interval, or why it cannot be told."""
    drops = variant.scores.drops if isinstance(variant.scores, Scores) else variant.scores
    if isinstance(drops, NotMeasured):
        return absent_cell(drops.reason)
    if metric not in drops:
        return absent_cell("the reference or it has no such score")
    name = drop_name(metric)
    interval = facts.score_interval(variant.name, name)
    detail = f"95 % {interval}" if interval else f"no interval: {drops[metric].reason}"
    return replace(facts.score_cell(variant.name, name), detail=detail)


def _score_notes(findings: Findings) -> list[str]:
    notes = ["A positive drop is a loss against the reference on the same samples."]
    methods = {
        f"{score_title(metric)}: {drop.method}"
        for item in findings.variants
        if isinstance(item.scores, Scores) and not isinstance(item.scores.drops, NotMeasured)
        for metric, drop in item.scores.drops.items()
        if drop.method is not Method.NONE
    }
    if methods:
        notes.append(f"Intervals of drops at 95 % ({'; '.join(sorted(methods))}).")
    scored = [item.scores for item in findings.variants if isinstance(item.scores, Scores)]
    if any(not scores.labelled for scores in scored):
        notes.append("The evaluation data have no labels: there is no score, only agreement.")
    if any(scores.missing_count for scores in scored):
        notes.append("A sample whose outputs are NaN has no answer: it counts as wrong.")
    return notes


def _difference_cells(difference: TensorDifference | NotMeasured, span: int) -> tuple[Cell, ...]:
    if isinstance(difference, NotMeasured):
        return (absent_cell(difference.reason, span=span),)
    sqnr = Cell("identical") if difference.identical else _plain_cell(difference.sqnr_db, "sqnr_db")
    worst = ", ".join(f"#{index}" for index in difference.worst_indices)
    return (
        _plain_cell(difference.max_abs, "max_abs"),
        _plain_cell(difference.cosine, "cosine"),
        sqnr,
        Cell(number(difference.nan_count), kind="number"),
        Cell(number(difference.inf_count), kind="number"),
        Cell(worst or "none"),
    )


def _plain_cell(value: float | None, name: str) -> Cell:
    """Return a number that is in no metrics file."""
    if value is None:
        return absent_cell("does not exist for these values")
    unit = "db" if name.endswith("_db") else ""
    return Cell(number(float(value), unit), kind="number")
