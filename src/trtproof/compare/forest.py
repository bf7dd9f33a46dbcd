"""The forest plot: how every time changed, against the zone in which nothing can be told."""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, log, log1p
from typing import Final

from trtproof.compare.result import TimeChange
from trtproof.compare.tables import interval_text
from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import Word
from trtproof.report.svg import Drawing, Type, ticks

ROW: Final = 44
TOP: Final = 6
BOTTOM: Final = 44
LEFT: Final = 330.0
RIGHT: Final = 150.0
LEAST_REACH: Final = log1p(0.05)
"""Half of the axis at least, so that 0.1 % does not look like a cliff."""

COLOURS: Final = {
    Word.FASTER: "ok",
    Word.SLOWER: "bad",
    Word.SAME: "v0",
    Word.INCONCLUSIVE: "warn",
}
LABEL: Final = Type(size=13, weight=600)
MUTED: Final = Type(colour="muted", size=12)
AXIS: Final = Type(colour="muted", size=11.5, anchor="middle")


def draw_forest(times: Sequence[TimeChange], *, width: float = 1000) -> str:
    """Draw each change on a log axis: the dot with its 95 % interval, thin the one that decides.

    The shaded zone of a row is what does not count there: the smallest effect that matters, or the
    noise of the session where that is larger.
    """
    drawing = Drawing(
        width, TOP + ROW * len(times) + BOTTOM, "Change of every time, with its noise"
    )
    reach = max([LEAST_REACH, *(abs(end) for item in times for end in _ends(item))]) * 1.1
    middle, scale = LEFT + (width - LEFT - RIGHT) / 2, (width - LEFT - RIGHT) / 2 / reach
    floor = drawing.height - BOTTOM
    for percent in ticks(100 * expm1(reach), 3):
        for sign in (-1, 1) if percent else (1,):
            x = middle + sign * log1p(percent / 100) * scale
            drawing.line((x, TOP), (x, floor), "grid" if percent else "axis")
            speed = f"{(1 + percent / 100) ** sign:.3g}\N{MULTIPLICATION SIGN}"
            drawing.text((x, floor + 16), speed, AXIS)
    drawing.text((LEFT, floor + 34), "slower now", MUTED)
    drawing.text((width - RIGHT, floor + 34), "faster now", Type("muted", "end", 12))
    for position, item in enumerate(times):
        _draw_row(drawing, item, TOP + position * ROW, middle, scale)
    return drawing.finish()


def _draw_row(drawing: Drawing, item: TimeChange, top: float, middle: float, scale: float) -> None:
    verdict, y = item.verdict, top + ROW / 2
    colour = COLOURS[verdict.word]
    drawing.text((1, y - 3), item.variant, LABEL)
    drawing.text((1, y + 13), f"batch {item.batch}, {item.title}", MUTED)
    zone = log1p(verdict.delta) * scale
    tip = f"below {100 * verdict.delta:.2g} % nothing counts"
    drawing.bar((middle - zone, top + 3), (2 * zone, ROW - 6), "v0", tip=tip, opacity=0.16)
    for ratio, thickness in ((verdict.gate, 1.5), (verdict.shown, 4.0)):
        if ratio.low is not None and ratio.high is not None:
            ends = (middle + log(ratio.low) * scale, middle + log(ratio.high) * scale)
            drawing.line((ends[0], y), (ends[1], y), colour, width=thickness)
    tip = f"{item.variant}: {verdict.shown.value:.4f}, 95 % {interval_text(verdict.shown)}"
    drawing.dot((middle + log(verdict.shown.value) * scale, y), colour, tip=tip)
    note = "" if item.decides else " *"
    style = Type(colour if colour != "v0" else "muted", "end", 13, 700)
    drawing.text((drawing.width - 2, y + 4), f"{verdict.word}{note}", style)


def _ends(item: TimeChange) -> list[float]:
    """Return the logs of everything that a row draws."""
    ratios: tuple[Ratio, ...] = (item.verdict.shown, item.verdict.gate)
    found = [log1p(item.verdict.delta)]
    for ratio in ratios:
        found += [log(value) for value in (ratio.value, ratio.low, ratio.high) if value is not None]
    return found
