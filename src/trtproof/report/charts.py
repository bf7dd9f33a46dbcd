"""The report's charts.

Bars start at zero, what was not measured says so in its row, and a slower variant is drawn like a
faster one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log, log10
from typing import Final

from trtproof.report.svg import Anchor, Drawing, Point, Type, ticks
from trtproof.report.texts import CHARACTER_WIDTH, fit

LABEL: Final = Type(size=13, weight=600)
VALUE: Final = Type(size=13, weight=700, anchor="end")
MUTED: Final = Type(colour="muted", size=12)
AXIS: Final = Type(colour="muted", size=11.5, anchor="middle")
TAIL_MARKS: Final = {0.0: "min", 0.5: "P50", 0.9: "P90", 0.95: "P95", 0.99: "P99", 0.999: "P99.9"}
FINE: Final = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9)
SPAN_OF_HALVES: Final = 0.4
LABEL_GAP: Final = 15.0
NARROW: Final = 420.0
"""Width of a chart that shares its row with another, or has a phone to itself."""

WIDE: Final = 1000.0
MARGIN_NAME: Final = 190.0
"""Space for names beside the ends of lines."""


SECOND_LINE = 15
"""Between a bar's note and the line below it."""


@dataclass(frozen=True)
class Bar:
    """One row: a median with what is written beside and below it, or in `note` why there is none.

    `second` stands below the note, empty for nothing. `bounds` is the median's interval, None where
    there is none.
    """

    name: str
    colour: str
    median: float | None
    p99: float | None
    text: str
    note: str
    bounds: tuple[float, float] | None = None
    second: str = ""


@dataclass(frozen=True)
class Series:
    """One line: a name, its colour, and its points in data coordinates."""

    name: str
    colour: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Limit:
    """A target on a latency axis."""

    latency_ms: float
    text: str


def latency_bars(bars: Sequence[Bar], label: str, *, limit: Limit | None = None) -> str:
    """Draw medians as bars from zero, with their intervals, and a tick at P99 where it is known."""
    row = 60 + (SECOND_LINE if any(bar.second for bar in bars) else 0)
    top, bottom = 16 if limit else 4, 26
    drawing = Drawing(NARROW, top + row * len(bars) + bottom, label)
    ends = [value or 0 for bar in bars for value in (bar.median, bar.p99, *(bar.bounds or ()))]
    highest = max([*ends, limit.latency_ms if limit and any(ends) else 0])
    floor_y = drawing.height - bottom
    scale = (NARROW - 28) / (highest * 1.02) if highest else 0
    for value in ticks(highest) if highest else ():
        x = 1 + value * scale
        drawing.line((x, top), (x, floor_y))
        drawing.text((x, floor_y + 17), f"{value:g}", AXIS if value else Type("muted", size=11.5))
    drawing.text((NARROW - 2, floor_y + 17), "ms", Type("muted", "end", 11.5))
    for position, bar in enumerate(bars):
        _draw_bar(drawing, bar, top + position * row, scale)
    if limit and highest:
        x = 1 + limit.latency_ms * scale
        drawing.line((x, top - 3), (x, floor_y), "bad", width=1.5, dash="4 3")
        anchor: Anchor = "end" if x > NARROW / 2 else "start"
        drawing.text((x, 10), limit.text, Type("bad", anchor, 11.5, 600))
    return drawing.finish()


def _draw_bar(drawing: Drawing, bar: Bar, top: float, scale: float) -> None:
    room = NARROW - 14 - len(bar.text) * VALUE.size * CHARACTER_WIDTH
    drawing.text((1, top + 16), fit(bar.name, room, LABEL.size), LABEL)
    if bar.median is None:
        drawing.text((1, top + 35), fit(bar.note, NARROW, 10.5), MUTED)
        return
    drawing.text((NARROW - 2, top + 16), bar.text, VALUE)
    tip = f"{bar.name}: {bar.text} {bar.note}"
    middle = top + 31
    drawing.bar((1, top + 23), (bar.median * scale, 16), bar.colour, tip=tip)
    if bar.p99 is not None:
        x = 1 + bar.p99 * scale
        drawing.line((1 + bar.median * scale, middle), (x, middle), bar.colour, width=2)
        drawing.line((x, top + 24), (x, top + 38), bar.colour, width=2.5)
    if bar.bounds is not None:
        low, high = (1 + end * scale for end in bar.bounds)
        drawing.whisker((low, middle), (high, middle))
    drawing.text((1, top + 53), fit(bar.note, NARROW, 10.5), MUTED)
    if bar.second:
        drawing.text((1, top + 53 + SECOND_LINE), fit(bar.second, NARROW, 10.5), MUTED)


def percentile_curves(series: Sequence[Series], label: str, *, limit: Limit | None = None) -> str:
    """Draw latency (log) by the share of requests that were answered within it.

    The horizontal axis is log10(1 / (1 - share)): it stretches the tail, where a service-level
    objective is read.
    """
    width, left, right, top, bottom, height = WIDE, 58.0, MARGIN_NAME, 22.0, 46.0, 340.0
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
    if limit and low < limit.latency_ms < high:
        y = place(0.0, limit.latency_ms)[1]
        drawing.line((left, y), (width - right, y), "bad", width=1.5, dash="5 4")
        drawing.text((left + 6, y - 5), limit.text, Type("bad", size=11.5, weight=600))
    ends = {one.name: place(*one.points[-1]) for one in series}
    for one in series:
        drawing.path([place(*point) for point in one.points], one.colour, width=2.4)
    label_ends(drawing, series, ends, x=width - right + 10)
    return drawing.finish()


def round_lines(series: Sequence[Series], label: str, *, left_out: Collection[int] = ()) -> str:
    """Draw each contender's median per round, in percent of its own median over all rounds.

    The numbers of rounds that were left out stand in brackets.
    """
    width, left, right, top, bottom, height = WIDE, 72.0, MARGIN_NAME, 14.0, 42.0, 240.0
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
    label_ends(drawing, series, ends, x=width - right + 10)
    return drawing.finish()


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


def label_ends(
    drawing: Drawing,
    series: Sequence[Series],
    ends: Mapping[str, Point],
    *,
    x: float,
    room: float = MARGIN_NAME - 12,
) -> None:
    """Write names beside the ends of their lines, moved apart where they would overlap."""
    lowest = float("-inf")
    for one in sorted(series, key=lambda item: ends[item.name][1]):
        lowest = max(ends[one.name][1] + 4, lowest + LABEL_GAP)
        drawing.text((x, lowest), fit(one.name, room), Type(one.colour, size=12, weight=700))
