"""A finished sweep, made up: what its jobs would have left, in memory or in git."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import yaml

from trtproof import artifacts
from trtproof.choice.results import JobResult
from trtproof.choice.settings import read_settings
from trtproof.sweep.record import JobRecord, Status, SweepRecord

REFERENCE = "torch-fp32"
SLUG = "cpu-example-8c"
SPREAD = 0.01
"""Half of every made interval, as a share."""


@dataclass(frozen=True)
class Variant:
    """One variant: at batch 1 with one stream a request takes `p50_ms`, and P99 a tenth more.

    A batch costs in proportion, a further stream half a request more.
    """

    recipe: str = "fp32"
    p50_ms: float = 1.0
    drop_pp: float = 0.0
    gate_pp: float = 0.2
    threads: int = 0
    plan_mib: float = 2.0
    status: str = "built"
    reason: str = ""


@dataclass(frozen=True)
class MadeJob:
    """One job: its variants, its loads, and what else its settings say."""

    variants: Mapping[str, Variant]
    overrides: tuple[str, ...] = ()
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = (1, 2)
    model: str = "digits_resnet"
    method: str = "max"
    profile: str = "full"
    status: Status = Status.DONE
    reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def latency_ms(made: Variant, batch: int, streams: int) -> float:
    """Return the median of one load."""
    return made.p50_ms * (0.5 + 0.5 * batch) * (0.5 + 0.5 * streams)


def rate_ips(made: Variant, batch: int, streams: int) -> float:
    """Return the samples per second of one load."""
    return batch * streams * 1000 / latency_ms(made, batch, streams)


def interval(value: float, prefix: str) -> dict[str, float]:
    """Return the ends of a made interval."""
    return {f"{prefix}lo": value * (1 - SPREAD), f"{prefix}hi": value * (1 + SPREAD)}


def settings(job: MadeJob) -> dict[str, Any]:
    """Return a job's params.yaml."""
    return {
        "model": {"name": job.model, "source": "module", "weights": None, "options": {}},
        "pythonpath": [],
        "dataset": {"name": "digits"},
        "export": {"opset": 20},
        "evaluate": {"batch": 8, "scorers": ["top1"], "keep_outputs": 4},
        "calibrate": {"batch": 16},
        "reference": REFERENCE,
        "recipes": {
            "fp32": {"pass": "fp32", "source": "artifacts/export", "options": {}},
            "int8": {
                "pass": "int8",
                "source": "artifacts/export",
                "options": {"method": job.method, "exclude": ["/model/it's.1/Conv"]},
            },
        },
        "variants": {
            name: {
                "backend": "torch" if name == REFERENCE else "onnxruntime",
                "recipe": made.recipe,
                "source": f"artifacts/convert/{made.recipe}",
                "build": {"tf32": False, "profiles": [{"batch": {"min": 1}}], "options": {}},
                "run": {"cuda_graph": False, "threads": made.threads},
            }
            for name, made in job.variants.items()
        },
        "benchmark": {
            "profile": job.profile,
            "rounds": 8,
            "batches": list(job.batches),
            "throughput": {"batches": list(job.batches), "streams": list(job.streams), "rounds": 4},
        },
        "budget": {},
        **job.extra,
    }


def metrics(name: str, made: Variant, job: MadeJob) -> dict[str, Any]:
    """Return one variant's metrics file."""
    if made.status != "built":
        return {"schema": 1, "status": made.status, "reason": made.reason}
    device: dict[str, Any] = {"plan_mib": made.plan_mib, "host_peak_mib": 100.0}
    for batch in job.batches:
        p50 = latency_ms(made, batch, 1)
        device[f"latency_b{batch}_ms"] = _percentiles(p50) | interval(p50, "p50_ci_")
        speed = latency_ms(job.variants[REFERENCE], batch, 1) / p50
        ends = interval(speed, "ci_") | interval(speed, "gate_")
        device |= {} if name == REFERENCE else {f"speedup_b{batch}_ratio": {"value": speed, **ends}}
        for streams in job.streams:
            rate = rate_ips(made, batch, streams)
            device[f"load_b{batch}_s{streams}_ips"] = {"value": rate} | interval(rate, "gate_")
            device[f"load_b{batch}_s{streams}_ms"] = _percentiles(latency_ms(made, batch, streams))
    scores = {"top1_pct": 98.0 - made.drop_pp}
    if name != REFERENCE:
        scores |= {
            "top1_drop_pp": made.drop_pp,
            "top1_drop_pp_gate_lo": made.drop_pp - made.gate_pp,
            "top1_drop_pp_gate_hi": made.drop_pp + made.gate_pp,
        }
    return {"schema": 1, "status": "built", SLUG: device, "scores": scores}


def _percentiles(p50: float) -> dict[str, float]:
    p99 = 1.1 * p50
    return {"p50": p50, "p99": p99, **interval(p50, "p50_gate_"), **interval(p99, "p99_gate_")}


def record_job(number: int, job: MadeJob) -> JobRecord:
    """Return a job as sweep.json has it; its commit is its number in hex."""
    done = job.status is Status.DONE
    return JobRecord(
        number=number,
        overrides=job.overrides or (f"job={number}",),
        status=job.status,
        experiment=f"made-{number}" if done else None,
        revision=f"{number:040x}" if done else None,
        reason=job.reason,
    )


def record_sweep(
    jobs: Sequence[MadeJob], objective: str | None = None, constraints: Sequence[str] = ()
) -> SweepRecord:
    """Return sweep.json of these jobs."""
    return SweepRecord(
        name="made",
        objective=objective,
        constraints=tuple(constraints),
        base="0" * 40,
        sources="1" * 8,
        jobs=tuple(record_job(number, job) for number, job in enumerate(jobs)),
    )


def make_result(number: int, job: MadeJob) -> JobResult:
    """Return what `Results` would read of a job."""
    return JobResult(
        job=record_job(number, job),
        settings=read_settings(settings(job), f"job {number}"),
        slug=SLUG,
        metrics={name: metrics(name, made, job) for name, made in job.variants.items()},
    )


class MadeResults:
    """The results of made jobs, by their number."""

    def __init__(self, jobs: Sequence[MadeJob]) -> None:
        self._jobs = jobs

    def read(self, job: JobRecord) -> JobResult:
        """Return a job's result."""
        return make_result(job.number, self._jobs[job.number])


def commit_job(number: int, job: MadeJob, name: str = "made") -> JobRecord:
    """Commit what a job would have left in the current folder's repository."""
    Path("params.yaml").write_text(yaml.safe_dump(settings(job), sort_keys=False), "utf-8")
    artifacts.write_json(artifacts.HARDWARE, {"slug": SLUG, "engine": {}, "bench": {}})
    for path in artifacts.VARIANT_METRICS.glob("*.json"):
        path.unlink()
    for variant, made in job.variants.items():
        artifacts.write_json(artifacts.variant_metrics(variant), metrics(variant, made, job))
    git("add", "-A", "params.yaml", "metrics")
    git("commit", "-qm", f"{name} {number}", "--allow-empty")
    revision = git("rev-parse", "HEAD")
    found = record_job(number, job)
    return msgspec.structs.replace(found, revision=revision, experiment=f"{name}-{number}")


def git(*words: str) -> str:
    """Run git here and return what it says."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command = ["git", *identity, "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def with_variant(job: MadeJob, name: str, **changes: Any) -> MadeJob:
    """Return a job with one variant changed."""
    return replace(job, variants={**job.variants, name: replace(job.variants[name], **changes)})
