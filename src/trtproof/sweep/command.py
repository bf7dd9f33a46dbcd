"""A sweep from its request to its exit code: new or resumed, checked, run, told."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trtproof.errors import InputError, PipelineError
from trtproof.file_cache import FOLDER as CACHE_FOLDER
from trtproof.sweep.app import Request
from trtproof.sweep.board import Board, Cell, with_job
from trtproof.sweep.devices import Placement, find_uuids, hold, list_devices, place_job
from trtproof.sweep.experiment import Order, Outcome, Processes, run_experiment
from trtproof.sweep.messages import tell_begin, tell_end, tell_job, tell_start, tell_stop
from trtproof.sweep.opening import experiment_name, open_record
from trtproof.sweep.plan import Plan, claims, plan_job
from trtproof.sweep.record import (
    Job,
    JobRecord,
    Status,
    Strategy,
    SweepRecord,
    folder,
    write_record,
)
from trtproof.sweep.snapshot import Snapshot, make_clone, take_snapshot
from trtproof.sweep.tracked import job_files, own_files, require_tracked

INTERRUPTED: Final = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""


def run_sweep(request: Request, strategy: Strategy) -> int:
    """Run what is missing of a sweep and return the exit code: 1 where a job failed.

    Raises:
        PipelineError: nothing could be run; the message has the repair.
    """
    snapshot = take_snapshot()
    record = open_record(request, snapshot)
    with _only_one(record.name):
        try:
            record = _run_missing(record, snapshot, strategy)
        except KeyboardInterrupt:
            tell_stop(record.name)
            return INTERRUPTED
    tell_end(record)
    return 1 if any(job.status is Status.FAILED for job in record.jobs) else 0


@contextmanager
def _only_one(name: str) -> Iterator[None]:
    """Keep a second command off the same sweep.

    Raises:
        InputError: one is at work.
    """
    folder(name).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder(name) / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(
            f"sweep {name} is being run by another command; wait for it, or stop it there"
        ) from None
    finally:
        os.close(descriptor)


def _run_missing(record: SweepRecord, snapshot: Snapshot, strategy: Strategy) -> SweepRecord:
    """Check and run the jobs that are not done."""
    missing = [job for job in record.jobs if job.status is not Status.DONE]
    if not missing:
        write_record(record)
        return record
    plans, record = plan_jobs(missing, record, snapshot)
    if not plans:
        return record
    targets = [plan.params.target for plan in plans]
    gpus = find_uuids(targets)
    placements = [place_job(target, gpus) for target in targets]
    devices = list_devices(placements, gpus)
    tell_begin(record, snapshot, count=len(plans), devices=devices)
    run = SweepRun(record, snapshot, plans, placements)
    try:
        return run.run(strategy, devices)
    finally:
        shutil.rmtree(run.clones, ignore_errors=True)


def plan_jobs(
    missing: Sequence[JobRecord], record: SweepRecord, snapshot: Snapshot
) -> tuple[list[Plan], SweepRecord]:
    """Return the jobs that can be run, and the record with the others as failed.

    Raises:
        InputError: files that they read are known neither to git nor to DVC.
    """
    plans: list[Plan] = []
    files, folders = own_files(), set[str]()
    for job in missing:
        plan = plan_job(Job(number=job.number, overrides=job.overrides))
        if isinstance(plan, Plan):
            try:
                files += job_files(plan.params)
            except PipelineError as error:
                plan = str(error)
        if isinstance(plan, Plan):
            plans.append(plan)
            folders |= set(plan.params.pythonpath)
            continue
        failed = JobRecord(
            number=job.number, overrides=job.overrides, status=Status.FAILED, reason=plan
        )
        record = with_job(record, failed)
        tell_job(failed, len(record.jobs))
    require_tracked(snapshot, files, folders)
    write_record(record)
    return plans, record


@dataclass
class SweepRun:
    """One run of a sweep's missing jobs: a private clone per device, and the processes in them."""

    record: SweepRecord
    snapshot: Snapshot
    plans: Sequence[Plan]
    placements: Sequence[Placement]
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self.clones = Path.cwd() / CACHE_FOLDER / "sweeps" / self.record.name
        pairs = zip(self.plans, self.placements, strict=True)
        self._plans = {plan.job.number: (plan, placement) for plan, placement in pairs}
        shutil.rmtree(self.clones, ignore_errors=True)  # what a killed sweep left

    def run(self, strategy: Strategy, devices: Sequence[str]) -> SweepRecord:
        """Run the jobs and return the record."""
        cells = [
            Cell(plan.job, placement.devices, claims(plan.params))
            for plan, placement in self._plans.values()
        ]
        board = Board(
            record=self.record,
            strategy=strategy,
            save=write_record,
            tell=lambda job: tell_job(job, len(self.record.jobs)),
            interrupt=self.processes.stop,
        )
        return board.run(cells, devices, self.run_job)

    def run_job(self, job: Job, device: str) -> JobRecord:
        """Run one job on a device."""
        plan, placement = self._plans[job.number]
        order = Order(
            name=experiment_name(self.record, job),
            overrides=job.overrides,
            params=plan.text,
            log=folder(self.record.name) / "logs" / f"{job.number}.log",
            variables=placement.variables.get(device, {}),
        )
        with hold(device, give_up=lambda: self.processes.stopped) as held:
            if held:
                tell_start(job, len(self.record.jobs), device=device, log=order.log)
            outcome = self._run_order(order, device) if held else Outcome(0.0)
        if self.processes.stopped and outcome.revision is None:
            return JobRecord(number=job.number, overrides=job.overrides)
        return _as_recorded(job, order, outcome)

    def _run_order(self, order: Order, device: str) -> Outcome:
        place = self.clones / device
        if not place.exists():
            make_clone(self.snapshot, self.record.base, place)
        return run_experiment(
            self.processes, order, snapshot=self.snapshot, base=self.record.base, place=place
        )


def _as_recorded(job: Job, order: Order, outcome: Outcome) -> JobRecord:
    done = outcome.revision is not None
    return JobRecord(
        number=job.number,
        overrides=job.overrides,
        status=Status.DONE if done else Status.FAILED,
        experiment=order.name if done else None,
        revision=outcome.revision,
        seconds=outcome.seconds,
        reason=outcome.reason,
        log=order.log.as_posix(),
    )
