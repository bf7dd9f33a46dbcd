"""Findings -> where the time of a request goes, and the device's time alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, format_number, name_cell
from trtproof.report.comparisons import Comparison
from trtproof.report.device_metrics import (
    CV,
    SUM,
    device_key,
    device_noise_key,
    device_ratio_key,
    parts_key,
    spread_key,
)
from trtproof.report.device_times import DEVICE_FIGURE, SERIAL, DeviceTime, Parts
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.pictures import Picture
from trtproof.report.session_texts import NS_PER_US
from trtproof.report.shape_charts import Stack, stacked_bars
from trtproof.report.targets import main_batch
from trtproof.report.timing_tables import NO_INTERVAL, word_cell
from trtproof.report.torch_best import torch_key

PART_TITLES: Final = {
    "h2d": "Copy in (H2D)",
    "device": "GPU compute",
    "d2h": "Copy out (D2H)",
    "enqueue": "Enqueue",
}
SERIAL_TITLES: Final = {name: PART_TITLES[name] for name in SERIAL}
"""The parts that follow one another; submitting runs beside them."""

PARTS_NOTE: Final = (
    "CPU time counts every thread, so it exceeds the wall time where several work. Harness: a "
    "request that does nothing. The parts are medians by the GPU's own clock, in blocks of their "
    "own because their marks cost time; small print: 95 % interval. Enqueue: the host's time "
    "to submit the inference, while the GPU may compute already. The parts are less than the wall "
    "time, which also has the host's calls and its wait."
)
DEVICE_NOTE: Final = (
    "What trtexec calls GPU compute time: the inputs are on the GPU already, the outputs stay "
    "there, and one inference is always launched ahead. Compared round by round like latency; the "
    "row of the reference shows it against its own second run. CV: standard deviation in percent "
    "of the mean."
)


def parts_table(findings: Findings, facts: Facts) -> Table:
    """Return what is known of where the time of one request goes, by variant and batch size."""
    heads = ("Batch", "Wall, median", "CPU time, median", "Harness", *PART_TITLES.values())
    columns = (Column("Variant"), *(Column(head, is_number=True) for head in heads))
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        for batch, timing in variant.timings.items():
            name = name_cell(variant.name, position)
            if isinstance(timing, NotMeasured):
                rows.append((name, absent_cell(timing.reason, span=len(heads))))
                break
            wall = facts.device_cell(variant.name, f"latency_b{batch}_ms", "p50")
            spent = facts.device_cell(variant.name, f"cpu_b{batch}_ms", "p50")
            if spent.kind == "absent":
                spent = absent_cell("the clock of processor time is too coarse for it")
            host = (name, _count(batch), wall, spent, _harness_cell(findings))
            rows.append((*host, *_part_cells(variant, facts, batch)))
    return Table(columns=columns, rows=rows, notes=[PARTS_NOTE])


def draw_parts(findings: Findings, facts: Facts) -> Picture:
    """Draw copies and device time of every variant's requests, one after the other."""
    batch = main_batch(findings)
    stacks, reasons = [], []
    for variant in findings.variants:
        parts = _parts_at(variant, batch)
        if isinstance(parts, NotMeasured):
            reasons.append(parts.reason)
            stacks.append(Stack(variant.name, (), "", note=f"not measured: {parts.reason}"))
        else:
            values = [parts.medians[name].value for name in SERIAL_TITLES]
            text = facts.device_cell(variant.name, parts_key(parts.batch), SUM).text
            stacks.append(Stack(variant.name, values, text))
    title = f"Where the time goes: one request{f', batch {batch}' if batch else ''}"
    lead = (
        "Medians by the GPU's own clock, part by part. At the right: their sum, trtexec's "
        "latency, which leaves out the host."
    )
    if not any(stack.parts_ms for stack in stacks):
        return Picture(title, lead, svg=None, absent=reasons[0])
    return Picture(title, lead, svg=stacked_bars(stacks, list(SERIAL_TITLES.values()), title))


