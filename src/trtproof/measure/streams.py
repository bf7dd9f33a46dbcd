"""Throughput: several streams of one engine, each with one request in flight at all times.

Every stream is a runner of its own on a thread of its own; libraries release Python's lock while
they infer. Workers import this module: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np

from trtproof.backends.base import Runner
from trtproof.measure.clock import Clock
from trtproof.measure.loop import COLUMNS
from trtproof.tensor import Array, Feeds

SLOT: Final = 0
FEWEST_COMPLETED: Final = 3
"""Requests of every stream inside a window, which a slow engine lengthens."""

NOT_MEASURED_NS: Final = -1
"""Processor time of one stream's request: libraries spread it over threads of all streams."""


@dataclass(frozen=True)
class StreamRule:
    """How long the streams run before the window, and how long the window is at least."""

    warm_seconds: float
    seconds: float


@dataclass(frozen=True)
class Window:
    """What the streams did: `rows` per stream (loop.COLUMNS), counted where it ended inside.

    `cpu_ns` is the processor time of the whole process from the window's first request to its last.
    """

    window_ns: int
    cpu_ns: int
    completed_count: int
    rows: Sequence[Array]


class _Streams:
    """What the threads share: when the window is, and how many streams still lack requests."""

    def __init__(self, clock: Clock, cpu_clock: Clock, rule: StreamRule, *, streams: int) -> None:
        self.clock = clock
        self.cpu_clock = cpu_clock
        self.cpu_start_ns: int | None = None
        self.start_ns = clock.now_ns() + int(rule.warm_seconds * 1e9)
        self.end_ns = self.start_ns + int(rule.seconds * 1e9)
        self._lacking = streams
        self._failed = False
        self._lock = Lock()

    def goes_on(self, now_ns: int) -> bool:
        """Say whether another request is due: all streams are kept busy until the last is done."""
        return not self._failed and (now_ns < self.end_ns or self._lacking > 0)

    def note_begin(self) -> None:
        """Note the processor time when the first stream enters the window."""
        with self._lock:
            if self.cpu_start_ns is None:
                self.cpu_start_ns = self.cpu_clock.now_ns()

    def note_enough(self, now_ns: int) -> None:
        """Note that a stream has its fewest requests; the window lasts until the last one has."""
        with self._lock:
            self._lacking -= 1
            self.end_ns = max(self.end_ns, now_ns)

    def give_up(self) -> None:
        """Let the other streams end: one failed."""
        self._failed = True


def run_streams(
    runners: Sequence[Runner],
    requests: Sequence[Feeds],
    *,
    rule: StreamRule,
    clock: Clock,
    cpu_clock: Clock,
) -> Window:
    """Return what all runners completed in a window of a closed loop.

    `cpu_clock` is the processor time of the process.

    Raises:
        BackendError: an inference failed; the other streams end with their current request.
    """
    for stream, runner in enumerate(runners):  # one after the other: some capture CUDA graphs now
        runner.stage(SLOT, requests[stream % len(requests)])
    shared = _Streams(clock, cpu_clock, rule, streams=len(runners))
    with ThreadPoolExecutor(max_workers=len(runners)) as pool:
        futures = [
            pool.submit(_run_stream, runner, requests, first=stream, shared=shared)
            for stream, runner in enumerate(runners)
        ]
        times = [future.result() for future in futures]
    ended_ns = cpu_clock.now_ns()
    begun_ns = ended_ns if shared.cpu_start_ns is None else shared.cpu_start_ns
    rows = [_make_rows(stream, shared) for stream in times]
    return Window(
        window_ns=shared.end_ns - shared.start_ns,
        cpu_ns=ended_ns - begun_ns,
        completed_count=sum(int(array[:, 0].sum()) for array in rows),
        rows=rows,
    )


def _run_stream(
    runner: Runner, requests: Sequence[Feeds], *, first: int, shared: _Streams
) -> list[tuple[int, int]]:
    """Return start and latency in nanoseconds of every request of one stream."""
    times: list[tuple[int, int]] = []
    completed, entered = 0, False
    end = shared.clock.now_ns()
    try:
        while shared.goes_on(end):
            if not entered and end >= shared.start_ns:
                entered = True
                shared.note_begin()
            runner.stage(SLOT, requests[(first + len(times)) % len(requests)])
            start = shared.clock.now_ns()
            runner.upload(SLOT)
            runner.launch(SLOT)
            runner.download(SLOT)
            runner.wait()
            end = shared.clock.now_ns()
            times.append((start, end - start))
            completed += end > shared.start_ns
            if end > shared.start_ns and completed == FEWEST_COMPLETED:
                shared.note_enough(end)
    except BaseException:  # whatever it is, the other streams must not wait for this one for ever
        shared.give_up()
        raise
    return times


def _make_rows(times: Sequence[tuple[int, int]], shared: _Streams) -> Array:
    rows = [
        (
            int(shared.start_ns < start + spent <= shared.end_ns),
            start,
            spent,
            NOT_MEASURED_NS,
        )
        for start, spent in times
    ]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS))
