"""The Pareto front of points whose directions are known: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from trtproof.measure.verdict import Better

Place = Sequence[float]


def dominates(one: Place, other: Place, better: Sequence[Better]) -> bool:
    """Say whether one place is at least as good in every figure and better in one."""
    pairs = [
        (first, second) if direction is Better.HIGHER else (-first, -second)
        for first, second, direction in zip(one, other, better, strict=True)
    ]
    no_worse = all(first >= second for first, second in pairs)
    return no_worse and any(first > second for first, second in pairs)


def find_front(places: Sequence[Place], better: Sequence[Better]) -> list[int]:
    """Return the indices of all places that none dominates, in their order."""
    return [
        index
        for index, place in enumerate(places)
        if not any(dominates(other, place, better) for other in places)
    ]


def find_dominators(places: Sequence[Place], better: Sequence[Better]) -> dict[int, int]:
    """Return the index of every dominated place -> the first on the front that dominates it."""
    front = find_front(places, better)
    return {
        index: next(one for one in front if dominates(places[one], place, better))
        for index, place in enumerate(places)
        if index not in front
    }
