"""Findings -> the tables of load by streams, of sustained use and of cold starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from trtproof.measure.schedule import AGAIN
from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, format_number, name_cell
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.metrics import load_key
from trtproof.report.relative import rate_of
from trtproof.report.scenarios import PHASES, Load, Sustained

PHASE_TITLES: Final = {
    "process": "Process",
    "import": "Imports",
    "context": "GPU context",
    "open": "Open the plan",
    "first": "First answer",
    "rest": "Between",
}


def load_table(findings: Findings, facts: Facts) -> Table:
    """Return samples per second by batch size (rows) and streams (columns), with P99 latency."""
    loads = [
        load
        for variant in findings.variants
        if not isinstance(variant.scenarios.throughput, NotMeasured)
        for load in variant.scenarios.throughput
    ]
    streams = sorted({load.streams for load in loads})
    titles = [f"{count} stream{'s' if count > 1 else ''}, samples per second" for count in streams]
    heads = ("Batch", *titles)
    columns = (Column("Variant"), *(Column(title, is_number=True) for title in heads))
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, found = name_cell(variant.name, position), variant.scenarios.throughput
        if isinstance(found, NotMeasured):
            rows.append((name, absent_cell(found.reason, span=len(columns) - 1)))
            continue
        rows += _load_rows(name, facts, variant, found, streams)
        again = Cell(f"{variant.name}{AGAIN}", colour=name.colour)
        rows += _again_rows(again, variant.scenarios.again, streams)
    return Table(columns=columns, rows=rows, notes=_load_notes())


def _load_rows(
    name: Cell,
    facts: Facts,
    variant: VariantFindings,
    loads: Sequence[Load],
    streams: Sequence[int],
) -> list[Sequence[Cell]]:
    return [
        (
            name,
            _count(batch),
            *(_load_cell(facts, variant.name, row.get(count)) for count in streams),
        )
        for batch, row in _by_batch(loads).items()
    ]


def _load_cell(facts: Facts, variant: str, load: Load | None) -> Cell:
    if load is None:
        return absent_cell("not in this session's grid")
    cell = facts.device_cell(variant, load_key(load, "ips"), "value")
    return replace(cell, detail=_load_detail(load))


def _again_rows(name: Cell, loads: Sequence[Load], streams: Sequence[int]) -> list[Sequence[Cell]]:
    """Return a variant's second run, which is in no metrics file."""
    rows: list[Sequence[Cell]] = []
    for batch, row in _by_batch(loads).items():
        cells = [
            Cell(format_number(load.rate_ips, "ips"), kind="number", detail=_load_detail(load))
            if (load := row.get(count))
            else absent_cell("not in this session's grid")
            for count in streams
        ]
        rows.append((name, _count(batch), *cells))
    return rows


def _load_detail(load: Load) -> str:
    """Return the interval over windows, the tail, busy processors, and what did not count."""
    shown = rate_of(load).shown
    tail = next((name for name in ("p99", "p95", "p90") if name in load.latencies_ms), "p50")
    parts = [f"95 % {' to '.join(map(format_number, shown))}" if shown else "a single window"]
    if tail in load.latencies_ms:
        parts.append(f"{tail.upper()} {format_number(load.latencies_ms[tail], 'ms')}")
    parts.append(f"{load.cores:.1f} cores")
    if load.left_out_count:
        parts.append(f"{load.left_out_count} disturbed and left out")
    if load.mostly_disturbed:
        parts.append("mostly disturbed, so none left out")
    return ", ".join(parts)


def _by_batch(loads: Sequence[Load]) -> Mapping[int, Mapping[int, Load]]:
    rows: dict[int, dict[int, Load]] = {}
    for load in loads:
        rows.setdefault(load.batch, {})[load.streams] = load
    return rows


def _count(value: int) -> Cell:
    return Cell(format_number(value), kind="number")


def _load_notes() -> list[str]:
    small = (
        "Closed loop: every stream has one request in flight at all times. Small print: the 95 % "
        "interval over windows (Student's t), latency with the wait for other streams, processors "
        "kept busy."
    )
    overlap = (
        "With more than one stream the requests overlap, so that a latency is not what one request "
        "takes alone: read the throughput."
    )
    return [
        small,
        overlap,
        f"NAME{AGAIN} is NAME's second run; the reference's is this scenario's noise.",
    ]


def sustained_table(findings: Findings, facts: Facts) -> Table:
    """Return latency of one variant alone on the machine, after it has settled."""
    columns = (
        Column("Variant"),
        Column("Batch", is_number=True),
        Column("Median", is_number=True),
        Column("P99", is_number=True),
        Column("Median, interleaved", is_number=True),
        Column("Requests", is_number=True),
        Column("Settled?"),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, found = name_cell(variant.name, position), variant.scenarios.sustained
        if isinstance(found, NotMeasured):
            rows.append((name, absent_cell(found.reason, span=len(columns) - 1)))
            continue
        rows += [(name, *_sustained_cells(facts, variant.name, one)) for one in found]
    return Table(columns=columns, rows=rows)


def _sustained_cells(facts: Facts, variant: str, found: Sustained) -> tuple[Cell, ...]:
    key = f"sustained_b{found.batch}_ms"
    settled = Cell("settled") if found.settled else Cell("did not settle", tone="warn")
    if found.causes:
        settled = replace(settled, tone="warn", detail=f"disturbed: {'; '.join(found.causes)}")
    return (
        _count(found.batch),
        facts.device_cell(variant, key, "p50"),
        facts.device_cell(variant, key, "p99"),
        facts.device_cell(variant, f"latency_b{found.batch}_ms", "p50"),
        _count(found.samples_count),
        settled,
    )


def shown_phases(findings: Findings) -> list[str]:
    """Return the phases of cold starts that any variant has, in their order."""
    colds = [variant.scenarios.cold for variant in findings.variants]
    seen = {name for cold in colds if not isinstance(cold, NotMeasured) for name in cold.phases_ms}
    return [phase for phase in PHASES if phase in seen or not seen]


def cold_table(findings: Findings, facts: Facts) -> Table:
    """Return the time from the start of a process to its first answer, by phase."""
    shown = shown_phases(findings)
    heads = ("Start to first answer", *(PHASE_TITLES[phase] for phase in shown), "Processes")
    columns = (Column("Variant"), *(Column(title, is_number=True) for title in heads))
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, found = name_cell(variant.name, position), variant.scenarios.cold
        if isinstance(found, NotMeasured):
            rows.append((name, absent_cell(found.reason, span=len(heads))))
            continue
        spread = " to ".join(format_number(end) for end in (found.least_ms, found.most_ms))
        total = replace(facts.device_cell(variant.name, "cold_ms", "total"), detail=spread)
        phases = (facts.device_cell(variant.name, "cold_ms", phase) for phase in shown)
        rows.append((name, total, *phases, _count(found.processes_count)))
    note = "Medians over processes; small print: the fastest and the slowest. The files were read "
    return Table(columns=columns, rows=rows, notes=[f"{note}before, so the disk's share is small."])
