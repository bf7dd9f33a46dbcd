"""Samples per second against tail latency, as the number of streams grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from trtproof.report.charts import AXIS, MUTED, WIDE, label_ends, log_ticks
from trtproof.report.charts import Series as Line
from trtproof.report.svg import Drawing, Point, Type


@dataclass(frozen=True)
class LoadLine:
    """One variant at one batch size: (samples per second, tail in ms, streams), by streams."""

    name: str
    colour: str
    points: Sequence[tuple[float, float, int]]


def load_lines(lines: Sequence[LoadLine], label: str, *, tail: str) -> str:
    """Draw a line per variant and batch size on logarithmic axes; the lower right is best.

    The number of streams stands beside each point.
    """
    width, left, right, top, bottom, height = WIDE, 64.0, 230.0, 22.0, 46.0, 360.0
    drawing = Drawing(width, height, label)
    rates = [rate for line in lines for rate, _, _ in line.points]
    tails = [tail_ms for line in lines for _, tail_ms, _ in line.points]
    (slow, fast), (low, high) = _limits(rates), _limits(tails)

    def place(rate: float, tail_ms: float) -> Point:
        x = left + (width - left - right) * log(rate / slow) / log(fast / slow)
        return x, top + (height - top - bottom) * (1 - log(tail_ms / low) / log(high / low))

    for value in log_ticks(slow, fast):
        x = place(value, low)[0]
        drawing.line((x, top), (x, height - bottom))
        drawing.text((x, height - bottom + 17), f"{value:,g}", AXIS)
    for value in log_ticks(low, high):
        y = place(slow, value)[1]
        drawing.line((left, y), (width - right, y))
        drawing.text((left - 8, y + 4), f"{value:g}", Type("muted", "end", 11.5))
    drawing.text((left - 8, top - 8), f"{tail}, ms", Type("muted", "end", 11.5))
    drawing.text((left, height - 8), "samples per second; both axes are logarithmic", MUTED)
    for line in lines:
        places = [place(rate, tail_ms) for rate, tail_ms, _ in line.points]
        drawing.path(places, line.colour, width=2)
        for (rate, tail_ms, streams), point in zip(line.points, places, strict=True):
            tip = f"{line.name}, {streams} streams: {rate:.5g} /s, {tail} {tail_ms:.5g} ms"
            drawing.dot(point, line.colour, tip=tip)
            drawing.text((point[0], point[1] - 9), f"{streams}", Type("muted", "middle", 11))
    ends = {line.name: place(*line.points[-1][:2]) for line in lines}
    series = [Line(line.name, line.colour, ()) for line in lines]
    label_ends(drawing, series, ends, x=width - right + 10, room=right - 12)
    return drawing.finish()


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis, with room around the values."""
    low, high = min(values), max(values)
    room = max(1.15, (high / low) ** 0.08)
    return low / room, high * room
