"""Read everything that the report shows.

A missing file, an unavailable variant, an unlabelled data set become a `NotMeasured` with its
reason; a broken file is an error. Nothing is ever filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trtproof import artifacts
from trtproof.config import VariantConfig
from trtproof.hardware import load_hardware
from trtproof.measure.samples import read_samples
from trtproof.measure.schedule import AGAIN
from trtproof.measure.stats import Ratio
from trtproof.report.evaluated import Evaluation, compare_scores, load_evaluation
from trtproof.report.figures import (
    NotMeasured,
    Timing,
    compare_rounds,
    measured_batches,
    time_contender,
)
from trtproof.report.findings import Audit, Findings, Plan, Run, Scores, Settings, VariantFindings
from trtproof.report.sources import Sources, flatten, reason_text
from trtproof.sidecar import SIDECAR_FILE, EngineRecord, read_record

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN_OF_RUN = ("machine", "clock", "schedule", "harness")
"""Parts of run.json that describe the machine while it was measured."""

NOT_RECORDED = "not recorded"


def load_findings(settings: Settings) -> Findings:
    """Return all that was found, of the configured variants and no others.

    Raises:
        MissingFileError: no probe has run.
        InputError, PlanCorruptError: a file is broken; the message names the repair.
    """
    sources = Sources()
    hardware = load_hardware(sources.find(artifacts.HARDWARE) or artifacts.HARDWARE)
    run, samples = _load_run(sources), _load_samples(sources)
    batches = () if isinstance(samples, NotMeasured) else measured_batches(samples)
    reference = settings.reference
    names = [reference, *(name for name in settings.variants if name != reference)]
    records = {name: _load_record(name, sources) for name in names}
    timings = {name: _load_timings(name, records[name], run, samples, batches) for name in names}
    second = {batch: _time(samples, f"{reference}{AGAIN}", batch) for batch in batches}
    evaluations = _load_evaluations(records, sources)
    variants = [
        _variant(
            name,
            settings.variants[name],
            records[name],
            timings=timings[name],
            speedups=_speedups(timings[reference], timings[name]),
            scores=compare_scores(evaluations[reference], evaluations[name]),
        )
        for name in names
    ]
    return Findings(
        settings=settings,
        hardware=hardware,
        run=run,
        variants=variants,
        batches=batches,
        control=_speedups(timings[reference], second),
        audits=[_load_audit(recipe, sources) for recipe in settings.recipes],
        calibration=_load_calibration(sources),
        sources=sources.paths,
    )


def _load_evaluations(
    records: Mapping[str, EngineRecord | None], sources: Sources
) -> dict[str, Evaluation | NotMeasured]:
    return {
        name: load_evaluation(name, record.plan_sha256 if record else None, sources)
        for name, record in records.items()
    }


def _load_run(sources: Sources) -> Run | NotMeasured:
    record = sources.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    if record is None:
        return NotMeasured("no benchmark has run; run `dvc repro benchmark`")
    return Run(
        profile=str(record.get("profile", NOT_RECORDED)),
        protocol=str(record.get("protocol", NOT_RECORDED)),
        started_at=str(record.get("started_at", NOT_RECORDED)),
        commit=str(record.get("commit") or NOT_RECORDED),
        machine=_flatten_run(record),
        variants=record.get("variants", {}),
        cut_short=record.get("schedule", {}).get("fits_budget") is False,
    )


def _flatten_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the session says of the machine, without what the probe says as well."""
    shown = {key: dict(record[key]) for key in SHOWN_OF_RUN if key in record}
    for repeated in ("bench", "slug"):
        shown.get("machine", {}).pop(repeated, None)
    return flatten(shown)


def _load_samples(sources: Sources) -> DataFrame | NotMeasured:
    path = sources.find(artifacts.BENCHMARK / "samples.parquet")
    return read_samples(path) if path else NotMeasured("no benchmark has run")


def _load_record(variant: str, sources: Sources) -> EngineRecord | None:
    folder = artifacts.build(variant)
    return read_record(folder) if sources.find(folder / SIDECAR_FILE) else None


def _time(samples: DataFrame | NotMeasured, contender: str, batch: int) -> Timing | NotMeasured:
    if isinstance(samples, NotMeasured):
        return samples
    return time_contender(samples, contender, batch)