def device_table(findings: Findings, facts: Facts) -> Table:
    """Return the time of launches alone, with speed, interval and verdict."""
    columns = (
        Column("Variant"),
        Column("Batch", is_number=True),
        Column("Median", is_number=True),
        Column("P99", is_number=True),
        Column("CV", is_number=True),
        Column(f"Speed, {findings.reference.name} = 1", is_number=True),
        Column("95 % interval", is_number=True),
        Column("Verdict"),
        Column("Speed, best PyTorch = 1", is_number=True),
        Column("Launches", is_number=True),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        name, found = name_cell(variant.name, position), variant.device.launches
        if isinstance(found, NotMeasured):
            rows.append((name, absent_cell(found.reason, span=len(columns) - 1)))
            continue
        is_reference = variant is findings.reference
        rows += [
            (
                name,
                *_launch_cells(facts, variant.name, one),
                *_speed_cells(facts, variant, one.batch, is_reference=is_reference),
                _torch_cell(facts, variant, one.batch),
                _count(one.samples_count),
            )
            for one in found.values()
        ]
    return Table(columns=columns, rows=rows, notes=[DEVICE_NOTE])


def _part_cells(variant: VariantFindings, facts: Facts, batch: int) -> Sequence[Cell]:
    parts = _parts_at(variant, batch)
    if isinstance(parts, NotMeasured):
        return (absent_cell(parts.reason, span=len(PART_TITLES)),)
    key = parts_key(batch)
    return [
        replace(
            facts.device_cell(variant.name, key, name),
            detail=facts.interval(variant.name, key, f"{name}_ci_"),
        )
        for name in PART_TITLES
    ]


def _parts_at(variant: VariantFindings, batch: int | None) -> Parts | NotMeasured:
    parts = variant.device.parts
    if isinstance(parts, NotMeasured):
        return parts
    found = parts.get(batch) if batch else None
    return found or NotMeasured("no request of this batch size was taken apart")


def _launch_cells(facts: Facts, variant: str, launches: DeviceTime) -> tuple[Cell, ...]:
    key = device_key(launches.batch)
    median = replace(
        facts.device_cell(variant, key, "p50"), detail=facts.interval(variant, key, "p50_ci_")
    )
    return (
        _count(launches.batch),
        median,
        facts.device_cell(variant, key, "p99"),
        facts.device_cell(variant, spread_key(launches.batch), CV),
    )


def _speed_cells(
    facts: Facts, variant: VariantFindings, batch: int, *, is_reference: bool
) -> tuple[Cell, ...]:
    """Return ratio, interval and word; the reference shows its own second run there."""
    comparison = variant.device.comparisons.get(batch)
    if not isinstance(comparison, Comparison):
        why = comparison.reason if comparison else "the reference was not measured at this batch"
        return (absent_cell(why, span=3),)
    key = device_ratio_key(batch, is_control=is_reference)
    word = word_cell(comparison)
    if is_reference:
        noise = facts.on_device(variant.name, device_noise_key(batch), DEVICE_FIGURE)
        shown = f"half-width at 99 % {format_number(noise, 'pct')}" if noise is not None else ""
        word = Cell("reference, run twice", detail=shown)
    interval = facts.interval(variant.name, key)
    ends = Cell(interval, kind="number") if interval else absent_cell(NO_INTERVAL)
    return facts.device_cell(variant.name, key, "value"), ends, word


def _torch_cell(facts: Facts, variant: VariantFindings, batch: int) -> Cell:
    """Return the ratio to the fastest launches of PyTorch, with whose, the interval and word."""
    best, found = variant.device.best_torch.get(batch), variant.device.against_torch.get(batch)
    if best == variant.name:
        noise = facts.on_device(best, device_noise_key(batch), DEVICE_FIGURE)
        shown = f"run twice: half-width at 99 % {format_number(noise, 'pct')}" if noise else ""
        return Cell("the best PyTorch setting", kind="number", detail=shown)
    if best is None:
        return absent_cell("no variant of backend torch has device time")
    if not isinstance(found, Comparison):
        return absent_cell(found.reason if found else "the best one was not timed at this batch")
    key = torch_key(DEVICE_FIGURE, batch)
    word = found.verdict.word if found.verdict.gates else f"{found.verdict.word}, indicative"
    interval = facts.interval(variant.name, key)
    detail = f"{best} = 1; {f'95 % {interval}' if interval else NO_INTERVAL}; {word}"
    return replace(facts.device_cell(variant.name, key, "value"), detail=detail)


def _harness_cell(findings: Findings) -> Cell:
    run = findings.run
    if isinstance(run, NotMeasured) or "e2e_ns" not in run.harness_ns:
        return absent_cell("the session recorded no request that does nothing")
    micro = f"{run.harness_ns['e2e_ns'] / NS_PER_US:.3g} \N{MICRO SIGN}s"
    return Cell(micro, kind="number")


def _count(value: int) -> Cell:
    return Cell(format_number(value), kind="number")
