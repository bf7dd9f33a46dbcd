"""Which job runs next and where: order, skipping, one job a device, nothing built twice at once.

Knows neither DVC nor git: what runs a job is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import msgspec

from trtproof.sweep.record import Job, JobRecord, Status, Strategy, SweepRecord

RunJob = Callable[[Job, str], JobRecord]
"""Run a job on a device and return what became of it; `MISSING` where it was interrupted."""


@dataclass(frozen=True)
class Cell:
    """A job, the devices that it may run on, and what it makes that other jobs may need, too.

    `claims` names intermediate results (an export, a plan): two jobs that claim one do not run at
    the same time before it is in DVC's run-cache, or both would make it.
    """

    job: Job
    devices: frozenset[str]
    claims: frozenset[str] = frozenset()


@dataclass
class Board:
    """The state of a sweep while its jobs run, shared by one thread per device."""

    record: SweepRecord
    strategy: Strategy
    save: Callable[[SweepRecord], None]
    tell: Callable[[JobRecord], None]
    interrupt: Callable[[], None]
    """End the jobs that run, so that their threads end."""

    made: set[str] = field(default_factory=set)
    """Claims of jobs that are done."""

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: list[Cell] = []
        self._running: list[Cell] = []
        self._stopped = False

    def run(self, cells: Sequence[Cell], devices: Sequence[str], run_job: RunJob) -> SweepRecord:
        """Run the cells in the strategy's order and return the record.

        Interrupted, it ends what runs and starts no further job.
        """
        by_number = {cell.job.number: cell for cell in cells}
        ordered = self.strategy.order([cell.job for cell in cells])
        self._pending = [by_number[job.number] for job in ordered]
        with ThreadPoolExecutor(len(devices)) as pool:
            workers = [pool.submit(self._work, device, run_job) for device in devices]
            try:
                for worker in as_completed(workers):
                    worker.result()
            finally:
                self.stop()
                self.interrupt()
        return self.record

    def stop(self) -> None:
        """Start no further job."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self, device: str, run_job: RunJob) -> None:
        while (cell := self._take(device)) is not None:
            try:
                result = run_job(cell.job, device)
            except BaseException:  # also an interrupt: the other devices must not wait for this job
                self.stop()
                raise
            with self._changed:
                self._running.remove(cell)
                if result.status is Status.DONE:
                    self.made |= cell.claims
                self._note(result)
                self._changed.notify_all()

    def _take(self, device: str) -> Cell | None:
        """Return the next cell for a device, None where there is none left; waits for others."""
        with self._changed:
            while not self._stopped:
                cell = self._choose(device)
                if cell is not None:
                    self._running.append(cell)
                    return cell
                if not any(device in item.devices for item in self._pending):
                    return None
                self._changed.wait()
        return None

    def _choose(self, device: str) -> Cell | None:
        """Take the first cell off the list that may run now; note those that need not run."""
        busy = {claim for cell in self._running for claim in cell.claims} - self.made
        for cell in list(self._pending):
            if device not in cell.devices or cell.claims & busy:
                continue
            self._pending.remove(cell)
            reason = self.strategy.should_skip(cell.job, self._finished())
            if reason is None:
                return cell
            skipped = JobRecord(
                number=cell.job.number,
                overrides=cell.job.overrides,
                status=Status.SKIPPED,
                reason=reason,
            )
            self._note(skipped)
            self._changed.notify_all()
        return None

    def _finished(self) -> list[JobRecord]:
        return [job for job in self.record.jobs if job.status is not Status.MISSING]

    def _note(self, result: JobRecord) -> None:
        self.record = with_job(self.record, result)
        self.save(self.record)
        self.tell(result)


def with_job(record: SweepRecord, result: JobRecord) -> SweepRecord:
    """Return the record with one job replaced."""
    jobs: Mapping[int, JobRecord] = {job.number: job for job in (*record.jobs, result)}
    ordered = tuple(jobs[number] for number in sorted(jobs))
    return msgspec.structs.replace(record, jobs=ordered)
