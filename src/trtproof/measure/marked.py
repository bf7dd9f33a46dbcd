"""Blocks of requests that the device's own clock marks: a request's parts, and launches alone.

Marks cost time (four of them about 10 us on an H200), so the workers that run these blocks are
never those that time latency. Workers import this module: numpy only.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from trtproof.backends.base import PartTimes
from trtproof.measure.loop import COLUMNS, SLOT, BlockRule, Loop, Times
from trtproof.tensor import Array

MARKED_COLUMNS: Final = (*COLUMNS, "device_ns", "h2d_ns", "d2h_ns", "enqueue_ns")
"""Columns of a marked block's array, as loop.COLUMNS; what a runner has not is NOT_MARKED_NS."""

NOT_MARKED_NS: Final = -1


def run_parts(loop: Loop, rule: BlockRule) -> Array:
    """Return one row per request (MARKED_COLUMNS), host to host, one in flight, with its parts."""

    def time_one(index: int) -> Times:
        times = loop.time_request(index)
        return (*times, *_of_parts(loop.runner.times_ns()))

    return loop.run_rows(rule, time_one, columns=len(MARKED_COLUMNS))


def run_launches(loop: Loop, rule: BlockRule) -> Array:
    """Return one row per launch (MARKED_COLUMNS) with the inputs resident, one launched ahead.

    As trtexec's "GPU Compute Time": the device never waits for the host, unless submitting takes
    longer than computing. Copies are none; `e2e_ns` runs from submitting a launch to seeing its end
    and so includes what was in flight before it. Every block takes the next item.
    """
    runner, clock = loop.runner, loop.clock
    runner.stage(SLOT, loop.next_block_request())
    runner.upload(SLOT)
    runner.wait()
    submitted_ns: deque[int] = deque()

    def launch() -> None:
        submitted_ns.append(clock.now_ns())
        runner.launch(SLOT)

    def time_one(index: int) -> Times:
        del index
        launch()
        parts = runner.finish_launch()
        start_ns = submitted_ns.popleft()
        spent_ns = clock.now_ns() - start_ns
        return (start_ns, spent_ns, NOT_MARKED_NS, *_of_parts(parts))

    launch()
    rows = loop.run_rows(rule, time_one, columns=len(MARKED_COLUMNS))
    runner.wait()
    return rows


def _of_parts(parts: PartTimes) -> Times:
    """Return the parts in the order of the columns."""
    times = (parts.device_ns, parts.h2d_ns, parts.d2h_ns, parts.enqueue_ns)
    return tuple(NOT_MARKED_NS if time_ns is None else time_ns for time_ns in times)
