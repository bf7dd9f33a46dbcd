"""Was the GPU quiet: clocks, heat, power, other processes and its link, in rows of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trtproof.report.cells import NOT_MEASURED, Tone
from trtproof.report.gpu_findings import GpuState

STEADY_CLOCK_SHARE: Final = 0.02
"""How far the mean clock may move between rounds before that is worth a look."""

NOT_TOLD: Final = f"{NOT_MEASURED}: this GPU does not tell"

Row = tuple[str, str, str, Tone]


def gpu_rows(state: GpuState) -> list[Row]:
    """Return what the GPU's counters say, one check per row; none for a run on a CPU."""
    if not state.rounds:
        return []
    return [
        _clock_row(state),
        _heat_row(state),
        _power_cap_row(state),
        _tenants_row(state),
        _link_row(state),
        _setting_row(state.facts),
    ]


def _clock_row(state: GpuState) -> Row:
    clocks, title = state.values("sm_mhz"), "Clock of the GPU"
    if not clocks:
        return title, NOT_TOLD, "-", "same"
    low, high = min(clocks), max(clocks)
    moved = high > low * (1 + STEADY_CLOCK_SHARE)
    memory = _span(state.values("memory_mhz"), "MHz")
    text = f"{low:.0f} to {high:.0f} MHz, the mean of each round; not locked by us"
    text += f"; memory {memory}" if memory else ""
    return (title, text, "moved", "warn") if moved else (title, text, "steady", "ok")


def _heat_row(state: GpuState) -> Row:
    limit = state.facts.get("power_limit_w")
    power = _span(state.values("power_w"), "W")
    parts = [_span(state.values("temperature_c"), "\N{DEGREE SIGN}C"), power]
    text = ", ".join(part for part in parts if part)
    if power and limit is not None:
        text += f" of a limit of {limit:.0f} W"
    return "Heat and power of the GPU", text or NOT_TOLD, "recorded" if text else "-", "same"


def _power_cap_row(state: GpuState) -> Row:
    title, shares = "Power cap of the GPU", state.values("power_cap_share")
    if not shares:
        return title, NOT_TOLD, "-", "same"
    text = (
        f"in force for {100 * min(shares):.3g} to {100 * max(shares):.3g} % of a round's time; "
        "under load it is a card's normal state, so by itself it leaves nothing out"
    )
    return (title, text, "capped", "same") if any(shares) else (title, text, "none", "ok")


def _tenants_row(state: GpuState) -> Row:
    title, counts = "Other processes on the GPU", state.values("others_count")
    if not counts:
        return title, NOT_TOLD, "-", "same"
    most, shares = int(max(counts)), state.values("others_share")
    text = f"at most {most} at a time"
    if shares and most:
        text += f", which used at most {100 * max(shares):.3g} % of it in a round"
    return (title, text, "shared", "warn") if most else (title, text, "alone", "ok")


def _link_row(state: GpuState) -> Row:
    title = "PCIe link of the GPU"
    generations, widths = state.values("pcie_generation"), state.values("pcie_width")
    if not generations or not widths:
        return title, NOT_TOLD, "-", "same"
    found = (int(max(generations)), int(max(widths)))
    most = tuple(state.facts.get(f"largest_pcie_{name}") for name in ("generation", "width"))
    text = f"generation {found[0]}, {found[1]} lanes after the load of a round"
    if None in most:
        return title, text, "recorded", "same"
    text += f"; at most generation {most[0]}, {most[1]} lanes"
    return (title, text, "full", "ok") if found == most else (title, text, "less", "warn")


def _setting_row(facts: Mapping[str, Any]) -> Row:
    names = {"ecc": "ECC", "mig": "MIG", "persistence": "persistence"}
    parts = [f"{title} {facts[name]}" for name, title in names.items() if name in facts]
    parts.append(f"throttling {facts.get('throttling_is', 'not told')}")
    return "Setting of the GPU", ", ".join(parts), "recorded", "same"


def _span(values: list[float], unit: str) -> str:
    """Return "low to high unit", one number where both are equal, or an empty text."""
    if not values:
        return ""
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
