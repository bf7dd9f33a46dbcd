"""sweep.json: what became of every job of a sweep; and the seam that orders and skips jobs.

Lies in artifacts/sweeps/<name>/, outside of DVC's graph. Everything else in this package and in
`trtproof.choice` speaks in these types.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from trtproof import artifacts
from trtproof.errors import InputError, MissingFileError

FOLDER: Final = artifacts.ROOT / "sweeps"
FILE: Final = "sweep.json"
SCHEMA_VERSION: Final = 1


class Status(StrEnum):
    """What became of a job. `MISSING` has not been run yet, or was stopped before its end."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    MISSING = "missing"


class Job(Struct, frozen=True, kw_only=True):
    """One cell of the grid: `overrides` are Hydra's, as in ("model=resnet50", "benchmark=full").

    `number` counts from 0 in the order of the command line, which is never that of an `order`.
    """

    number: int
    overrides: tuple[str, ...]


class JobRecord(Job, frozen=True, kw_only=True):
    """A job and what became of it.

    Where it is done, `experiment` is its name for `dvc exp` and `revision` its git commit, which
    has its `metrics/`, `params.yaml` and `dvc.lock`. `reason` is the first line of a failure's
    error, or why the job was skipped. `seconds` is the wall time of the last try, `log` (relative
    to the project) all that DVC and the stages printed in it.
    """

    status: Status = Status.MISSING
    experiment: str | None = None
    revision: str | None = None
    seconds: float | None = None
    reason: str | None = None
    log: str | None = None


class SweepRecord(Struct, frozen=True, kw_only=True):
    """All of sweep.json; `jobs` are in the order of their numbers.

    `base` is the commit that the experiments belong to, `sources` a hash of the tracked files that
    they were made from: a resumed sweep must have both.
    """

    name: str
    objective: str | None
    constraints: tuple[str, ...]
    base: str
    sources: str
    jobs: tuple[JobRecord, ...]
    schema_version: int = SCHEMA_VERSION


class Strategy(Protocol):
    """In which order the jobs run, and which need not: the seam that constraints hang on."""

    def order(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the same jobs, those first that should run first: all that are not done."""
        ...

    def should_skip(self, job: Job, finished: Sequence[JobRecord]) -> str | None:
        """Return why a job need not run, or None to run it.

        Asked once per job, just before it would run, in the order above; `finished` are all jobs
        that are done, failed or skipped by then, in the order of their numbers. With several GPUs
        others may still be running. A resumed sweep asks again about what it skipped before.
        """
        ...


class Exhaustive:
    """Run every job, in the order of the command line."""

    def order(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the jobs as they are."""
        return jobs

    def should_skip(self, job: Job, finished: Sequence[JobRecord]) -> None:
        """Skip none."""


def folder(name: str) -> Path:
    """Return the folder of a sweep, relative to the project."""
    return FOLDER / name


def write_record(record: SweepRecord) -> None:
    """Write sweep.json whole or not at all."""
    artifacts.write_json(folder(record.name) / FILE, msgspec.to_builtins(record))


def read_record(name: str) -> SweepRecord:
    """Return the record of a sweep.

    Raises:
        MissingFileError: there is no sweep of this name; the message lists those there are.
        InputError: its file is broken, or of another version.
    """
    path = folder(name) / FILE
    try:
        record = msgspec.json.decode(path.read_bytes(), type=SweepRecord)
    except FileNotFoundError:
        known = ", ".join(list_names()) or "none yet"
        raise MissingFileError(path, repair=f"name a sweep that was run here ({known})") from None
    except msgspec.DecodeError as error:
        raise InputError(
            f"{path} is not the record of a sweep ({error}); remove {path.parent}/ and run the "
            "sweep again"
        ) from None
    if record.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema_version {record.schema_version}, this trtproof reads "
            f"{SCHEMA_VERSION}; remove {path.parent}/ and run the sweep again"
        )
    return record


def list_names() -> list[str]:
    """Return the names of the sweeps that were run here, the latest record last."""
    found = sorted(FOLDER.glob(f"*/{FILE}"), key=lambda path: path.stat().st_mtime_ns)
    return [path.parent.name for path in found]
