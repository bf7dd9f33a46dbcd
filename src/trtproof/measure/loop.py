"""The timed loop of a worker: one request in flight, from host memory to host memory.

Only `upload`, `launch`, `download` and `wait` lie between the two readings of the clock; the clock
of processor time is read outside of them. Workers import this module: numpy only.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trtproof.backends.base import PartTimes, Runner
from trtproof.measure.clock import Clock
from trtproof.tensor import Array, Feeds

WINDOW: Final = 20
"""Requests of one window of the warm-up rule."""

WINDOWS: Final = 3
AGREEMENT: Final = 0.01
"""How far the largest and the smallest median of the last windows may lie apart, relatively."""

COLUMNS: Final = ("counted", "t_start_ns", "e2e_ns", "cpu_ns")
"""Columns of a block's array, one row per request in order; `counted` is 0 for its warm-up."""

SLOT: Final = 0
ROBUST_SD: Final = 1.4826
SLOW_SDS: Final = 10

Times = tuple[int, ...]
"""What is kept of one request: COLUMNS without the first, perhaps with more after them."""


@dataclass(frozen=True)
class WarmupRule:
    """Run at least `seconds` and `iterations`, then until windows agree, up to `cap_seconds`."""

    seconds: float
    cap_seconds: float
    iterations: int


@dataclass(frozen=True)
class WarmupRecord:
    """What a warm-up did; `converged` is false when the cap ended it."""

    iterations_count: int
    seconds: float
    converged: bool
    median_ns: int


@dataclass(frozen=True)
class BlockRule:
    """Count at least `requests` and `seconds`, after warm ones (as many, as long) that do not."""

    requests: int
    seconds: float
    warm_iterations: int
    warm_seconds: float


class Loop:
    """A runner and the requests that rotate through it."""

    def __init__(
        self, runner: Runner, requests: Sequence[Feeds], clock: Clock, cpu_clock: Clock
    ) -> None:
        self.runner = runner
        self.clock = clock
        self._requests = requests
        self._cpu_clock = cpu_clock
        self._blocks_count = 0

    def next_block_request(self) -> Feeds:
        """Return the request of a block that repeats one: another one every time."""
        chosen = self._requests[self._blocks_count % len(self._requests)]
        self._blocks_count += 1
        return chosen

    def time_request(self, index: int) -> tuple[int, int, int]:
        """Return start, wall time and processor time of one request, in nanoseconds."""
        runner = self.runner
        runner.stage(SLOT, self._requests[index % len(self._requests)])
        cpu_before = self._cpu_clock.now_ns()
        start = self.clock.now_ns()
        runner.upload(SLOT)
        runner.launch(SLOT)
        runner.download(SLOT)
        runner.wait()
        end = self.clock.now_ns()
        cpu_after = self._cpu_clock.now_ns()
        return start, end - start, cpu_after - cpu_before

    def warm_up(self, rule: WarmupRule) -> WarmupRecord:
        """Run requests until the rule is met; none of them counts."""
        begun = self.clock.now_ns()
        times: list[int] = []
        while True:
            times.append(self.time_request(len(times))[1])
            elapsed_s = (self.clock.now_ns() - begun) / 1e9
            long_enough = elapsed_s >= rule.seconds and len(times) >= rule.iterations
            settled = long_enough and is_settled(times)
            if settled or elapsed_s >= rule.cap_seconds:
                return WarmupRecord(
                    iterations_count=len(times),
                    seconds=elapsed_s,
                    converged=settled,
                    median_ns=int(statistics.median(times[-WINDOW:])),
                )

    def run_block(self, rule: BlockRule) -> Array:
        """Return one row per request (COLUMNS), int64; the first ones are the block's warm-up."""
        return self.run_rows(rule, self.time_request, columns=len(COLUMNS))

    def run_rows(self, rule: BlockRule, time_one: Callable[[int], Times], *, columns: int) -> Array:
        """Return what `time_one` gives for each request, int64, behind 0 or 1 for counted.

        Args:
            rule: how many requests.
            time_one: index of a request -> its times.
            columns: of the array; one more than `time_one` gives.
        """
        warm = self._repeat(time_one, rule.warm_iterations, rule.warm_seconds)
        counted = self._repeat(time_one, rule.requests, rule.seconds)
        rows = [(0, *times) for times in warm] + [(1, *times) for times in counted]
        return np.array(rows, dtype=np.int64).reshape(len(rows), columns)

    def _repeat(
        self, time_one: Callable[[int], Times], requests: int, seconds: float
    ) -> list[Times]:
        """Time requests until there are enough of them and enough time has passed."""
        end = self.clock.now_ns() + int(seconds * 1e9)
        rows: list[Times] = []
        while len(rows) < requests or self.clock.now_ns() < end:
            rows.append(time_one(len(rows)))
        return rows


def is_settled(times_ns: Sequence[int]) -> bool:
    """Say whether the medians of the last three windows of 20 agree within 1 %."""
    if len(times_ns) < WINDOW * WINDOWS:
        return False
    last = times_ns[-WINDOW * WINDOWS :]
    medians = [
        statistics.median(last[start : start + WINDOW]) for start in range(0, len(last), WINDOW)
    ]
    return max(medians) - min(medians) <= AGREEMENT * min(medians)


def first_is_slow(rows: Array) -> bool:
    """Say whether the first counted request of a block (COLUMNS) lies far beyond the others.

    Beyond the median plus ten robust standard deviations (1.4826 times the median absolute
    deviation): the block's warm-up was too short. It is kept all the same.
    """
    times_ns = rows[rows[:, 0] == 1, 2]
    middle = float(np.median(times_ns))
    spread = ROBUST_SD * float(np.median(np.abs(times_ns - middle)))
    return bool(times_ns[0] > middle + SLOW_SDS * spread)


class NullRunner:
    """Do nothing: what its requests take is what the harness itself adds to every sample."""

    def stage(self, slot: int, feeds: Feeds) -> None:
        """Do nothing."""

    def upload(self, slot: int) -> None:
        """Do nothing."""

    def launch(self, slot: int) -> None:
        """Do nothing."""

    def download(self, slot: int) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Do nothing."""

    def finish_launch(self) -> PartTimes:
        """Return no times."""
        return PartTimes()

    def finish_request(self, slot: int) -> PartTimes:
        """Return no times."""
        del slot
        return PartTimes()

    def wait_asleep(self) -> None:
        """Do nothing."""

    def read(self, slot: int) -> Feeds:
        """Return no outputs."""
        del slot
        return {}

    def times_ns(self) -> PartTimes:
        """Return no parts."""
        return PartTimes()

    def close(self) -> None:
        """Do nothing."""
