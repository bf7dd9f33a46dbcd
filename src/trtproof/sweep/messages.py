"""What a sweep says while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trtproof.compose import compose
from trtproof.config import PARAMS_FILE
from trtproof.errors import PipelineError
from trtproof.progress import note
from trtproof.sweep.record import FILE, Job, JobRecord, Status, SweepRecord, folder
from trtproof.sweep.snapshot import Snapshot

SHOWN: Final = 5


def tell_begin(
    record: SweepRecord, snapshot: Snapshot, *, count: int, devices: Sequence[str]
) -> None:
    """Say what will run, and what of the workspace goes into it."""
    place = folder(record.name)
    note(f"sweep {record.name}: {count} of {len(record.jobs)} jobs to run, records in {place}/")
    if len(devices) > 1:
        note(f"one job a device on {', '.join(devices)}")
    if snapshot.changed:
        more = len(snapshot.changed) - SHOWN
        names = ", ".join(snapshot.changed[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        note(f"in every experiment are the changes that are not committed: {names}")
    if _is_stale():
        note(f"{PARAMS_FILE} is not what conf/ composes to: the jobs take conf/, and compose anew")


def _is_stale() -> bool:
    """Say whether params.yaml is not what conf/ alone composes to; no, where it composes not."""
    try:
        text = compose()
    except PipelineError:
        return False  # a setting that every job has to override
    return not PARAMS_FILE.exists() or PARAMS_FILE.read_text(encoding="utf-8") != text


def tell_start(job: Job, count: int, *, device: str, log: Path) -> None:
    """Say that a job begins, where, and where to watch it."""
    note(f"[{job.number + 1}/{count}] {_cell(job)}: runs on {device}, log {log}")


def _cell(job: Job) -> str:
    return " ".join(job.overrides) or "conf/ as it is"


def tell_job(job: JobRecord, count: int) -> None:
    """Say what became of a job; `count` is how many there are."""
    what = {
        Status.DONE: f"done in {job.seconds} s, experiment {job.experiment}",
        Status.FAILED: f"failed: {job.reason}" + (f" ({job.log})" if job.log else ""),
        Status.SKIPPED: f"skipped: {job.reason}",
        Status.MISSING: "stopped",
    }
    note(f"[{job.number + 1}/{count}] {_cell(job)}: {what[job.status]}")


def tell_stop(name: str) -> None:
    """Say how to go on with a sweep that was interrupted."""
    text = "stopped; the same command goes on with what is missing"
    if (folder(name) / FILE).exists():
        text += f", as does `python -m trtproof.sweep sweep.resume={name}`"
    note(text)


def tell_end(record: SweepRecord) -> None:
    """Say how it ended, and how to look at it."""
    counts = {status: sum(job.status is status for job in record.jobs) for status in Status}
    texts = [f"{count} {status}" for status, count in counts.items() if count]
    note(f"sweep {record.name}: {', '.join(texts)}; {folder(record.name) / FILE}")
    if counts[Status.DONE]:
        note("`dvc exp show` lists the experiments, `dvc exp apply NAME` takes one over")