def _load_timings(
    variant: str,
    record: EngineRecord | None,
    run: Run | NotMeasured,
    samples: DataFrame | NotMeasured,
    batches: Sequence[int],
) -> dict[int, Timing | NotMeasured]:
    absent = _why_not_timed(variant, record, run)
    return {batch: absent or _time(samples, variant, batch) for batch in batches}


def _why_not_timed(
    variant: str, record: EngineRecord | None, run: Run | NotMeasured
) -> NotMeasured | None:
    """Return why samples of this name, if there are any, are not this variant's."""
    if record is not None and record.status != "built":
        return NotMeasured(reason_text(record.to_json()))
    if isinstance(run, NotMeasured):
        return run
    entry = run.variants.get(variant)
    if entry is None:
        return NotMeasured("not in the benchmark's session; run `dvc repro benchmark`")
    if record is not None and entry.get("plan_sha256", record.plan_sha256) != record.plan_sha256:
        return NotMeasured("the timed plan is not the built one; run `dvc repro`")
    if entry.get("reason"):
        return NotMeasured(reason_text(entry))
    return None


def _speedups(
    reference: Mapping[int, Timing | NotMeasured], contender: Mapping[int, Timing | NotMeasured]
) -> dict[int, Ratio | NotMeasured]:
    return {batch: _speedup(reference[batch], timing) for batch, timing in contender.items()}


def _speedup(
    reference: Timing | NotMeasured, contender: Timing | NotMeasured
) -> Ratio | NotMeasured:
    if isinstance(contender, NotMeasured):
        return contender
    if isinstance(reference, NotMeasured):
        return NotMeasured(f"the reference was not timed ({reference.reason})")
    return compare_rounds(reference, contender)


def _variant(
    name: str,
    config: VariantConfig,
    record: EngineRecord | None,
    *,
    timings: Mapping[int, Timing | NotMeasured],
    speedups: Mapping[int, Ratio | NotMeasured],
    scores: Scores | NotMeasured,
) -> VariantFindings:
    reason = record.reason if record else None
    return VariantFindings(
        name=name,
        config=config,
        precision=record.precision if record else NOT_RECORDED,
        status=record.status if record else "missing",
        reason=reason_text(record.to_json()) if record else "not built; run `dvc repro`",
        reason_code=reason.code if reason else "",
        plan=_plan(name, record),
        timings=timings,
        speedups=speedups,
        scores=scores,
    )


def _plan(variant: str, record: EngineRecord | None) -> Plan | NotMeasured:
    if record is None:
        return NotMeasured("not built")
    if record.plan is None or record.plan_sha256 is None:
        return NotMeasured(reason_text(record.to_json()))
    path = artifacts.build(variant) / record.plan
    if not path.is_file():
        return NotMeasured("the plan's file is missing; run `dvc checkout`")
    return Plan(
        file=record.plan,
        size_bytes=_size_bytes(variant, record),
        sha256=record.plan_sha256,
        build_s=_seconds(record.made),
    )


def _size_bytes(variant: str, record: EngineRecord) -> int:
    """Return the plan's size with its external data, which lies beside it as PLAN.data."""
    names = (record.plan, f"{record.plan}.data")
    paths = (artifacts.build(variant) / name for name in record.files if name in names)
    return sum(path.stat().st_size for path in paths if path.is_file())


def _seconds(made: Mapping[str, Any]) -> float | None:
    """Return how long the build took, under whichever of the two names it was recorded."""
    value = made.get("build_s", made.get("seconds"))
    return float(value) if value is not None else None


def _load_audit(recipe: str, sources: Sources) -> Audit | NotMeasured:
    record = sources.read_json(artifacts.audit(recipe) / "audit.json", made_by=f"audit@{recipe}")
    if record is None:
        return NotMeasured(f"{recipe} was not audited; run `dvc repro audit@{recipe}`")
    return Audit(
        recipe=recipe,
        precision=str(record.get("precision", NOT_RECORDED)),
        samples_count=int(record.get("samples_count", 0)),
        outputs=record.get("outputs", {}),
    )


def _load_calibration(sources: Sources) -> Mapping[str, Any] | NotMeasured:
    record = sources.read_json(artifacts.CALIBRATE / "coverage.json", made_by="calibrate")
    if record is None:
        return NotMeasured("no calibration pass has run")
    return {key: value for key, value in record.items() if key != "schema"}
