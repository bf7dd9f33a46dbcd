"""The one clock that times every contender of a report."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Integer nanoseconds that never go backwards; `name` is printed beside every figure."""

    name: str

    def now_ns(self) -> int:
        """Return the time since an arbitrary origin."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC, which all processes of one machine share."""

    name = "perf_counter_ns"

    def now_ns(self) -> int:
        """Return the time since an arbitrary origin that processes share."""
        return time.perf_counter_ns()


class ThreadCpuClock:
    """The processor time of the calling thread: for inferences on one thread."""

    name = "thread_time_ns"

    def now_ns(self) -> int:
        """Return the processor time that this thread used."""
        return time.thread_time_ns()


class ProcessCpuClock:
    """The processor time of all threads: for inferences on several."""

    name = "process_time_ns"

    def now_ns(self) -> int:
        """Return the processor time that this process used."""
        return time.process_time_ns()
