"""A finished job's settings and figures, read from the commit of its experiment.

git keeps them: no artifact is needed, and none is read.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import yaml

from trtproof import artifacts
from trtproof.choice.settings import JobSettings, read_settings
from trtproof.config import PARAMS_FILE
from trtproof.errors import InputError
from trtproof.report.metrics import Metrics
from trtproof.sweep.record import JobRecord, Status

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class JobResult:
    """What one job found, by variant; a variant without metrics was not reported."""

    job: JobRecord
    settings: JobSettings
    slug: str
    metrics: Mapping[str, Metrics]

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Return what configurations must share to be weighed against each other."""
        return self.settings.group(self.slug)


class Results(Protocol):
    """Where the results of finished jobs come from."""

    def read(self, job: JobRecord) -> JobResult:
        """Return the result of a job that is done.

        Raises:
            InputError: it is not there or broken.
        """
        ...


class GitResults:
    """Results in the experiments' commits; each is read once."""

    def __init__(self) -> None:
        self._read: dict[str, JobResult] = {}

    def read(self, job: JobRecord) -> JobResult:
        """Return the result of a job that is done.

        Raises:
            InputError: git has no such commit or a file is missing or broken.
        """
        if job.status is not Status.DONE or job.revision is None:
            raise InputError(f"job {job.number} is not done ({job.status}); resume the sweep")
        if job.revision not in self._read:
            self._read[job.revision] = _read_commit(job, job.revision)
        return self._read[job.revision]


def _read_commit(job: JobRecord, revision: str) -> JobResult:
    what = f"job {job.number} ({job.experiment or revision})"
    settings = read_settings(
        yaml.load(_show(revision, PARAMS_FILE.as_posix(), what), LOADER),  # noqa: S506 - a safe one
        what,
    )
    hardware = _read_json(revision, artifacts.HARDWARE.as_posix(), what)
    metrics = {}
    for name in settings.variants:
        path = artifacts.variant_metrics(name).as_posix()
        if _git("cat-file", "-e", f"{revision}:./{path}").returncode == 0:
            metrics[name] = _read_json(revision, path, what)
    return JobResult(job, settings, str(hardware.get("slug", "")), metrics)


def _read_json(revision: str, path: str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(_show(revision, path, what))
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{path} of {what} is not a JSON object; run that job again")
    return data


def _show(revision: str, path: str, what: str) -> str:
    done = _git("show", f"{revision}:./{path}")
    if done.returncode != 0:
        raise InputError(
            f"git has no {path} of {what}: its experiment was removed, or is of another clone; "
            "fetch it with `dvc exp pull`, or run the sweep again"
        )
    return done.stdout.decode()


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], capture_output=True, check=False)
