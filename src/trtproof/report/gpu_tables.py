"""Findings -> the tables of energy and of memory on the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, format_number, name_cell
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.gpu_figures import BYTES_PER_MIB, MEMORY_KEY, energy_key
from trtproof.report.gpu_findings import Energy, Ledger

ENERGY_HEADS: Final = ("Batch", "Energy of one inference", "Power", "Idle, plans loaded", "Windows")
MEMORY_HEADS: Final = {
    "context": "Context",
    "weights": "Weights and libraries",
    "activations": "Activations, workspace",
    "io": "Requests' buffers",
    "unexplained": "Unexplained",
    "total": "In use",
    "peak": "Peak",
}
TOLD_IN: Final = {"peak": ("allocated", "reserved"), "io": ()}
"""Column -> the parts of what libraries say that stand in it; of others, those of its own name."""

WHOLE_MODULE: Final = "gh200"
"""A superchip whose energy counter covers its processor and memory as well."""

ENERGY_NOTE: Final = (
    "By the counter of the GPU's board, over windows of one variant alone, one request in flight. "
    "Idle power is not subtracted. Not the energy of the machine, and no MLPerf power figure."
)
MEMORY_NOTE: Final = (
    "Each variant in a process of its own while nothing else runs on the GPU. Context: what NVML "
    "sees appear with an empty context. Weights and libraries, activations: what cudaMemGetInfo "
    "sees taken by loading and by the warm-up. Requests' buffers: our own. Unexplained: the rest "
    "to what NVML sees. Small print: what the library itself says."
)


def energy_table(findings: Findings, facts: Facts) -> Table:
    """Return millijoules of one inference, by variant and batch size."""
    columns = (Column("Variant"), *(Column(head, is_number=True) for head in ENERGY_HEADS))
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, found = name_cell(variant.name, position), findings.gpu.energy
        if isinstance(found, NotMeasured) or not variant.is_timed or variant.name not in found:
            reason = found.reason if isinstance(found, NotMeasured) else variant.reason
            rows.append((name, absent_cell(reason or "not timed", span=len(ENERGY_HEADS))))
            continue
        rows += [(name, *_energy_cells(facts, variant.name, one)) for one in found[variant.name]]
    notes = [ENERGY_NOTE]
    if WHOLE_MODULE in findings.hardware.slug:
        notes.append("The counter of this module covers its processor and its memory as well.")
    return Table(columns=columns, rows=rows, notes=notes)


def _energy_cells(facts: Facts, variant: str, found: Energy) -> tuple[Cell, ...]:
    path = (variant, facts.slug, energy_key(found.batch))
    energy = facts.cell(*path, "gpu_mj_per_inference", unit="mJ")
    low, high = (format_number(end) for end in (min(found.windows_mj), max(found.windows_mj)))
    power = facts.cell(*path, "gpu_w", unit="W")
    if not found.agrees:
        detail = "polled power tells more than 10 % otherwise"
        power = replace(power, tone="warn", detail=detail)
    windows = Cell(format_number(len(found.windows_mj)), kind="number")
    if found.causes:
        gone = f"{found.left_out_count} left out" if found.left_out_count else "all disturbed"
        windows = replace(windows, tone="warn", detail=f"{gone}: {'; '.join(found.causes)}")
    return (
        Cell(format_number(found.batch), kind="number"),
        replace(energy, detail=f"{low} to {high}"),
        power,
        facts.cell(*path, "idle_w", unit="W"),
        windows,
    )


def memory_table(findings: Findings, facts: Facts) -> Table:
    """Return where each variant's memory on the GPU goes."""
    heads = ("Batch", *MEMORY_HEADS.values())
    columns = (Column("Variant"), *(Column(head, is_number=True) for head in heads))
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, ledger = name_cell(variant.name, position), _find_ledger(findings, variant)
        if isinstance(ledger, NotMeasured):
            rows.append((name, absent_cell(ledger.reason, span=len(heads))))
            continue
        batch = Cell(format_number(ledger.batch), kind="number")
        cells = [_memory_cell(facts, variant.name, part, ledger) for part in MEMORY_HEADS]
        rows.append((name, batch, *cells))
    return Table(columns=columns, rows=rows, notes=[MEMORY_NOTE])


def _find_ledger(findings: Findings, variant: VariantFindings) -> Ledger | NotMeasured:
    found = findings.gpu.memory
    if isinstance(found, NotMeasured):
        return found
    absent = NotMeasured(variant.reason or "not timed")
    return found.get(variant.name, absent) if variant.is_timed else absent


def _memory_cell(facts: Facts, variant: str, part: str, ledger: Ledger) -> Cell:
    cell = facts.device_cell(variant, MEMORY_KEY, part)
    told = [
        f"{format_number(figure['size_bytes'] / BYTES_PER_MIB, 'mib')} ({figure['source']})"
        for figure in ledger.told
        if figure["part"] in TOLD_IN.get(part, (part,))
    ]
    return replace(cell, detail="; ".join(told)) if told else cell
