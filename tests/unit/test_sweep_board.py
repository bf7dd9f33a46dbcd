"""Which job runs next: order, skipping, one job a device, nothing made twice at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtproof.sweep.board import Board, Cell, with_job
from trtproof.sweep.record import Exhaustive, Job, JobRecord, Status, SweepRecord

CPU = frozenset({"cpu"})
TWO = frozenset({"gpu-a", "gpu-b"})


def record(count: int) -> SweepRecord:
    jobs = tuple(JobRecord(number=number, overrides=(f"x={number}",)) for number in range(count))
    return SweepRecord(
        name="grid", objective=None, constraints=(), base="0", sources="1", jobs=jobs
    )


def cells(count: int, devices: frozenset[str] = CPU, claims: Sequence[str] = ()) -> list[Cell]:
    return [
        Cell(
            Job(number=number, overrides=(f"x={number}",)),
            devices,
            frozenset(claims[number] if number < len(claims) else ""),
        )
        for number in range(count)
    ]


class Recorder:
    """Runs jobs by noting them; `failing` ones fail, `hook` is called while one runs."""

    def __init__(self, failing: Sequence[int] = (), hook=lambda job, device: None) -> None:
        self.failing, self.hook = failing, hook
        self.ran: list[int] = []
        self.saved: list[SweepRecord] = []
        self.interrupted = 0

    def __call__(self, job: Job, device: str) -> JobRecord:
        self.ran.append(job.number)
        self.hook(job, device)
        failed = job.number in self.failing
        return JobRecord(
            number=job.number,
            overrides=job.overrides,
            status=Status.FAILED if failed else Status.DONE,
            reason="planted" if failed else None,
        )

    def interrupt(self) -> None:
        self.interrupted += 1


def board(count: int, runs: Recorder, strategy=None) -> Board:
    return Board(
        record=record(count),
        strategy=strategy or Exhaustive(),
        save=runs.saved.append,
        tell=lambda job: None,
        interrupt=runs.interrupt,
    )


def statuses(found: SweepRecord) -> list[str]:
    return [job.status.value for job in found.jobs]


def test_a_failing_job_is_recorded_and_the_others_go_on() -> None:
    runs = Recorder(failing=[1])
    found = board(3, runs).run(cells(3), ["cpu"], runs)
    assert runs.ran == [0, 1, 2]
    assert statuses(found) == ["done", "failed", "done"]
    assert found.jobs[1].reason == "planted"


def test_the_record_is_saved_after_every_job() -> None:
    runs = Recorder()
    board(3, runs).run(cells(3), ["cpu"], runs)
    assert [statuses(saved) for saved in runs.saved] == [
        ["done", "missing", "missing"],
        ["done", "done", "missing"],
        ["done", "done", "done"],
    ]


class Backwards:
    """Runs the last job first and skips those whose right neighbour failed."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[str]]] = []

    def order(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return sorted(jobs, key=lambda job: -job.number)

    def should_skip(self, job: Job, finished: Sequence[JobRecord]) -> str | None:
        self.asked.append((job.number, [item.status.value for item in finished]))
        failed = {item.number for item in finished if item.status is Status.FAILED}
        return "its neighbour failed" if job.number + 1 in failed else None


def test_a_strategy_orders_the_jobs_and_skips_by_what_is_finished() -> None:
    strategy, runs = Backwards(), Recorder(failing=[2])
    found = board(4, runs, strategy).run(cells(4), ["cpu"], runs)
    assert runs.ran == [3, 2, 0]
    assert statuses(found) == ["done", "skipped", "failed", "done"]
    assert found.jobs[1].reason == "its neighbour failed"
    assert strategy.asked == [
        (3, []),
        (2, ["done"]),
        (1, ["failed", "done"]),
        (0, ["skipped", "failed", "done"]),
    ]


def test_two_devices_work_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)
    used: set[str] = set()

    def meet(job: Job, device: str) -> None:
        used.add(device)
        both.wait()

    runs = Recorder(hook=meet)
    found = board(2, runs).run(cells(2, TWO), sorted(TWO), runs)
    assert statuses(found) == ["done", "done"]
    assert used == TWO


@given(
    claims=st.lists(st.text("abc", max_size=2), min_size=1, max_size=7),
    failing=st.sets(st.integers(0, 6)),
)
@settings(max_examples=40, deadline=None)
def test_what_two_jobs_need_is_never_made_by_both_at_once(
    claims: list[str], failing: set[int]
) -> None:
    running: list[set[str]] = []
    made: set[str] = set()
    lock = threading.Lock()
    clashes: list[str] = []

    def watch(job: Job, device: str) -> None:
        own = set(claims[job.number])
        with lock:
            clashes.extend(name for other in running for name in (other & own) - made)
            running.append(own)
        threading.Event().wait(0.001)
        with lock:
            running.remove(own)
            if job.number not in failing:
                made.update(own)

    runs = Recorder(failing=sorted(failing), hook=watch)
    count = len(claims)
    found = board(count, runs).run(cells(count, TWO, claims), sorted(TWO), runs)
    assert not clashes
    assert sorted(runs.ran) == list(range(count))
    assert "missing" not in statuses(found)


def test_what_is_made_no_longer_keeps_jobs_apart() -> None:
    both = threading.Barrier(2, timeout=20)
    runs = Recorder(hook=lambda job, device: job.number and both.wait())
    found = board(3, runs).run(cells(3, TWO, ["a", "a", "a"]), sorted(TWO), runs)
    assert runs.ran[0] == 0
    assert statuses(found) == ["done"] * 3


def test_a_job_for_one_device_waits_for_it() -> None:
    seen: dict[int, str] = {}
    runs = Recorder(hook=lambda job, device: seen.__setitem__(job.number, device))
    listed = [
        Cell(Job(number=0, overrides=()), frozenset({"gpu-b"})),
        Cell(Job(number=1, overrides=()), frozenset({"gpu-b"})),
        Cell(Job(number=2, overrides=()), CPU),
    ]
    board(3, runs).run(listed, ["gpu-a", "gpu-b", "cpu"], runs)
    assert seen == {0: "gpu-b", 1: "gpu-b", 2: "cpu"}


def test_an_interrupt_ends_what_runs_and_starts_nothing_more() -> None:
    def interrupt(job: Job, device: str) -> None:
        if job.number == 1:
            raise KeyboardInterrupt

    runs = Recorder(hook=interrupt)
    with pytest.raises(KeyboardInterrupt):
        board(4, runs).run(cells(4), ["cpu"], runs)
    assert runs.ran == [0, 1]
    assert runs.interrupted == 1
    assert statuses(runs.saved[-1]) == ["done", "missing", "missing", "missing"]


def test_a_new_result_takes_the_old_ones_place() -> None:
    result = JobRecord(number=1, overrides=("x=1",), status=Status.FAILED)
    assert statuses(with_job(record(3), result)) == ["missing", "failed", "missing"]
