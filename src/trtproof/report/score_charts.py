"""How much of a score each variant loses or gains, as a forest plot around the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trtproof.report.charts import AXIS, LABEL, MUTED, NARROW, VALUE
from trtproof.report.svg import Drawing, Type, ticks
from trtproof.report.texts import CHARACTER_WIDTH, fit

LEAST_REACH_PP: Final = 0.5
"""Half of the score axis at least, so that a change of one sample does not look like a cliff."""


@dataclass(frozen=True)
class Change:
    """One row: the drop against the reference, or in `text` why there is none.

    `bounds` is the drop's interval, None where there is none.
    """

    name: str
    colour: str
    drop: float | None
    text: str
    bounds: tuple[float, float] | None = None


def score_changes(changes: Sequence[Change], label: str, *, limit: float | None) -> str:
    """Draw each variant's change of a score in points around zero, and the allowed loss."""
    row, top, bottom, width = 44, 4, 40, NARROW
    drawing = Drawing(width, top + row * len(changes) + bottom, label)
    ends = [abs(end) for one in changes for end in (one.drop or 0, *(one.bounds or ()))]
    reach = max([LEAST_REACH_PP, *ends, (limit or 0) * 1.2]) * 1.15
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
        _draw_change(drawing, change, top + position * row, scale)
    return drawing.finish()


def _draw_change(drawing: Drawing, change: Change, top: float, scale: float) -> None:
    room = NARROW - 14 - len(change.text) * VALUE.size * CHARACTER_WIDTH
    if change.drop is None:
        drawing.text((1, top + 14), fit(change.name, NARROW, LABEL.size), LABEL)
        drawing.text((1, top + 32), fit(change.text, NARROW, 10.5), MUTED)
        return
    drawing.text((1, top + 14), fit(change.name, room, LABEL.size), LABEL)
    drawing.text((NARROW - 2, top + 14), change.text, VALUE)
    middle, y = NARROW / 2, top + 29
    end = middle - change.drop * scale
    if change.bounds is None:
        drawing.line((middle, y), (end, y), change.colour, width=4)
    else:
        high, low = (middle - bound * scale for bound in change.bounds)
        drawing.whisker((low, y), (high, y))
    drawing.dot((end, y), change.colour, tip=f"{change.name}: {change.text}", radius=6)
