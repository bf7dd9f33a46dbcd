"""Rounds in which a power cap held one contender back unlike in its other rounds.

A card that is capped whenever it works hard is as its owner set it: every block of that contender
meets the cap alike, and nothing is left out. A block that met it otherwise had other conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any, Final

FEWEST_BLOCKS: Final = 3
"""Of fewer, nothing says which one is unlike the others."""


def find_unlike_rounds(notes: Iterable[Mapping[str, Any]], limit_share: float) -> list[int]:
    """Return the rounds with a block whose capped share lies far from its contender's median.

    Args:
        notes: the blocks' notes, `gpu.power_cap_share` where the GPU tells it.
        limit_share: from how far on, as a share of the block's time.
    """
    groups: dict[tuple[str, int], dict[int, float]] = {}
    for note in notes:
        share = (note.get("gpu") or {}).get("power_cap_share")
        if share is not None:
            groups.setdefault((note["contender"], note["batch"]), {})[note["round"]] = share
    unlike: set[int] = set()
    for shares in groups.values():
        if len(shares) >= FEWEST_BLOCKS:
            middle = median(shares.values())
            unlike |= {
                number for number, share in shares.items() if abs(share - middle) > limit_share
            }
    return sorted(unlike)
