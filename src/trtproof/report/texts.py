"""Text from outside, made harmless before it is escaped.

Names, reasons and facts of the machine come from files and programs. Escaping keeps them from
being markup; this keeps them from being invisible, from turning the reading direction of what
stands beside them, and from being characters that no XML file may have.
"""

from __future__ import annotations

import unicodedata
from typing import Final

CHARACTER_WIDTH: Final = 0.6
"""Of a system font's character, at most on average, in units of the font's size."""

HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a glyph: controls, formats (reading direction), surrogates."""


def clean(text: str) -> str:
    r"""Return one line in which every character without a glyph is written as \u{hex}."""
    if text.isascii() and text.isprintable():
        return text
    line = " ".join(text.split())
    return "".join(_show(character) for character in line)


def fit(text: str, width: float, size: float = 12) -> str:
    """Return a text cut so that it fits a width at a font size, with an ellipsis if it is cut."""
    return shorten(text, max(4, int(width / (size * CHARACTER_WIDTH))))


def shorten(text: str, length: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _show(character: str) -> str:
    hidden = unicodedata.category(character) in HIDDEN
    return f"\\u{{{ord(character):x}}}" if hidden else character
