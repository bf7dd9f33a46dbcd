"""Variants that ran twice in the session, each against itself (A/A): its noise."""

from __future__ import annotations

from typing import Final

from trtproof.report.cells import NOT_MEASURED, Facts, format_number
from trtproof.report.figures import HEADLINE
from trtproof.report.findings import Findings, VariantFindings

TOO_FEW: Final = "too few rounds for an interval"


def noise_floor(variant: VariantFindings, batch: int) -> float | None:
    """Return how far two runs of a variant may differ, as a share; None if not known."""
    control = variant.controls.get(batch)
    return control[HEADLINE].verdict.noise_floor if control else None


def list_controls(findings: Findings) -> list[str]:
    """Return the variants that ran twice, the reference first."""
    own = [item.name for item in findings.variants if item.controls]
    return list(dict.fromkeys([findings.reference.name, *own]))


def control_text(
    findings: Findings, facts: Facts, batch: int | None, variant: str | None = None
) -> str:
    """Return a variant against its own second run (A/A), by default the reference.

    The reference's is the noise of this session.
    """
    key, name = f"control_b{batch}_ratio", variant or findings.reference.name
    value = facts.on_device(name, key, "value")
    if value is None:
        return f"{NOT_MEASURED}: {variant or 'the reference'} has no second run here"
    interval = facts.interval(name, key)
    shown = f"95 % {interval}" if interval else TOO_FEW
    floor = facts.on_device(name, f"noise_b{batch}_pct", HEADLINE)
    noise = f"; half-width at 99 % {format_number(floor, 'pct')}" if floor is not None else ""
    return f"{format_number(value, 'ratio')} ({shown}{noise})"
