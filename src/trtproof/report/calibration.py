"""What the report says of the calibration set: its verdict, its figures, its worst tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trtproof.report.calibration_figures import is_calibrated
from trtproof.report.cells import NOT_MEASURED, Cell, Column, Table, absent_cell
from trtproof.report.cells import format_number as number
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings
from trtproof.report.sources import flatten

SHOWN_KEYS: Final = ("samples_count", "samples_sha256", "duplicates_count", "synthetic")
WARNED: Final = ("different", "harmful")


def calibration_title(findings: Findings) -> str:
    """Return the verdict in one sentence."""
    found = findings.calibration
    if isinstance(found, NotMeasured):
        return f"Calibration set: {NOT_MEASURED}: {found.reason}"
    summary = str(found.get("summary", f"{NOT_MEASURED}: it was not compared"))
    return f"Calibration: {summary}"


def calibration_warnings(findings: Findings) -> list[str]:
    """Return what a reader of scores must know, where a recipe uses the calibration."""
    found, recipes = findings.calibration, findings.settings.recipes
    if isinstance(found, NotMeasured) or not any(is_calibrated(name, recipes) for name in recipes):
        return []
    warnings = []
    if found.get("verdict") in WARNED or "given" in found:
        warnings.append(f"Calibration: {found['summary']}")
    shared = found.get("evaluation", {}).get("shared_count", 0)
    if shared:
        warnings.append(
            f"Calibration: {shared} of its {found['samples_count']} samples are evaluation inputs "
            "too, so the scores of quantised variants are flattered"
        )
    if found.get("executor", {}).get("device", "cpu") != "cpu":
        warnings.append(
            "Calibration: computed on a GPU, whose ranges other machines may not repeat"
        )
    return warnings


def calibration_facts(coverage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts of the samples, with the classes' counts on one line."""
    facts = {key: coverage[key] for key in SHOWN_KEYS if key in coverage}
    facts |= {key: coverage[key] for key in ("given", "evaluation", "executor") if key in coverage}
    counts = coverage.get("class_counts")
    if isinstance(counts, Mapping):
        facts["class_counts"] = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return flatten(facts)


def calibration_table(findings: Findings) -> Table:
    """Return the tensors that lose most by the calibration, with the set's figures as notes."""
    columns = (
        Column("Tensor"),
        Column("Calibrated to", is_number=True),
        Column("Evaluation inputs reach", is_number=True),
        Column("Inputs beyond", is_number=True),
        Column("Values cut", is_number=True),
        Column("Loss by the set", is_number=True),
        Column("Other sizes"),
    )
    found = findings.calibration
    comparison = None if isinstance(found, NotMeasured) else found.get("comparison")
    if isinstance(found, NotMeasured) or not comparison:
        reason = found.reason if isinstance(found, NotMeasured) else "it was not compared"
        return Table(columns=columns, rows=[(absent_cell(reason, span=len(columns)),)])
    tensors = comparison["tensors"]
    rows = [_tensor_cells(name, tensors[name]) for name in found["worst_tensors"]]
    notes = [*_figure_notes(comparison), *found["harms"], *found["differences"], *found["remarks"]]
    return Table(columns=columns, rows=rows, notes=notes)


def _tensor_cells(name: str, figures: Mapping[str, Any]) -> Sequence[Cell]:
    beyond = figures["exceeding_share"]
    return (
        Cell(name, kind="code"),
        Cell(number(figures["calibrated_largest"]), kind="number"),
        Cell(number(figures["evaluation_largest"]), kind="number"),
        absent_cell("not by sample")
        if beyond is None
        else Cell(number(100 * beyond, "pct"), kind="number"),
        Cell(number(100 * figures["saturated_share"], "pct"), kind="number"),
        Cell(number(figures["set_loss_db"], "db"), kind="number"),
        Cell("yes" if figures["differs"] else "no"),
    )


def _figure_notes(comparison: Mapping[str, Any]) -> list[str]:
    regret = comparison["regret_db"]
    tensors = (
        f"Over {comparison['tensors_count']} tensors that int8 quantises: expected loss by the set "
        f"{number(comparison['expected_loss_db'], 'db')}; regret against the best scales "
        f"{number(regret['mean'], 'db')} in the mean, {number(regret['max'], 'db')} at most; "
        f"{number(100 * comparison['differing_share'], 'pct')} of the tensors reach other sizes."
    )
    notes = [tensors]
    exceedance = comparison["exceedance"]
    if exceedance:
        notes.append(
            f"Evaluation inputs go beyond the calibrated ranges "
            f"{number(exceedance['ratio'], 'ratio')} as often as inputs of the same kind would "
            f"(chance of that many: {number(exceedance['p_value'])})."
        )
    return notes
