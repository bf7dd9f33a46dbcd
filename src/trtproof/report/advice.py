"""What the parts of requests say about how to go on: trtexec's warnings, with what helps.

The thresholds are trtexec's (samples/common/sampleReporting.cpp).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trtproof.report.cells import Cell, Column, Table, format_number, name_cell
from trtproof.report.device_times import COMPUTE, ENQUEUE, DeviceTime, Parts
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Run, VariantFindings

ENQUEUE_SHARE: Final = 0.8
"""Submitting that takes more of the computing time than this keeps the GPU waiting."""

UNSTABLE_PCT: Final = 2.5
"""Coefficient of variation of the device time above which figures are not stable."""

COPIES: Final = {"h2d": "copying the inputs to", "d2h": "copying the outputs from"}


@dataclass(frozen=True)
class Advice:
    """One thing found of one variant at one batch size, and what helps."""

    variant: str
    batch: int
    text: str
    repair: str


def advise(findings: Findings) -> list[Advice]:
    """Return what was found, in the order of the variants."""
    return [advice for variant in findings.variants for advice in _of_variant(variant, findings)]


def advice_table(findings: Findings) -> Table:
    """Return the advice; without rows where there is none."""
    columns = (Column("Variant"), Column("Batch", is_number=True), Column("Found"), Column("Helps"))
    places = {variant.name: place for place, variant in enumerate(findings.variants)}
    rows = [
        (
            name_cell(one.variant, places[one.variant]),
            Cell(format_number(one.batch), kind="number"),
            Cell(one.text, kind="reason"),
            Cell(one.repair, kind="reason"),
        )
        for one in advise(findings)
    ]
    return Table(columns=columns, rows=rows)


def _of_variant(variant: VariantFindings, findings: Findings) -> Iterator[Advice]:
    device = variant.device
    if not isinstance(device.parts, NotMeasured):
        for batch, parts in device.parts.items():
            if text := _launch_bound(parts):
                yield Advice(variant.name, batch, text, _help_launching(variant, findings))
            for text in _copy_bound(parts):
                repair = "smaller types or fewer tensors at the engine's ends, or more streams"
                yield Advice(variant.name, batch, text, repair)
    if not isinstance(device.launches, NotMeasured):
        for batch, launches in device.launches.items():
            if text := _unstable(launches):
                repair = (
                    "was the machine quiet? Clocks are not locked by us; `nvidia-smi -lgc` does it"
                )
                yield Advice(variant.name, batch, text, repair)


def _launch_bound(parts: Parts) -> str | None:
    """Return that the host submits more slowly than the GPU computes, or nearly so."""
    enqueue_ms, device_ms = parts.medians[ENQUEUE].value, parts.medians[COMPUTE].value
    if enqueue_ms <= ENQUEUE_SHARE * device_ms:
        return None
    return (
        f"launch bound: submitting takes {format_number(enqueue_ms, 'ms')}, more than "
        f"{ENQUEUE_SHARE:g} of the {format_number(device_ms, 'ms')} on the GPU, which may wait"
    )


def _help_launching(variant: VariantFindings, findings: Findings) -> str:
    run = findings.run
    captured = isinstance(run, Run) and run.graphs.get(variant.name) == 1
    if captured:
        return "it runs in a CUDA graph already: a larger batch or more streams"
    return "a CUDA graph: `run.cuda_graph: true` in conf/variant submits all of it in one call"


def _copy_bound(parts: Parts) -> Iterator[str]:
    device_ms = parts.medians[COMPUTE].value
    for name, doing in COPIES.items():
        copy_ms = parts.medians[name].value
        if copy_ms >= device_ms:
            yield (
                f"copy bound: {doing} the GPU takes {format_number(copy_ms, 'ms')}, "
                f"computing {format_number(device_ms, 'ms')}"
            )


def _unstable(launches: DeviceTime) -> str | None:
    if launches.cv_pct <= UNSTABLE_PCT:
        return None
    return (
        f"unstable: the device time varies by {launches.cv_pct:.2g} % (coefficient of variation, "
        f"above {UNSTABLE_PCT:g} %)"
    )
