"""Closed loops of several streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from tests.fakes import FakeClock

from trtproof.backends.base import Runner
from trtproof.errors import BackendError
from trtproof.measure.clock import Clock, MonotonicClock
from trtproof.measure.loop import NullRunner
from trtproof.measure.streams import (
    FEWEST_COMPLETED,
    READY_RUNS,
    StreamRule,
    Window,
    run_streams,
)
from trtproof.tensor import Feeds

REQUESTS: list[Feeds] = [{"x": np.array([value])} for value in range(3)]


class Counting(NullRunner):
    """Remember which requests were staged, and which threads launched them."""

    def __init__(self) -> None:
        self.staged: list[int] = []
        self.threads: set[int] = set()

    def stage(self, slot: int, feeds: Feeds) -> None:
        self.staged.append(int(feeds["x"][0]))

    def launch(self, slot: int) -> None:
        self.threads.add(threading.get_ident())


class Failing(NullRunner):
    def launch(self, slot: int) -> None:
        problem = "the engine is out of memory"
        raise BackendError(problem)


def run_window(runners: Sequence[Runner], rule: StreamRule, clock: Clock) -> Window:
    return run_streams(runners, REQUESTS, rule=rule, clock=clock, cpu_clock=FakeClock([7]))


def test_a_window_counts_what_ended_inside_it() -> None:
    clock = FakeClock([100])  # ns a reading, two readings a request
    window = run_window([NullRunner()], StreamRule(5e-7, 1e-6), clock)
    rows = window.rows[0]
    ends = rows[:, 1] + rows[:, 2]
    assert window.window_ns == 1000
    assert rows[:, 0].tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert window.completed_count == 5
    assert (ends[rows[:, 0] == 1] <= 1600).all()
    assert set(rows[:, 3].tolist()) == {-1}
    assert window.cpu_ns == 7  # between two readings: at the window's first request, and its end


@pytest.mark.parametrize("step_ns", [70, 100, 130])
def test_processor_time_is_read_wherever_the_window_begins(step_ns: int) -> None:
    window = run_window([NullRunner()], StreamRule(5e-7, 1e-6), FakeClock([step_ns]))
    assert window.cpu_ns == 7


def test_requests_rotate_and_streams_start_at_different_ones() -> None:
    runners = [Counting(), Counting()]
    run_window(runners, StreamRule(0.0, 0.002), MonotonicClock())
    assert runners[0].staged[READY_RUNS : READY_RUNS + 3] == [0, 1, 2]
    assert runners[1].staged[READY_RUNS : READY_RUNS + 3] == [1, 2, 0]


def test_streams_get_ready_one_after_the_other_each_in_the_thread_that_runs_it() -> None:
    order: list[tuple[int, int]] = []

    class Ordered(NullRunner):
        def __init__(self, number: int) -> None:
            self.number = number

        def launch(self, slot: int) -> None:
            order.append((self.number, threading.get_ident()))
            time.sleep(0.002)  # long enough for others to come between

    count = 3
    run_window([Ordered(number) for number in range(count)], StreamRule(0, 0.002), MonotonicClock())
    ready = order[: count * READY_RUNS]
    blocks = [ready[at : at + READY_RUNS] for at in range(0, len(ready), READY_RUNS)]
    assert all(len(set(block)) == 1 for block in blocks)
    assert {number for number, _ in ready} == {*range(count)}
    assert set(ready) == set(order)


def test_every_stream_has_a_thread_of_its_own() -> None:
    runners = [Counting(), Counting(), Counting()]
    run_window(runners, StreamRule(0.0, 0.02), MonotonicClock())
    assert all(len(runner.threads) == 1 for runner in runners)


def test_a_slow_engine_lengthens_the_window_until_every_stream_has_its_requests() -> None:
    clock = FakeClock([10_000])
    window = run_window([NullRunner()], StreamRule(0.0, 1e-9), clock)
    assert window.completed_count == FEWEST_COMPLETED
    assert window.window_ns > 1


@pytest.mark.parametrize("place", [0, 1])
def test_a_stream_that_fails_ends_the_others(place: int) -> None:
    runners: list[NullRunner] = [NullRunner(), NullRunner()]
    runners[place] = Failing()
    with pytest.raises(BackendError, match="out of memory"):
        run_window(runners, StreamRule(0.0, 60.0), MonotonicClock())
