"""How latencies are spread, and what a time is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trtproof.report.charts import AXIS, LABEL, MUTED, NARROW, VALUE
from trtproof.report.svg import Drawing, Type, ticks
from trtproof.report.texts import fit
from trtproof.tensor import Array

REACH: Final = (-0.3, 0.6)
"""Shown around the median, as shares of it; what lies beyond is counted in words."""

LEAST_REACH: Final = 0.02
MOST_BINS: Final = 48
EDGE: Final = 0.02
"""Share of the samples of the widest variant that may lie beyond each end."""

PART_COLOURS: Final = ("v0", "v1", "v2", "v3", "v4", "v5", "v6")


@dataclass(frozen=True)
class Spread:
    """One row: all latencies of a variant, sorted, in any unit."""

    name: str
    colour: str
    latencies: Array


@dataclass(frozen=True)
class Stack:
    """One row: the parts of a time in milliseconds, or in `note` why there are none."""

    name: str
    parts_ms: Sequence[float]
    text: str
    note: str = ""


def distribution_ridges(spreads: Sequence[Spread], label: str) -> str:
    """Draw a histogram per variant, of latencies relative to their own median.

    Every histogram is as high as its own peak: shapes are compared, not counts.
    """
    row, top, bottom = 62, 4, 40
    drawing = Drawing(NARROW, top + row * len(spreads) + bottom, label)
    relative = [spread.latencies / np.median(spread.latencies) - 1 for spread in spreads]
    low = max(REACH[0], min(-LEAST_REACH, *(float(np.quantile(one, EDGE)) for one in relative)))
    high = min(REACH[1], max(LEAST_REACH, *(float(np.quantile(one, 1 - EDGE)) for one in relative)))
    scale, floor_y = (NARROW - 40) / (high - low), drawing.height - bottom

    def place(share: float) -> float:
        return 20 + (share - low) * scale

    for mark in _marks(low, high):
        drawing.line((place(mark), top), (place(mark), floor_y), "grid" if mark else "axis")
        text = f"{100 * mark:+g} %" if mark else "median"
        drawing.text((place(mark), floor_y + 16), text, AXIS)
    drawing.text((1, floor_y + 34), "latency relative to its own median", MUTED)
    for position, (spread, shares) in enumerate(zip(spreads, relative, strict=True)):
        y = top + position * row
        outline = _outline(shares, low, high)
        points = [(place(x), y + 56 - 34 * height) for x, height in outline]
        points = [(points[0][0], y + 56.0), *points, (points[-1][0], y + 56.0)]
        beyond = f"{100 * float(np.mean(shares > high)):.2g} % beyond {100 * high:+.0f} %"
        drawing.area(points, spread.colour, tip=f"{spread.name}: {beyond}")
        drawing.text((1, y + 14), fit(spread.name, 260, LABEL.size), LABEL)
        drawing.text((NARROW - 2, y + 14), beyond, Type("muted", "end", 11.5))
    return drawing.finish()


def _marks(low: float, high: float) -> list[float]:
    reach = max(-low, high)
    found = {sign * mark for mark in ticks(reach, 3) for sign in (-1, 1)}
    return sorted(mark for mark in found if low <= mark <= high)


def _outline(shares: Array, low: float, high: float) -> list[tuple[float, float]]:
    """Return bin centre and height (1 at the peak) of a histogram between two ends."""
    bins = int(np.clip(2 * np.sqrt(len(shares)), 8, MOST_BINS))
    counts, edges = np.histogram(shares, bins=bins, range=(low, high))
    peak = max(int(counts.max()), 1)
    centres = (edges[:-1] + edges[1:]) / 2
    return [(float(x), int(count) / peak) for x, count in zip(centres, counts, strict=True)]


def stacked_bars(stacks: Sequence[Stack], parts: Sequence[str], label: str) -> str:
    """Draw times as stacked bars from zero, one colour per part, with a legend."""
    row, bottom = 48, 26
    legend = _legend_places(parts)
    top = 12 + 18 * (1 + max(line for line, _ in legend))
    drawing = Drawing(NARROW, top + row * len(stacks) + bottom, label)
    for (line, x), part, colour in zip(legend, parts, PART_COLOURS, strict=False):
        drawing.bar((x, 4 + 18 * line), (10, 10), colour, tip=part)
        drawing.text((x + 15, 13 + 18 * line), part, MUTED)
    highest, floor_y = max(sum(stack.parts_ms) for stack in stacks), drawing.height - bottom
    scale = (NARROW - 28) / (highest * 1.02) if highest else 0
    for value in ticks(highest, 4) if highest else ():
        x = 1 + value * scale
        drawing.line((x, top), (x, floor_y))
        style = AXIS if value else Type("muted", size=11.5)
        drawing.text((x, floor_y + 17), f"{value:g}", style)
    drawing.text((NARROW - 2, floor_y + 17), "ms", Type("muted", "end", 11.5))
    for position, stack in enumerate(stacks):
        _draw_stack(drawing, stack, parts, (top + position * row, scale))
    return drawing.finish()


def _legend_places(parts: Sequence[str]) -> list[tuple[int, float]]:
    """Return line and x of every part's mark in the legend."""
    places, line, x = [], 0, 1.0
    for part in parts:
        width = 30 + len(part) * 6.6
        if x + width > NARROW:
            line, x = line + 1, 1.0
        places.append((line, x))
        x += width
    return places


def _draw_stack(
    drawing: Drawing, stack: Stack, parts: Sequence[str], place: tuple[float, float]
) -> None:
    """Draw one row; `place` is its top and the axis' scale."""
    top, scale = place
    drawing.text((1, top + 15), fit(stack.name, 260, LABEL.size), LABEL)
    if not stack.parts_ms:
        drawing.text((1, top + 33), fit(stack.note, NARROW, 10.5), MUTED)
        return
    drawing.text((NARROW - 2, top + 15), stack.text, VALUE)
    x = 1.0
    for part_ms, part, colour in zip(stack.parts_ms, parts, PART_COLOURS, strict=False):
        tip = f"{stack.name}, {part}: {part_ms:.4g} ms"
        drawing.bar((x, top + 22), (part_ms * scale, 16), colour, tip=tip)
        x += part_ms * scale
