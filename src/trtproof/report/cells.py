"""Cells of tables, and the one place where numbers and units become text.

A number is looked up in the metrics, where it is already rounded, and its cell keeps the path:
page, Markdown and metrics files cannot differ by a digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any, Final, Literal

from trtproof.report.metrics import DIGITS, Metrics, round_significant

NOT_MEASURED: Final = "not measured"
UNITS: Final = {
    "ms": " ms", "s": " s", "pct": " %", "pp": " pp", "mib": " MiB", "ips": " /s", "db": " dB",
    "ratio": "\N{MULTIPLICATION SIGN}", "count": "",
}  # fmt: skip
COLOURS: Final = 6
"""Colours of variants besides the reference's grey; further variants take them again."""

ENDS: Final = ("lo", "hi")
"""Of an interval: what its two keys end in."""

Tone = Literal["ok", "bad", "warn", "same"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    `metric` is the path of its number in the metrics files. `span` is how many columns it covers.
    `colour` is the variant's colour in the charts. `detail` stands below in small print.
    """

    text: str
    kind: Literal["text", "number", "code", "reason", "absent"] = "text"
    metric: str = ""
    tone: Tone | None = None
    span: int = 1
    colour: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Column:
    """A heading; numbers are set to the right."""

    title: str
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under headings, and notes that explain them."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Facts:
    """The metrics of all variants, and the slug that device figures are nested under."""

    metrics: Mapping[str, Metrics]
    slug: str

    def number(self, variant: str, *path: str) -> float | int | None:
        """Return the number at a path of a variant's metrics, or None where there is none."""
        found: Any = self.metrics[variant]
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return None
            found = found[key]
        return found if isinstance(found, float | int) else None

    def on_device(self, variant: str, *path: str) -> float | int | None:
        """Return a number measured on this device."""
        return self.number(variant, self.slug, *path)

    def cell(self, variant: str, *path: str, unit: str) -> Cell:
        """Return a number of a variant's metrics as a cell, or "not measured"."""
        value = self.number(variant, *path)
        if value is None:
            return Cell(NOT_MEASURED, kind="absent")
        metric = f"{variant}:{'.'.join(path)}"
        return Cell(format_number(value, unit), kind="number", metric=metric)

    def device_cell(self, variant: str, *path: str) -> Cell:
        """Return a number measured on this device as a cell; its first key names the unit."""
        return self.cell(variant, self.slug, *path, unit=unit_of(path[0]))

    def score_cell(self, variant: str, metric: str) -> Cell:
        """Return a score as a cell; its name ends in the unit."""
        return self.cell(variant, "scores", metric, unit=unit_of(metric))

    def score_interval(self, variant: str, metric: str, kind: str = "ci") -> str:
        """Return a score's interval as "low to high", or an empty text where there is none.

        `kind` is "ci" for the 95 % interval and "gate" for the 99 % one, which decides.
        """
        low, high = (self.number(variant, "scores", f"{metric}_{kind}_{end}") for end in ENDS)
        if low is None or high is None:
            return ""
        return f"{format_number(low)} to {format_number(high, unit_of(metric))}"

    def interval(self, variant: str, key: str, prefix: str = "ci_") -> str:
        """Return an interval as "low to high", or an empty text where there is none.

        `prefix` is that of its two keys: "ci_" and "gate_" of a ratio, "p99_ci_" of a latency.
        """
        low, high = (self.on_device(variant, key, f"{prefix}{end}") for end in ENDS)
        if low is None or high is None:
            return ""
        return f"{format_number(low)} to {format_number(high, unit_of(key))}"


def name_cell(variant: str, position: int) -> Cell:
    """Return the first cell of a variant's row, in its colour."""
    return Cell(variant, colour=colour_of(position))


def absent_cell(reason: str, *, span: int = 1) -> Cell:
    """Return "not measured: reason" over a number of columns."""
    return Cell(f"{NOT_MEASURED}: {reason}", kind="absent", span=span)


def format_number(value: float, unit: str = "") -> str:
    """Return a number with all the digits that the metrics files keep, and its unit."""
    suffix = UNITS.get(unit, f" {unit}" if unit else "")
    if isinstance(value, int):
        return f"{value:,}{suffix}"
    if value == 0:
        return f"0{suffix}"
    rounded = round_significant(value)
    decimals = max(0, DIGITS - 1 - floor(log10(abs(rounded))))
    return f"{rounded:.{decimals}f}{suffix}"


def unit_of(metric: str) -> str:
    """Return the unit that a metric's name ends in."""
    return metric.rpartition("_")[2]


def colour_of(position: int) -> str:
    """Return the colour of the variant at a position: grey for the reference, at 0."""
    return f"v{0 if position == 0 else (position - 1) % COLOURS + 1}"
