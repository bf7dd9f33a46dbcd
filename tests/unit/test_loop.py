"""The timed loop, on a fake clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock

from trtproof.backends.base import PartTimes
from trtproof.measure.loop import BlockRule, Loop, NullRunner, WarmupRule, first_is_slow, is_settled
from trtproof.tensor import Array, Feeds


class RecordingRunner:
    """Remember the order of calls and the requests staged."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.staged: list[Feeds] = []

    def stage(self, slot: int, feeds: Feeds) -> None:
        self.calls.append("stage")
        self.staged.append(feeds)

    def upload(self, slot: int) -> None:
        self.calls.append("upload")

    def launch(self, slot: int) -> None:
        self.calls.append("launch")

    def download(self, slot: int) -> None:
        self.calls.append("download")

    def wait(self) -> None:
        self.calls.append("wait")

    def finish_launch(self) -> PartTimes:
        return PartTimes()

    def finish_request(self, slot: int) -> PartTimes:
        return PartTimes()

    def wait_asleep(self) -> None: ...

    def read(self, slot: int) -> Feeds:
        return {}

    def times_ns(self) -> PartTimes:
        return PartTimes()

    def close(self) -> None: ...


class NotingClock(FakeClock):
    """Write each reading into the runner's list of calls."""

    def __init__(self, calls: list[str], step_ns: int = 1) -> None:
        super().__init__([step_ns])
        self._calls = calls

    def now_ns(self) -> int:
        self._calls.append("clock")
        return super().now_ns()


def make_loop(runner: Any, requests: list[Feeds], steps_ns: list[int]) -> Loop:
    return Loop(runner, requests, FakeClock(steps_ns), FakeClock([7]))


def test_staging_and_reading_are_outside_of_the_timed_part() -> None:
    runner = RecordingRunner()
    Loop(runner, [{}], NotingClock(runner.calls), FakeClock([1])).time_request(0)
    assert runner.calls == ["stage", "clock", "upload", "launch", "download", "wait", "clock"]


def test_requests_rotate_over_the_items() -> None:
    runner = RecordingRunner()
    items: list[Feeds] = [{"x": np.array([value])} for value in range(3)]
    rule = BlockRule(requests=7, seconds=0.0, warm_iterations=0, warm_seconds=0.0)
    make_loop(runner, items, [1]).run_block(rule)
    assert [int(feeds["x"][0]) for feeds in runner.staged] == [0, 1, 2, 0, 1, 2, 0]


def test_a_block_has_its_warmup_first_and_uncounted() -> None:
    rule = BlockRule(requests=4, seconds=0.0, warm_iterations=3, warm_seconds=0.0)
    rows = make_loop(NullRunner(), [{}], [10]).run_block(rule)
    assert rows.dtype == np.int64
    assert rows[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert set(rows[:, 2].tolist()) == {10}
    assert set(rows[:, 3].tolist()) == {7}
    assert np.all(np.diff(rows[:, 1]) > 0)


def test_a_block_lasts_as_long_as_it_must() -> None:
    rule = BlockRule(requests=1, seconds=1e-6, warm_iterations=0, warm_seconds=0.0)
    rows = make_loop(NullRunner(), [{}], [100]).run_block(rule)
    assert len(rows) == 4  # three readings of 100 ns a request (one by the loop), 1000 ns wanted


def test_an_empty_warmup_gives_no_rows() -> None:
    rule = BlockRule(requests=1, seconds=0.0, warm_iterations=0, warm_seconds=0.0)
    assert make_loop(NullRunner(), [{}], [1]).run_block(rule).shape == (1, 4)


def test_a_steady_warmup_converges() -> None:
    rule = WarmupRule(seconds=0.0, cap_seconds=1.0, iterations=5)
    record = make_loop(NullRunner(), [{}], [100]).warm_up(rule)
    assert record.converged
    assert record.iterations_count == 60  # three windows of 20
    assert record.median_ns == 100


def test_a_warmup_that_never_settles_ends_at_its_cap_and_says_so() -> None:
    steps_ns = list(range(1, 10_000_000, 1000))  # each reading takes longer than the last
    rule = WarmupRule(seconds=0.0, cap_seconds=0.5, iterations=5)
    record = make_loop(NullRunner(), [{}], steps_ns).warm_up(rule)
    assert not record.converged
    assert record.seconds >= 0.5


def test_a_warmup_takes_its_least_iterations_even_when_settled() -> None:
    rule = WarmupRule(seconds=0.0, cap_seconds=1.0, iterations=90)
    assert make_loop(NullRunner(), [{}], [100]).warm_up(rule).iterations_count == 90


@given(st.lists(st.integers(1, 10**6), max_size=59))
def test_fewer_than_three_windows_are_never_settled(times_ns: list[int]) -> None:
    assert not is_settled(times_ns)


def test_two_percent_between_windows_is_not_settled() -> None:
    assert is_settled([1000] * 40 + [1009] * 20)
    assert not is_settled([1000] * 40 + [1020] * 20)


def rows_of(times_ns: list[int]) -> Array:
    warm = [(0, 0, 10**9, 0)]
    return np.array(warm + [(1, 0, time_ns, 0) for time_ns in times_ns], dtype=np.int64)


def test_a_slow_first_request_is_flagged() -> None:
    steady = [100, 101, 99, 102, 98, 100]
    assert not first_is_slow(rows_of([110, *steady]))
    assert first_is_slow(rows_of([150, *steady]))
    assert not first_is_slow(rows_of([*steady, 150]))
