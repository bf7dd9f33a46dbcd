"""The Pareto front as a picture: one panel per figure that the objective is weighed against.

Words and shapes carry what colours do: a cell that misses a constraint is a cross, one that is
undecided a ring, and numbers are those of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

from trtproof.choice.cells import Cell, Value, measure
from trtproof.choice.choose import GroupChoice
from trtproof.choice.figures import Figure, Kind
from trtproof.choice.front import find_front
from trtproof.choice.question import say_value
from trtproof.choice.verdicts import Judged
from trtproof.measure.verdict import Better
from trtproof.report import theme
from trtproof.report.charts import AXIS, MUTED, log_ticks
from trtproof.report.svg import Drawing, Panel, Point, Type, ticks, to_file

WIDTH: Final = 760.0
HEIGHT: Final = 380.0
LEFT, RIGHT, TOP, BOTTOM = 76.0, 26.0, 22.0, 46.0
ARM: Final = 4.5
ROOM: Final = (34.0, 14.0)
"""What a number takes, so that two do not cover each other."""

LOG_KINDS: Final = (Kind.LATENCY, Kind.RATE)
COLOURS: Final = {"met": "ok", "missed": "bad", "inconclusive": "warn", "not measured": "v0"}
LEGEND: Final = (
    "dot: keeps every constraint; ring: undecided; cross: misses one; grey: the reference",
    "thin lines: intervals; thick line: the front of these two figures; numbers: the table's",
)


@dataclass(frozen=True)
class Scale:
    """One axis: which values it shows and where; `is_log` where all values are positive."""

    low: float
    high: float
    is_log: bool

    def share(self, value: float) -> float:
        """Return where a value lies between the ends: 0 at the low one; never outside."""
        if self.is_log:
            part = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(max(part, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return round values on the axis."""
        if self.is_log:
            return log_ticks(self.low, self.high)
        step = ticks(self.high - self.low)[1]
        first = -(-self.low // step)
        return [
            place * step
            for place in range(int(first), int(first) + 12)
            if place * step <= self.high
        ]


def draw_files(choice: GroupChoice) -> dict[str, str]:
    """Return "light" and "dark" -> a picture file of all panels."""
    panels = [
        Panel(f"{choice.axes[0].name} against {axis.name}", LEGEND, draw_front(choice, axis))
        for axis in choice.axes[1:]
    ]
    return {
        name: to_file(panels, colours, width=WIDTH + 40)
        for name, colours in (("light", theme.LIGHT), ("dark", theme.DARK))
    }


def draw_front(choice: GroupChoice, upright: Figure) -> str:
    """Draw the cells with the objective to the right and another figure upwards."""
    level = choice.axes[0]
    shown = [
        (number, item, one.value, two.value)
        for number, item in enumerate(choice.judged)
        if isinstance(one := measure(level, item.cell), Value)
        and isinstance(two := measure(upright, item.cell), Value)
    ]
    drawing = Drawing(WIDTH, HEIGHT, f"{level.name} against {upright.name} of every configuration")
    if not shown:
        drawing.text((LEFT, TOP + 20), "no cell has both figures", Type("warn", size=13))
        return drawing.finish()
    limits = {item.figure: item.limit for item in choice.question.constraints}
    across = make_scale([x for *_, x, _ in shown], level, limits.get(level))
    along = make_scale([y for *_, y in shown], upright, limits.get(upright))

    def place(x: float, y: float) -> Point:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + wide * across.share(x), TOP + high * (1 - along.share(y))

    _draw_axes(drawing, (level, across), (upright, along), place)
    _draw_limits(drawing, (limits.get(level), limits.get(upright)), (across, along), place)
    _draw_line(drawing, [(x, y) for *_, x, y in shown], (level.better, upright.better), place)
    for number, item, x, y in shown:
        _draw_whiskers(drawing, item.cell, (level, upright), (x, y), place)
        _draw_cell(drawing, item, place(x, y), _tip(choice, number))
    spots = {number: place(x, y) for number, _, x, y in shown}
    _draw_labels(drawing, {choice.label(n): spots[n] for n in _by_worth(choice) if n in spots})
    return drawing.finish()


def _by_worth(choice: GroupChoice) -> list[int]:
    """Return the cells whose numbers are worth their room, the worthiest first."""
    return list(dict.fromkeys([*choice.ranked[:3], *choice.front]))


def _draw_labels(drawing: Drawing, spots: Mapping[str, Point]) -> None:
    """Write numbers beside their cells, as far as none lies upon another."""
    written: list[Point] = []
    for label, (x, y) in spots.items():
        if all(abs(x - left) > ROOM[0] or abs(y - high) > ROOM[1] for left, high in written):
            drawing.text((x + 7, y - 7), label, Type("fg", size=11.5, weight=700))
            written.append((x, y))


def make_scale(values: Sequence[float], figure: Figure, limit: float | None) -> Scale:
    """Return an axis that holds all values and the limit, with room at both ends."""
    held = [*values, *([] if limit is None else [limit])]
    low, high = min(held), max(held)
    if figure.kind in LOG_KINDS and low > 0:
        room = max(1.15, (high / low) ** 0.08)
        return Scale(low / room, high * room, is_log=True)
    room = 0.08 * (high - low) or max(0.1 * abs(high), 0.1)
    return Scale(low - room, high + room, is_log=False)


def _draw_axes(
    drawing: Drawing,
    across: tuple[Figure, Scale],
    along: tuple[Figure, Scale],
    place: Callable[[float, float], Point],
) -> None:
    (level, wide), (upright, high) = across, along
    for value in wide.ticks():
        x = place(value, high.low)[0]
        drawing.line((x, TOP), (x, HEIGHT - BOTTOM))
        drawing.text((x, HEIGHT - BOTTOM + 17), f"{value:.4g}", AXIS)
    for value in high.ticks():
        y = place(wide.low, value)[1]
        drawing.line((LEFT, y), (WIDTH - RIGHT, y))
        drawing.text((LEFT - 8, y + 4), f"{value:.4g}", Type("muted", "end", 11.5))
    drawing.text((1, TOP - 9), f"{upright.name}{_better(upright)}", MUTED)
    drawing.text((LEFT, HEIGHT - 8), f"{level.name}{_better(level)}", MUTED)


def _better(figure: Figure) -> str:
    return ", more is better" if figure.better is Better.HIGHER else ", less is better"


def _draw_limits(
    drawing: Drawing,
    limits: tuple[float | None, float | None],
    scales: tuple[Scale, Scale],
    place: Callable[[float, float], Point],
) -> None:
    (level, upright), (across, along) = limits, scales
    if level is not None:
        ends = place(level, along.low), place(level, along.high)
        drawing.line(*ends, "bad", width=1.5, dash="4 3")
    if upright is not None:
        ends = place(across.low, upright), place(across.high, upright)
        drawing.line(*ends, "bad", width=1.5, dash="4 3")
        drawing.text((WIDTH - RIGHT, ends[0][1] - 5), f"limit {upright:g}", Type("bad", "end", 11))


def _draw_line(
    drawing: Drawing,
    places: Sequence[tuple[float, float]],
    better: tuple[Better, Better],
    place: Callable[[float, float], Point],
) -> None:
    front = sorted({places[index] for index in find_front(places, better)})
    if len(front) > 1:
        drawing.path([place(x, y) for x, y in front], "accent", width=2.5)


def _draw_whiskers(
    drawing: Drawing,
    cell: Cell,
    figures: tuple[Figure, Figure],
    middle: tuple[float, float],
    place: Callable[[float, float], Point],
) -> None:
    """Draw the interval that decides of either figure, where there is one."""
    found = [measure(figure, cell) for figure in figures]
    ends = [item.ends if isinstance(item, Value) else None for item in found]
    if ends[0] is not None:
        drawing.line(place(ends[0][0], middle[1]), place(ends[0][1], middle[1]), "axis", width=1.2)
    if ends[1] is not None:
        drawing.line(place(middle[0], ends[1][0]), place(middle[0], ends[1][1]), "axis", width=1.2)


def _draw_cell(drawing: Drawing, item: Judged, centre: Point, tip: str) -> None:
    colour = "v0" if item.cell.is_reference else COLOURS[item.word]
    x, y = centre
    if item.word == "missed":
        drawing.line((x - ARM, y - ARM), (x + ARM, y + ARM), colour, width=2)
        drawing.line((x - ARM, y + ARM), (x + ARM, y - ARM), colour, width=2)
    else:
        drawing.dot(centre, colour, tip=tip)
        if item.word != "met":
            drawing.dot(centre, "card", tip=tip, radius=2.5)


def _tip(choice: GroupChoice, number: int) -> str:
    item = choice.judged[number]
    said = [
        f"{figure.name} {say_value(found.value, figure)}"
        for figure in choice.axes
        if isinstance(found := measure(figure, item.cell), Value)
    ]
    return f"{choice.label(number)} {item.cell.title}: {', '.join(said)}; {item.word}"
