"""Marked blocks against a scripted runner: order of calls, rows, and what rotates."""

from __future__ import annotations

from collections import deque
from itertools import count

from tests.fakes import FakeClock

from trtproof.backends.base import PartTimes
from trtproof.measure.loop import BlockRule, Loop, NullRunner
from trtproof.measure.marked import MARKED_COLUMNS, run_launches, run_parts
from trtproof.tensor import Feeds

RULE = BlockRule(requests=3, seconds=0.0, warm_iterations=2, warm_seconds=0.0)


class Scripted(NullRunner):
    """Launch number n takes n microseconds of the device."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.staged: list[int] = []
        self.most_in_flight = 0
        self._numbers = count(1)
        self._in_flight: deque[int] = deque()

    def stage(self, slot: int, feeds: Feeds) -> None:
        self.staged.append(int(feeds["x"]))
        self.calls.append("stage")

    def upload(self, slot: int) -> None:
        self.calls.append("upload")

    def launch(self, slot: int) -> None:
        self.calls.append("launch")
        self._in_flight.append(next(self._numbers))
        self.most_in_flight = max(self.most_in_flight, len(self._in_flight))

    def download(self, slot: int) -> None:
        self.calls.append("download")

    def wait(self) -> None:
        self.calls.append("wait")
        self._in_flight.clear()

    def finish_launch(self) -> PartTimes:
        self.calls.append("finish")
        return PartTimes(device_ns=1000 * self._in_flight.popleft(), enqueue_ns=7)

    def times_ns(self) -> PartTimes:
        return PartTimes(h2d_ns=1, device_ns=2, d2h_ns=3, enqueue_ns=4)


def make_loop(runner: Scripted) -> Loop:
    requests = [{"x": value} for value in range(3)]
    return Loop(runner, requests, FakeClock([1]), FakeClock([1]))  # type: ignore[arg-type]


def test_launches_alone_are_uploaded_once_and_one_is_always_ahead() -> None:
    runner = Scripted()
    rows = run_launches(make_loop(runner), RULE)
    assert runner.calls[:4] == ["stage", "upload", "wait", "launch"]
    assert runner.calls[4:-1] == ["launch", "finish"] * 5
    assert runner.calls[-1] == "wait"  # nothing stays in flight
    assert runner.most_in_flight == 2
    assert rows.shape == (5, len(MARKED_COLUMNS))
    assert rows[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert rows[:, MARKED_COLUMNS.index("device_ns")].tolist() == [1000, 2000, 3000, 4000, 5000]
    assert set(rows[:, MARKED_COLUMNS.index("enqueue_ns")].tolist()) == {7}
    for name in ("cpu_ns", "h2d_ns", "d2h_ns"):
        assert set(rows[:, MARKED_COLUMNS.index(name)].tolist()) == {-1}


def test_a_launch_is_timed_from_its_own_submission() -> None:
    rows = run_launches(make_loop(Scripted()), RULE)
    starts = rows[:, MARKED_COLUMNS.index("t_start_ns")]
    spent = rows[:, MARKED_COLUMNS.index("e2e_ns")]
    assert (starts[1:] > starts[:-1]).all()
    assert (starts[1:] < (starts + spent)[:-1]).all()  # submitted before the one before had ended


def test_every_block_of_launches_takes_the_next_item() -> None:
    runner = Scripted()
    loop = make_loop(runner)
    for _ in range(4):
        run_launches(loop, RULE)
    assert runner.staged == [0, 1, 2, 0]


def test_parts_are_of_whole_requests_one_at_a_time() -> None:
    runner = Scripted()
    rows = run_parts(make_loop(runner), RULE)
    assert runner.calls == ["stage", "upload", "launch", "download", "wait"] * 5
    assert rows[:, 4:].tolist() == [[2, 1, 3, 4]] * 5
    assert (rows[:, MARKED_COLUMNS.index("cpu_ns")] > 0).all()
