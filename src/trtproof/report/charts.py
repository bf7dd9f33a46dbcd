"""The report's charts.

Bars start at zero, what was not measured says so in its row, and a slower variant is drawn like a
faster one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10
from typing import Final

from trtproof.report.svg import Drawing, Point, Type, ticks

LABEL: Final = Type(size=13, weight=600)
VALUE: Final = Type(size=13, weight=700, anchor="end")
MUTED: Final = Type(colour="muted", size=12)
AXIS: Final = Type(colour="muted", size=11.5, anchor="middle")
TAIL_MARKS: Final = {0.0: "min", 0.5: "P50", 0.9: "P90", 0.95: "P95", 0.99: "P99", 0.999: "P99.9"}
FINE: Final = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
SPAN_OF_HALVES: Final = 0.4
LEAST_REACH_PP: Final = 0.5
"""Half of the score axis at least, so that a change of one sample does not look like a cliff."""

LABEL_GAP: Final = 15.0
ABSENT_LENGTH: Final = 64
"""Characters of a reason that fit beside a name; the table beside the chart has all of it."""


@dataclass(frozen=True)
class Bar:
    """One row: a median with what is written beside it, or in `note` why there is none."""

    name: str
    colour: str
    median: float | None
    p99: float | None
    text: str
    note: str


@dataclass(frozen=True)
class Series:
    """One line: a name, its colour, and its points in data coordinates."""

    name: str
    colour: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Change:
    """One row of the score chart: the drop against the reference, or why there is none."""

    name: str
    colour: str
    drop: float | None
    text: str


def latency_bars(bars: Sequence[Bar], label: str, *, width: float = 460) -> str:
    """Draw medians as bars from zero, with a tick at P99 where that is known."""
    row, top, bottom = 50, 4, 26
    drawing = Drawing(width, top + row * len(bars) + bottom, label)
    highest = max((value or 0 for bar in bars for value in (bar.median, bar.p99)), default=0)
    floor_y = drawing.height - bottom
    scale = (width - 24) / (highest * 1.02) if highest else 0
    for value in ticks(highest) if highest else ():
        x = 1 + value * scale
        drawing.line((x, top), (x, floor_y))
        drawing.text((x, floor_y + 17), f"{value:g}", AXIS if value else Type("muted", size=11.5))
    drawing.text((width - 2, floor_y + 17), "ms", Type("muted", "end", 11.5))
    for position, bar in enumerate(bars):
        _draw_bar(drawing, bar, top + position * row, scale)
    return drawing.finish()


def _draw_bar(drawing: Drawing, bar: Bar, top: float, scale: float) -> None:
    drawing.text((1, top + 16), bar.name, LABEL)
    if bar.median is None:
        drawing.text((1, top + 36), shorten(bar.note), MUTED)
        return
    drawing.text((drawing.width - 2, top + 16), bar.text, VALUE)
    tip = f"{bar.name}: {bar.text} {bar.note}"
    drawing.bar((1, top + 23), (bar.median * scale, 18), bar.colour, tip=tip)
    if bar.p99 is not None:
        x = 1 + bar.p99 * scale
        drawing.line((1 + bar.median * scale, top + 32), (x, top + 32), bar.colour, width=2)
        drawing.line((x, top + 25), (x, top + 39), bar.colour, width=2.5)


def percentile_curves(series: Sequence[Series], label: str, *, width: float = 1000) -> str:
    """Draw latency (log) by the share of requests that were answered within it.

    The horizontal axis is log10(1 / (1 - share)): it stretches the tail, where a service-level
    objective is read.
    """
    left, right, top, bottom, height = 58.0, 190.0, 22.0, 46.0, 340.0
    drawing = Drawing(width, height, label)
    points = [point for one in series for point in one.points]
    last = max(nines(share) for share, _ in points)
    low, high = min(ms for _, ms in points) * 0.94, max(ms for _, ms in points) * 1.06

    def place(share: float, latency_ms: float) -> Point:
        x = left + (width - left - right) * nines(share) / last
        return x, top + (height - top - bottom) * (1 - log(latency_ms / low) / log(high / low))

    for share, name in TAIL_MARKS.items():
        if nines(share) <= last + 1e-9:
            x = place(share, low)[0]
            drawing.line((x, top), (x, height - bottom))
            drawing.text((x, height - bottom + 17), name, AXIS)
    for value in log_ticks(low, high):
        y = place(0.0, value)[1]
        drawing.line((left, y), (width - right, y))
        drawing.text((left - 8, y + 4), f"{value:g}", Type("muted", "end", 11.5))
    drawing.text((left - 8, top - 8), "ms", Type("muted", "end", 11.5))
    drawing.text(
        (left, height - 8), "share of requests answered within it; the tail is stretched", MUTED
    )
    ends = {one.name: place(*one.points[-1]) for one in series}
    for one in series:
        drawing.path([place(*point) for point in one.points], one.colour, width=2.4)
    _label_ends(drawing, series, ends, x=width - right + 10)
    return drawing.finish()


def round_lines(
    series: Sequence[Series], label: str, *, left_out: Collection[int] = (), width: float = 1000
) -> str:
    """Draw each contender's median per round, in percent of its own median over all rounds.

    The numbers of rounds that were left out stand in brackets.
    """
    left, right, top, bottom, height = 72.0, 190.0, 14.0, 42.0, 240.0
    drawing = Drawing(width, height, label)
    rounds = sorted({number for one in series for number, _ in one.points})
    reach = max([1.0, *(abs(percent) for one in series for _, percent in one.points)]) * 1.15
    step = (width - left - right) / len(rounds)

    def place(number: float, percent: float) -> Point:
        x = left + step * (rounds.index(number) + 0.5)
        return x, top + (height - top - bottom) * (0.5 - percent / (2 * reach))

    marks = ticks(reach, 2)[1:]
    for value in (*(-mark for mark in marks), 0.0, *marks):
        y = place(rounds[0], value)[1]
        drawing.line((left, y), (width - right, y), "axis" if value == 0 else "grid")
        drawing.text(
            (left - 8, y + 4), f"{value:+g} %" if value else "median", Type("muted", "end", 11.5)
        )
    for number in rounds:
        name = f"({number + 1:g})" if number in left_out else f"{number + 1:g}"
        drawing.text((place(number, 0)[0], height - bottom + 18), name, AXIS)
    drawing.text((left, height - 6), "round, in the order measured", MUTED)
    for one in series:
        drawing.path([place(*point) for point in one.points], one.colour, width=1.8)
        for number, percent in one.points:
            tip = f"{one.name}, round {number + 1:g}: {percent:+.2f} % of its own median"
            drawing.dot(place(number, percent), one.colour, tip=tip, radius=3.4)
    ends = {one.name: place(*one.points[-1]) for one in series}
    _label_ends(drawing, series, ends, x=width - right + 10)
    return drawing.finish()


def score_changes(
    changes: Sequence[Change], label: str, *, limit: float | None, width: float = 460
) -> str:
    """Draw each variant's change of a score in points around zero, and the allowed loss."""
    row, top, bottom = 42, 4, 40
    drawing = Drawing(width, top + row * len(changes) + bottom, label)
    drops = [abs(change.drop) for change in changes if change.drop is not None]
    reach = max([LEAST_REACH_PP, *drops, (limit or 0) * 1.2]) * 1.15
    floor_y, middle, scale = drawing.height - bottom, width / 2, (width / 2 - 20) / reach
    if limit is not None:
        drawing.bar(
            (middle - limit * scale, top),
            (limit * scale, floor_y - top),
            "ok",
            tip=f"allowed loss: {limit:g} pp",
            opacity=0.1,
        )
    for value in sorted({sign * mark for mark in ticks(reach, 2) for sign in (-1, 1)}):
        x = middle + value * scale
        drawing.line((x, top), (x, floor_y), "grid" if value else "axis", width=1 if value else 1.6)
        drawing.text((x, floor_y + 16), f"{value:+g}" if value else "0", AXIS)
    drawing.text((2, floor_y + 34), "worse", MUTED)
    drawing.text((middle, floor_y + 34), "percentage points to the reference", AXIS)
    drawing.text((width - 2, floor_y + 34), "better", Type("muted", "end", 12))
    for position, change in enumerate(changes):
        y = top + position * row
        drawing.text((1, y + 14), change.name, LABEL)
        if change.drop is None:
            drawing.text((1, y + 32), shorten(change.text), MUTED)
            continue
        drawing.text((width - 2, y + 14), change.text, VALUE)
        end = middle - change.drop * scale
        drawing.line((middle, y + 28), (end, y + 28), change.colour, width=4)
        drawing.dot((end, y + 28), change.colour, tip=f"{change.name}: {change.text}", radius=6)
    return drawing.finish()


def shorten(text: str, length: int = ABSENT_LENGTH) -> str:
    """Return a text that fits beside a bar."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def nines(share: float) -> float:
    """Return where a share lies on the stretched axis: 0 for 0, 1 for 0.9, 2 for 0.99."""
    return -log10(1 - share) if share < 1 else float("inf")


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values between two limits for a logarithmic axis, the closer the denser."""
    span = log10(high / low)
    factors = (1, 2, 5) if span > 1 else (1, 1.5, 2, 3, 5, 7) if span > SPAN_OF_HALVES else FINE
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    found = (round(factor * 10.0**power, 9) for power in powers for factor in factors)
    return [value for value in found if low < value < high]


def _label_ends(
    drawing: Drawing, series: Sequence[Series], ends: Mapping[str, Point], *, x: float
) -> None:
    """Write names beside the ends of their lines, moved apart where they would overlap."""
    lowest = float("-inf")
    for one in sorted(series, key=lambda item: ends[item.name][1]):
        lowest = max(ends[one.name][1] + 4, lowest + LABEL_GAP)
        drawing.text((x, lowest), one.name, Type(one.colour, size=12, weight=700))
