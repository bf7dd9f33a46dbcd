"""Whose work a GPU does: ours, or that of others who share it.

Processes that had a context before our first one are others'. Afterwards exactly our workers may be
added. In a container the driver may number processes as the host does, so that ours cannot be told
by their numbers: then more new ones than we have workers are others'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

Children = Callable[[], frozenset[int]]


@dataclass(frozen=True)
class Tenancy:
    """Others at one moment: how many processes, and their share of the GPU; None if not told.

    The share is of the multiprocessors' time where the driver splits it by process. Where it does
    not, it is 1 while others hold a context, since nothing says that they are idle.
    """

    count: int | None
    share: float | None


class Tenants:
    """Tell others' processes from ours, from one look at the GPU to the next."""

    def __init__(self, first: frozenset[int] | None, children: Children | None = None) -> None:
        """Take the processes that were there before any of ours."""
        self._first = first or frozenset()
        self._children = children or list_children
        self._ours: frozenset[int] = frozenset()
        self._alive_count = 0
        self._last: frozenset[int] | None = None
        self._numbers_are_ours = False
        self._splits = False

    def look(
        self, running: frozenset[int] | None, utilisation: Mapping[int, float] | None
    ) -> Tenancy:
        """Return what others do now.

        Args:
            running: processes with a context now; None where the driver does not list them.
            utilisation: share by process since the last look; None where it is not told.
        """
        if running is None:
            return Tenancy(None, None)
        if running != self._last:
            self._know_ours(running)
            self._last = running
        self._splits |= bool(utilisation)
        known, surplus = self._find_others(running)
        count = len(known) + surplus
        if not self._splits or utilisation is None:
            return Tenancy(count, float(count > 0))
        used = sum(share for pid, share in utilisation.items() if self._is_other(pid, known))
        return Tenancy(count, 1.0 if surplus else min(used, 1.0))

    def _know_ours(self, running: frozenset[int]) -> None:
        """Ask for our processes: only when the list changed, since that costs a walk of /proc."""
        alive = self._children()
        self._alive_count = len(alive)
        self._ours |= alive | {os.getpid()}
        self._numbers_are_ours |= bool(running & self._ours)

    def _find_others(self, running: frozenset[int]) -> tuple[frozenset[int], int]:
        """Return others' processes by number, and how many more there are among new ones."""
        if self._numbers_are_ours:
            return running - self._ours, 0
        new = running - self._first
        return running & self._first, max(0, len(new) - self._alive_count)

    def _is_other(self, pid: int, known: frozenset[int]) -> bool:
        """Say whether a process is another's; one without a compute context may draw."""
        return pid in known or (self._numbers_are_ours and pid not in self._ours)


def list_children() -> frozenset[int]:
    """Return the numbers of all processes below this one."""
    return frozenset(child.pid for child in psutil.Process().children(recursive=True))
