"""The record that a command goes on with: a new one, or that of a sweep which was begun."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from trtproof import artifacts
from trtproof.errors import ConfigError, InputError
from trtproof.sweep.app import Request
from trtproof.sweep.record import (
    FILE,
    Job,
    JobRecord,
    Status,
    SweepRecord,
    folder,
    read_record,
)
from trtproof.sweep.snapshot import Snapshot, experiments

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
SHOWN: Final = 5


def open_record(request: Request, snapshot: Snapshot) -> SweepRecord:
    """Return the record to go on with: a new one, or that of a sweep which was begun.

    Raises:
        MissingFileError, InputError: the sweep to resume is not there, is another one, or began
            with other sources.
        ConfigError: the name cannot be one, or is taken.
    """
    if request.resume is not None:
        begun = read_record(request.resume)
        asked = request if request.objective or request.constraints else begun
        return _reopen(_with_question(begun, asked), snapshot)
    made = _make_record(request, snapshot)
    if (folder(made.name) / FILE).exists():
        begun = read_record(made.name)
        if [job.overrides for job in begun.jobs] != [job.overrides for job in made.jobs]:
            raise ConfigError(
                key="sweep.name",
                problem=f"{made.name} is a sweep of other jobs",
                repair=f"take another name, or go on with it by `sweep.resume={made.name}`",
            )
        return _reopen(_with_question(begun, request), snapshot)
    taken = sorted(_names(made) & experiments(made.base).keys())
    if taken and request.name is not None:
        raise ConfigError(
            key="sweep.name",
            problem=f"there are experiments of this name already ({', '.join(taken[:SHOWN])})",
            repair="take another one, or remove them: `dvc exp remove NAME`",
        )
    return _reopen(made, snapshot)


def _with_question(record: SweepRecord, asked: Request | SweepRecord) -> SweepRecord:
    """Return the record with what is asked now: jobs that are done can be judged anew."""
    return msgspec.structs.replace(record, objective=asked.objective, constraints=asked.constraints)


def _make_record(request: Request, snapshot: Snapshot) -> SweepRecord:
    """Return a record of nothing yet, named after its jobs and its sources if not by the user."""
    key = {"cells": request.cells, "base": snapshot.base, "sources": snapshot.sources}
    own = f"sweep-{artifacts.sha256_json(key)[:8]}"
    name = own if request.name is None else request.name
    if not NAME.fullmatch(name):
        raise ConfigError(
            key="sweep.name",
            problem=f"{name!r} cannot be the name of a folder and of experiments",
            repair="take letters, digits, - and _",
        )
    return SweepRecord(
        name=name,
        objective=request.objective,
        constraints=request.constraints,
        base=snapshot.base,
        sources=snapshot.sources,
        jobs=tuple(
            JobRecord(number=number, overrides=cell) for number, cell in enumerate(request.cells)
        ),
    )


def _reopen(record: SweepRecord, snapshot: Snapshot) -> SweepRecord:
    """Return the record with what is there as done, and everything else but failures as missing.

    As long as no job is done, it begins anew with the sources that are there now.

    Raises:
        InputError: it began with other sources, so that its jobs could not be compared.
    """
    there = experiments(record.base)
    jobs = tuple(_as_there(job, experiment_name(record, job), there) for job in record.jobs)
    if not any(job.status is Status.DONE for job in jobs):
        return msgspec.structs.replace(
            record, base=snapshot.base, sources=snapshot.sources, jobs=jobs
        )
    if record.sources != snapshot.sources:
        raise InputError(
            f"tracked files are not those that sweep {record.name} began with, so that its jobs "
            "could not be compared; restore them, or begin a new sweep (`sweep.name=...`): what "
            "did not change comes from the run-cache"
        )
    return msgspec.structs.replace(record, jobs=jobs)


def _as_there(job: JobRecord, name: str, there: Mapping[str, str]) -> JobRecord:
    """Return a job as DVC knows it: an experiment that was removed is missing again."""
    revision = there.get(name)
    if job.status is Status.DONE and revision == job.revision:
        return job
    if revision is not None:  # ended, but killed before it was written down
        return msgspec.structs.replace(
            job, status=Status.DONE, experiment=name, revision=revision, reason=None
        )
    return JobRecord(number=job.number, overrides=job.overrides)


def experiment_name(record: SweepRecord, job: Job) -> str:
    """Return a job's name among DVC's experiments."""
    return f"{record.name}-{job.number}"


def _names(record: SweepRecord) -> set[str]:
    return {experiment_name(record, job) for job in record.jobs}
