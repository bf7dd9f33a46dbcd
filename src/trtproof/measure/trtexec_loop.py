"""Requests timed as trtexec times them: one always queued ahead, by the device's own clock.

As samples/common/sampleInference.cpp of TensorRT (inferenceLoop, Iteration::query and sync): a
query is submitted, then the one before it is waited for. Queries that were submitted before the end
of the warm-up count nowhere. Unlike trtexec, copies and inference share one stream, so that copies
do not overlap the other query's inference, and inputs are real samples. Workers import this module:
numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trtproof.backends.base import PartTimes, Runner
from trtproof.measure.clock import Clock
from trtproof.measure.marked import MARKED_COLUMNS, NOT_MARKED_NS
from trtproof.tensor import Array, Feeds

SLOTS: Final = (0, 1)
"""A query's, in turns: one is waited for while the other one runs."""


@dataclass(frozen=True)
class ProtocolRule:
    """What is timed, for how long: the rest of a protocol is this module.

    It goes on for `seconds` after the warm-up, and until `iterations` queries count.
    """

    data_transfers: bool
    spin_wait: bool
    warm_up_ms: float
    seconds: float
    iterations: int


@dataclass(frozen=True)
class ProtocolRun:
    """One row per query (MARKED_COLUMNS), and the host's wall time of those that count.

    The wall time runs from submitting the first of them to the end of the last.
    """

    rows: Array
    wall_ns: int

    @property
    def is_marked(self) -> bool:
        """Say whether the device's own clock told the time of every query."""
        return bool((self.rows[:, MARKED_COLUMNS.index("device_ns")] > 0).all())


class ProtocolLoop:
    """A runner and the two requests, one per slot, that it repeats."""

    def __init__(
        self, runner: Runner, requests: Sequence[Feeds], clock: Clock, rule: ProtocolRule
    ) -> None:
        self._runner = runner
        self._requests = requests
        self._clock = clock
        self._rule = rule

    def run(self) -> ProtocolRun:
        """Run the protocol.

        Raises:
            BackendError: an inference failed.
        """
        self._prepare()
        begun_ns = self._clock.now_ns()
        warm_ns = begun_ns + int(self._rule.warm_up_ms * 1e6)
        last_ns = warm_ns + int(self._rule.seconds * 1e9)
        rows: list[tuple[int, ...]] = []
        submitted_ns = [self._submit(0)]
        while self._goes_on(rows, submitted_ns[-1], last_ns):
            submitted_ns.append(self._submit(len(submitted_ns)))
            self._finish(rows, submitted_ns, warm_ns)
        ended_ns = self._finish(rows, submitted_ns, warm_ns)
        self._runner.wait()
        array = np.array(rows, dtype=np.int64).reshape(len(rows), len(MARKED_COLUMNS))
        counted = array[array[:, 0] == 1]
        return ProtocolRun(array, wall_ns=ended_ns - int(counted[0, 1]))

    def _prepare(self) -> None:
        """Stage both slots once; without transfers the inputs are brought to the device here."""
        if not self._rule.spin_wait:
            self._runner.wait_asleep()
        for slot in SLOTS:
            self._runner.stage(slot, self._requests[slot % len(self._requests)])
            self._runner.upload(slot)
        self._runner.wait()

    def _goes_on(self, rows: Sequence[tuple[int, ...]], now_ns: int, last_ns: int) -> bool:
        """Say whether another query is due: `now_ns` is when the last one was submitted."""
        counted = sum(row[0] for row in rows[-self._rule.iterations :])
        return now_ns < last_ns or counted + 1 < self._rule.iterations

    def _submit(self, number: int) -> int:
        """Start a query and return when."""
        slot, begun_ns = SLOTS[number % len(SLOTS)], self._clock.now_ns()
        if self._rule.data_transfers:
            self._runner.upload(slot)
        self._runner.launch(slot)
        if self._rule.data_transfers:
            self._runner.download(slot)
        return begun_ns

    def _finish(
        self, rows: list[tuple[int, ...]], submitted_ns: Sequence[int], warm_ns: int
    ) -> int:
        """Wait for the oldest query in flight, add its row, and return when it was seen to end."""
        number = len(rows)
        if self._rule.data_transfers:
            parts = self._runner.finish_request(SLOTS[number % len(SLOTS)])
        else:
            parts = self._runner.finish_launch()
        ended_ns, start_ns = self._clock.now_ns(), submitted_ns[number]
        rows.append(
            (int(start_ns >= warm_ns), start_ns, ended_ns - start_ns, NOT_MARKED_NS, *_times(parts))
        )
        return ended_ns


def _times(parts: PartTimes) -> tuple[int, ...]:
    """Return the parts in the order of the columns."""
    found = (parts.device_ns, parts.h2d_ns, parts.d2h_ns, parts.enqueue_ns)
    return tuple(NOT_MARKED_NS if time_ns is None else time_ns for time_ns in found)
