"""Read everything that the report shows.

A missing file, an unavailable variant, an unlabelled data set become a `NotMeasured` with its
reason; a broken file is an error. Nothing is ever filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trtproof import artifacts
from trtproof.config import VariantConfig
from trtproof.hardware import load_hardware
from trtproof.report.engine_figures import INSPECTION
from trtproof.report.evaluated import Evaluation, compare_scores, load_evaluation
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Audit, Findings, Plan, Scores, Settings, VariantFindings
from trtproof.report.gpu_findings import load_gpu
from trtproof.report.imported import load_imports
from trtproof.report.ladder import build_ladder
from trtproof.report.memory import load_host_peaks
from trtproof.report.sources import Sources, reason_text
from trtproof.report.timed import NOT_RECORDED, Made, Timed, load_timed
from trtproof.sidecar import SIDECAR_FILE, EngineRecord, read_record


def load_findings(settings: Settings) -> Findings:
    """Return all that was found, of the configured variants and no others.

    Raises:
        InputError, PlanCorruptError: a file is broken; the message names the repair.
    """
    sources = Sources()
    probed = sources.find(artifacts.HARDWARE)
    here = load_hardware(probed) if probed else None
    reference = settings.reference
    names = [reference, *(name for name in settings.variants if name != reference)]
    records = {name: _load_record(name, sources) for name in names}
    evaluations = _load_evaluations(records, sources)
    timed = load_timed(settings, here, Made(records, evaluations), sources)
    peaks = load_host_peaks(sources)
    first, bounded = evaluations[reference], settings.budget.scores
    scores = {name: compare_scores(first, evaluations[name], bounded=bounded) for name in names}
    rows = [
        _variant(settings.variants[name], name, records[name], timed, scores[name], sources)
        for name in names
    ]
    variants = [
        replace(row, host_peak_bytes=peaks.get(row.name)) if row.is_timed else row for row in rows
    ]
    return Findings(
        settings=settings,
        hardware=timed.hardware,
        run=timed.run,
        variants=variants,
        batches=timed.batches,
        best_torch=timed.best_torch,
        selection=timed.selection,
        audits=[_load_audit(recipe, sources) for recipe in settings.recipes],
        calibration=_load_calibration(sources),
        imports=load_imports(sources),
        ladder=build_ladder(settings, evaluations, sources),
        gpu=load_gpu(sources),
        sources=sources.paths,
        here=here,
    )


def _load_evaluations(
    records: Mapping[str, EngineRecord | None], sources: Sources
) -> dict[str, Evaluation | NotMeasured]:
    return {name: load_evaluation(name, record, sources) for name, record in records.items()}


def _load_record(variant: str, sources: Sources) -> EngineRecord | None:
    folder = artifacts.build(variant)
    return read_record(folder) if sources.find(folder / SIDECAR_FILE) else None


def _variant(
    config: VariantConfig,
    name: str,
    record: EngineRecord | None,
    timed: Timed,
    scores: Scores | NotMeasured,
    sources: Sources,
) -> VariantFindings:
    reason = record.reason if record else None
    return VariantFindings(
        name=name,
        config=config,
        precision=record.precision if record else NOT_RECORDED,
        status=record.status if record else "missing",
        reason=reason_text(record.to_json()) if record else "not built; run `dvc repro`",
        reason_code=reason.code if reason else "",
        plan=_plan(name, record, sources),
        timings=timed.timings[name],
        comparisons=timed.comparisons[name],
        controls=timed.controls[name],
        against_torch=timed.against_torch[name],
        protocols=timed.protocols[name],
        scenarios=timed.scenarios[name],
        device=timed.device[name],
        answers=timed.answers[name],
        scores=scores,
    )


def _plan(variant: str, record: EngineRecord | None, sources: Sources) -> Plan | NotMeasured:
    if record is None:
        return NotMeasured("not built")
    if record.plan is None or record.plan_sha256 is None or record.status != "built":
        return NotMeasured(reason_text(record.to_json()))
    path = artifacts.build(variant) / record.plan
    if not path.is_file():
        return NotMeasured("the plan's file is missing; run `dvc checkout`")
    return Plan(
        file=record.plan,
        size_bytes=_size_bytes(variant, record),
        sha256=record.plan_sha256,
        build_s=_seconds(record.made),
        details=record.details,
        layers=_load_layers(variant, record, sources),
    )


def _load_layers(
    variant: str, record: EngineRecord, sources: Sources
) -> Sequence[Mapping[str, Any]]:
    """Return the layers of an engine that was inspected; other backends show none."""
    if INSPECTION not in record.details:
        return ()
    path = artifacts.build(variant) / "layers.json"
    table = sources.read_json(path, made_by=f"build@{variant}")
    return table["layers"] if table else ()


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
