"""Colours of the page and its charts, by name.

Every text colour has a contrast of at least 4.5 : 1 on the card and on the page, in both themes.
"""

from __future__ import annotations

from typing import Final

LIGHT: Final = {
    "fg": "#1b2430", "muted": "#57636f", "grid": "#e4e8ee", "axis": "#aab4c0", "card": "#ffffff",
    "page": "#f4f6f9", "line": "#dde3ea", "code": "#f0f3f7", "accent": "#2560bd",
    "ok": "#146c42", "bad": "#b3262f", "warn": "#7d5300",
    "okbg": "#e6f5ec", "badbg": "#fdecec", "warnbg": "#fff4d6",
    "v0": "#626c78", "v1": "#2560bd", "v2": "#08736a", "v3": "#a85000", "v4": "#8638ab",
    "v5": "#b0296b", "v6": "#4d6b12",
}  # fmt: skip
DARK: Final = {
    "fg": "#e6ebf2", "muted": "#9aa7b8", "grid": "#2a3340", "axis": "#566273", "card": "#161c25",
    "page": "#0d1117", "line": "#263040", "code": "#10161f", "accent": "#7aa5ff",
    "ok": "#4ccf8f", "bad": "#ff8187", "warn": "#e9b949",
    "okbg": "#12301f", "badbg": "#3a1a1d", "warnbg": "#352a10",
    "v0": "#8f9bab", "v1": "#6ea3ff", "v2": "#35c9b8", "v3": "#ffa04d", "v4": "#cf8cf0",
    "v5": "#ff86b8", "v6": "#a9cf5a",
}  # fmt: skip


def to_css(theme: dict[str, str]) -> str:
    """Return the theme as CSS variables."""
    return "".join(f"--c-{name}:{colour};" for name, colour in theme.items())
