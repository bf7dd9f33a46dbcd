"""Times by trtexec's protocols, measured here or imported, in one table with one set of statistics.

Rows of two protocols, or of two sets of switches, are different quantities; no ratio is computed of
any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from trtproof.measure.trtexec_figures import warn
from trtproof.measure.trtexec_switches import Switches
from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, format_number, name_cell
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.protocol_times import CV, FIGURES, ProtocolTimes, protocol_key, rate_key

TITLES: Final = {
    "latency": "Latency (H2D + GPU + D2H)",
    "compute": "GPU compute time",
    "h2d": "H2D",
    "d2h": "D2H",
    "enqueue": "Enqueue time",
}
"""In trtexec's words."""

STATISTICS: Final = {
    "mean": "Mean",
    "median": "Median",
    "p90": "P90",
    "p95": "P95",
    "p99": "P99",
    "min": "Smallest",
    "max": "Largest",
}
NOT_KEPT: Final = "imported before it was kept; import it again"
NOTE: Final = (
    "By trtexec's definitions and percentile rule, one query queued ahead. Only rows with the same "
    "protocol and the same switches are the same quantity, and none is this session's latency "
    "(protocol abba/1), so no ratio is computed between protocols, nor between what was "
    "imported and what was measured here."
)


def protocol_table(findings: Findings, facts: Facts) -> Table:
    """Return every figure by trtexec's protocols; no rows where there is none, nor a reason."""
    columns = (
        Column("What"),
        Column("Protocol"),
        Column("Figure"),
        *(Column(title, is_number=True) for title in STATISTICS.values()),
        Column("Varies by", is_number=True),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name = name_cell(variant.name, position)
        if isinstance(variant.protocols, NotMeasured):
            rows.append((name, absent_cell(variant.protocols.reason, span=len(columns) - 1)))
            continue
        for times in variant.protocols:
            rows += _measured_rows(name, variant, facts, times, span=len(columns) - 2)
    rows += [row for record in findings.imports for row in _imported_rows(record)]
    return Table(columns=columns, rows=rows, notes=[NOTE])


def _measured_rows(
    name: Cell, variant: VariantFindings, facts: Facts, times: ProtocolTimes, *, span: int
) -> list[Sequence[Cell]]:
    protocol = Cell(times.protocol, detail=str(Switches(**times.switches)))
    head = replace(name, detail=f"measured here, batch {times.batch}")
    if times.figures is None:
        return [(head, protocol, absent_cell(times.reason, span=span))]
    rate = facts.cell(variant.name, facts.slug, rate_key(times), "value", unit="ips")
    warnings = [*warn(times.figures), *(f"disturbed: {cause}" for cause in times.causes)]
    said = f"{format_number(times.queries_count)} queries, {rate.text}"
    head = replace(head, detail="; ".join([f"{head.detail}; {said}", *warnings]))
    rows: list[Sequence[Cell]] = []
    for figure in FIGURES:
        key = protocol_key(times, figure)
        if figure in times.figures:
            cells = (facts.device_cell(variant.name, key, name) for name in STATISTICS)
            spread = facts.cell(variant.name, facts.slug, key, CV, unit="pct")
            rows.append((head, protocol, Cell(TITLES[figure]), *cells, spread))
    return rows


def _imported_rows(record: Mapping[str, Any]) -> list[Sequence[Cell]]:
    """Return the rows of an import that brought times."""
    times: Mapping[str, Mapping[str, float]] = record.get("times_ms", {})
    said = [f"imported; {format_number(int(record['samples_count']))} queries"] if times else []
    if "queries_per_s" in record:
        said.append(format_number(float(record["queries_per_s"]), "ips"))
    if record.get("warm_up_count"):
        said.append(f"{format_number(int(record['warm_up_count']))} of the warm-up left out")
    whole = all("median" in values for values in times.values())
    head = Cell(str(record["name"]), detail="; ".join([*said, *(warn(times) if whole else [])]))
    protocol = Cell(str(record["protocol"]), detail=str(Switches(**record["run"]["switches"])))
    return [
        (
            head,
            protocol,
            Cell(TITLES[figure]),
            *(_imported_cell(times[figure].get(name), "ms") for name in STATISTICS),
            _imported_cell(times[figure].get(CV), "pct"),
        )
        for figure in FIGURES
        if figure in times and (record["run"]["switches"]["data_transfers"] or figure not in COPIES)
    ]


COPIES: Final = ("h2d", "d2h")
"""What a run without transfers has no times of: trtexec writes zeros there."""


def _imported_cell(value: float | None, unit: str) -> Cell:
    if value is None:
        return absent_cell(NOT_KEPT)
    return Cell(format_number(float(value), unit), kind="number")
