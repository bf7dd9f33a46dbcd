"""Marks around launches: the GPU's own time of each, while the next one is in flight already."""

from __future__ import annotations

from collections import deque
from typing import Final

from trtproof.backends.base import PartTimes
from trtproof.backends.cuda.device import Device
from trtproof.backends.cuda.streams import Event

LAUNCHES_AHEAD: Final = 2
"""Launches that may be in flight together: the one waited for, and one ahead, as in trtexec."""


class LaunchMarks:
    """The marks before and after one launch, and the host's time to submit it."""

    def __init__(self, device: Device, *, asleep: bool = False) -> None:
        self.begin = Event(device, timing=True)
        self.end = Event(device, timing=True, asleep=asleep)
        self.enqueue_ns = 0

    @property
    def device_ns(self) -> int:
        """Return the GPU's time of the launch, once its end was reached."""
        return self.end.nanoseconds_since(self.begin)

    def close(self) -> None:
        """Give both marks back."""
        for event in (self.begin, self.end):
            event.close()


class LaunchRing:
    """The marks of the last launches of a stream, taken in turns."""

    def __init__(self, device: Device, *, asleep: bool = False) -> None:
        self._marks = [LaunchMarks(device, asleep=asleep) for _ in range(LAUNCHES_AHEAD)]
        self._pending: deque[LaunchMarks] = deque(maxlen=LAUNCHES_AHEAD)
        self._count = 0

    def take(self) -> LaunchMarks:
        """Return the marks of the next launch: those of the oldest one."""
        marks = self._marks[self._count % LAUNCHES_AHEAD]
        self._count += 1
        self._pending.append(marks)
        return marks

    def finish(self) -> PartTimes:
        """Wait for the oldest launch that nobody has waited for; no times where there is none."""
        if not self._pending:
            return PartTimes()
        marks = self._pending.popleft()
        marks.end.synchronize()
        return PartTimes(device_ns=marks.device_ns, enqueue_ns=marks.enqueue_ns)

    def clear(self) -> None:
        """Note that all launches were waited for."""
        self._pending.clear()

    def close(self) -> None:
        """Give all marks back."""
        self.clear()
        for marks in self._marks:
            marks.close()
        self._marks = []
