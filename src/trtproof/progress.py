"""Progress with time left: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

PLAIN_EVERY_S = 5.0
"""Seconds between plain lines: often enough to see life, rare enough for a log."""


def track(items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
    """Yield the items, showing how many of `total` are done and about how long the rest takes.

    On a terminal this is a rich progress bar; elsewhere the first plain line comes after
    PLAIN_EVERY_S, so that quick steps print nothing.
    """
    if sys.stderr.isatty():
        yield from _track_bar(items, title=title, total=total)
    else:
        yield from _track_lines(items, title=title, total=total)


def _track_bar(items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(
        items, description=title, total=total, console=Console(stderr=True), transient=True
    )


def _track_lines(items: Iterable[T], *, title: str, total: int) -> Iterator[T]:
    started = last = monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = monotonic()
        if now - last >= PLAIN_EVERY_S and done < total:
            left_s = (now - started) / done * (total - done)
            note(f"{title}: {done} of {total}, about {left_s:.0f} s left")
            last = now


def note(text: str) -> None:
    """Print one line about what a stage is doing or found."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a stage talks to the person who runs dvc
