"""metrics/plots/*.csv: what `dvc plots` draws from, by the templates in .dvc/plots/."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from trtproof.report.cells import Facts
from trtproof.report.figures import Timing
from trtproof.report.findings import Findings
from trtproof.report.metrics import round_significant
from trtproof.report.texts import clean

LATENCY_COLUMNS: Final = ("device", "variant", "batch", "label", "p50_ms", "p99_ms")
PERCENTILE_COLUMNS: Final = ("label", "nines", "share", "latency_ms")
POINTS: Final = 30
"""Points of a curve kept in git: enough for its shape, few enough for a readable diff."""

FORMULA: Final = "=+-@"
"""What a cell begins with that a spreadsheet computes."""


def render_plots(findings: Findings, facts: Facts) -> dict[str, str]:
    """Return file name -> CSV text.

    A label names the device, so that two machines are never drawn as one series.
    """
    return {
        "latency.csv": _to_csv(LATENCY_COLUMNS, _latency_rows(findings, facts)),
        "percentiles.csv": _to_csv(PERCENTILE_COLUMNS, _percentile_rows(findings)),
    }


def _latency_rows(findings: Findings, facts: Facts) -> Iterable[Sequence[object]]:
    for head, variant, batch, _ in _timed(findings):
        figures = (
            facts.on_device(variant, f"latency_b{batch}_ms", name) for name in ("p50", "p99")
        )
        yield (*head, *("" if value is None else value for value in figures))


def _percentile_rows(findings: Findings) -> Iterable[Sequence[object]]:
    for head, _, _, timing in _timed(findings):
        step = max(1, len(timing.curve_ms) // POINTS)
        for nines, share, latency_ms in timing.curve_ms[::step]:
            numbers = (nines, share, latency_ms)
            yield (head[-1], *(round_significant(number) for number in numbers))


def _timed(findings: Findings) -> Iterable[tuple[Sequence[object], str, int, Timing]]:
    for batch in findings.batches:
        for variant in findings.variants:
            timing = variant.timings[batch]
            if isinstance(timing, Timing):
                slug = findings.hardware.slug
                label = f"{variant.name}, batch {batch}, {slug}"
                yield (slug, variant.name, batch, label), variant.name, batch, timing


def _to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(value) for value in row] for row in rows)
    return text.getvalue()


def _plain(value: object) -> object:
    """Return a text without hidden characters, and not as a formula to a spreadsheet."""
    if not isinstance(value, str) or not value:
        return value
    shown = clean(value)
    return f"'{shown}" if shown[0] in FORMULA else shown
