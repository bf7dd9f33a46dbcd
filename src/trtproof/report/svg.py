"""Drawing primitives: SVG text whose colours are the page's CSS variables.

One picture therefore follows the page's light, dark and print colours. Coordinates have one
decimal, so that a rebuild gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10
from typing import Final, Literal

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
STEPS: Final = (1, 2, 2.5, 5, 10)


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
            f"<title>{escape(tip)}</title></rect>"
        )

    def text(self, place: Point, text: str, style: Type) -> None:
        """Write one line of text."""
        self._parts.append(
            f'<text x="{coordinate(place[0])}" y="{coordinate(place[1])}" '
            f'fill="{variable(style.colour)}" text-anchor="{style.anchor}" '
            f'font-size="{style.size}" font-weight="{style.weight}">{escape(text)}</text>'
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

    def dot(self, centre: Point, colour: str, *, tip: str, radius: float = 5) -> None:
        """Draw a dot that explains itself on hover."""
        self._parts.append(
            f'<circle cx="{coordinate(centre[0])}" cy="{coordinate(centre[1])}" r="{radius}" '
            f'fill="{variable(colour)}" stroke="{variable("card")}" stroke-width="1.5">'
            f"<title>{escape(tip)}</title></circle>"
        )

    def finish(self) -> str:
        """Return the picture as an element for an HTML page."""
        head = (
            f'<svg class="chart" viewBox="0 0 {coordinate(self.width)} {coordinate(self.height)}" '
            f'role="img" aria-label="{escape(self.label)}">'
        )
        return "\n".join([head, *self._parts, "</svg>"])


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
