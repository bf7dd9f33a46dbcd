"""Drawing primitives: SVG text whose colours are the page's CSS variables.

One picture therefore follows the page's light, dark and print colours. Coordinates have one
decimal, so that a rebuild gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10
from typing import Final, Literal

from trtproof.report.texts import clean, fit

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
STEPS: Final = (1, 2, 2.5, 5, 10)
NAMESPACE: Final = "http://www.w3.org/2000/svg"
FONT: Final = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
MARGIN: Final = 20.0
HEAD: Final = 30.0
LEADING: Final = 17.0
"""Space of a heading and of a line below it, in a file of its own."""


@dataclass(frozen=True)
class Type:
    """How a text is set."""

    colour: str = "fg"
    anchor: Anchor = "start"
    size: float = 12
    weight: int = 400


@dataclass
class Drawing:
    """An SVG picture under construction; every text that goes in is escaped."""

    width: float
    height: float
    label: str
    _parts: list[str] = field(default_factory=list)

    def line(
        self, start: Point, end: Point, colour: str = "grid", *, width: float = 1, dash: str = ""
    ) -> None:
        """Draw a straight line."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{coordinate(start[0])}" y1="{coordinate(start[1])}" '
            f'x2="{coordinate(end[0])}" y2="{coordinate(end[1])}" '
            f'stroke="{variable(colour)}" stroke-width="{width}"{dashed}/>'
        )

    def bar(self, corner: Point, size: Point, colour: str, *, tip: str, opacity: float = 1) -> None:
        """Draw a filled rectangle that explains itself on hover."""
        self._parts.append(
            f'<rect x="{coordinate(corner[0])}" y="{coordinate(corner[1])}" '
            f'width="{coordinate(max(size[0], 0))}" height="{coordinate(size[1])}" rx="3" '
            f'fill="{variable(colour)}" fill-opacity="{opacity}">'
            f"<title>{escape(clean(tip))}</title></rect>"
        )

    def text(self, place: Point, text: str, style: Type) -> None:
        """Write one line of text."""
        self._parts.append(
            f'<text x="{coordinate(place[0])}" y="{coordinate(place[1])}" '
            f'fill="{variable(style.colour)}" text-anchor="{style.anchor}" '
            f'font-size="{style.size}" font-weight="{style.weight}">{escape(clean(text))}</text>'
        )

    def path(
        self, points: Sequence[Point], colour: str, *, width: float = 2, dash: str = ""
    ) -> None:
        """Draw a line through points."""
        places = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<path d="M{places}" fill="none" stroke="{variable(colour)}" stroke-width="{width}" '
            f'stroke-linejoin="round" stroke-linecap="round"{dashed}/>'
        )

    def area(self, points: Sequence[Point], colour: str, *, tip: str) -> None:
        """Draw a closed surface that explains itself on hover."""
        places = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points)
        self._parts.append(
            f'<path d="M{places}Z" fill="{variable(colour)}" fill-opacity="0.28" '
            f'stroke="{variable(colour)}" stroke-width="1.6" stroke-linejoin="round">'
            f"<title>{escape(clean(tip))}</title></path>"
        )

    def whisker(self, low: Point, high: Point, *, cap: float = 5) -> None:
        """Draw a horizontal interval with its ends."""
        self.line(low, high, "fg", width=1.6)
        for x, y in (low, high):
            self.line((x, y - cap), (x, y + cap), "fg", width=1.6)

    def dot(self, centre: Point, colour: str, *, tip: str, radius: float = 5) -> None:
        """Draw a dot that explains itself on hover."""
        self._parts.append(
            f'<circle cx="{coordinate(centre[0])}" cy="{coordinate(centre[1])}" r="{radius}" '
            f'fill="{variable(colour)}" stroke="{variable("card")}" stroke-width="1.5">'
            f"<title>{escape(clean(tip))}</title></circle>"
        )

    def finish(self) -> str:
        """Return the picture as an element for an HTML page."""
        head = (
            f'<svg class="chart" viewBox="0 0 {coordinate(self.width)} {coordinate(self.height)}" '
            f'role="img" aria-label="{escape(clean(self.label))}">'
        )
        return "\n".join([head, *self._parts, "</svg>"])


@dataclass(frozen=True)
class Panel:
    """A chart with a heading and lines below it, as a part of a picture file."""

    title: str
    leads: Sequence[str]
    svg: str


def to_file(panels: Sequence[Panel], theme: Mapping[str, str], *, width: float = 620) -> str:
    """Return charts below each other as a file of its own, its colours fixed on their own ground.

    A file in a repository is shown on light and on dark pages, and cannot ask which: an opaque card
    behind it reads on both.
    """
    parts, y = [], MARGIN
    for panel in panels:
        parts.append(_heading(panel.title, (width, y + 14), Type("fg", size=16, weight=700)))
        y += HEAD
        for lead in panel.leads:
            parts.append(_heading(lead, (width, y + 4), Type("muted", size=11.5)))
            y += LEADING
        inner, height = _place(panel.svg, (MARGIN, y), width - 2 * MARGIN)
        parts.append(inner)
        y += height + MARGIN
    ground = (
        f'<rect x="0.5" y="0.5" width="{coordinate(width - 1)}" height="{coordinate(y - 1)}" '
        f'rx="12" fill="{variable("card")}" stroke="{variable("line")}"/>'
    )
    head = (
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {coordinate(width)} {coordinate(y)}" '
        f'width="{coordinate(width)}" height="{coordinate(y)}" font-family="{FONT}" role="img" '
        f'aria-label="{escape(clean("; ".join(panel.title for panel in panels)))}">'
    )
    text = "\n".join([head, ground, *parts, "</svg>\n"])
    return re.sub(r"var\(--c-([a-z0-9]+)\)", lambda found: theme[found.group(1)], text)


def _heading(text: str, place: Point, style: Type) -> str:
    """Return one line at the left; `place` is the picture's width and the line's height in it."""
    width, y = place
    shown = escape(fit(clean(text), width - 2 * MARGIN, style.size))
    return (
        f'<text x="{coordinate(MARGIN)}" y="{coordinate(y)}" fill="{variable(style.colour)}" '
        f'font-size="{style.size}" font-weight="{style.weight}">{shown}</text>'
    )


def _place(svg: str, corner: Point, width: float) -> tuple[str, float]:
    """Return a finished drawing as a part of another, scaled to a width, and its height."""
    found = re.match(r'<svg class="chart" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    if found is None:
        raise ValueError(svg[:80])
    height = width * float(found.group(2)) / float(found.group(1))
    place = (
        f'<svg x="{coordinate(corner[0])}" y="{coordinate(corner[1])}" '
        f'width="{coordinate(width)}" height="{coordinate(height)}" '
    )
    return place + svg[len('<svg class="chart" ') :], height


def variable(colour: str) -> str:
    """Return a colour of the page's theme."""
    return f"var(--c-{colour})"


def coordinate(value: float) -> str:
    """Return a length with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def ticks(highest: float, count: int = 5) -> list[float]:
    """Return round values from 0 to at most `highest`, about `count` of them."""
    magnitude = 10.0 ** floor(log10(highest / count))
    step = next(factor * magnitude for factor in STEPS if factor * magnitude >= highest / count)
    return [position * step for position in range(int(highest / step + 1e-9) + 1)]
