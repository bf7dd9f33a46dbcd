"""What the benchmark left: its session, every contender's timings, and their comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtproof import artifacts
from trtproof.hardware import Hardware
from trtproof.measure.disturbed import Selection
from trtproof.measure.samples import LATENCY, of_scenario, read_samples
from trtproof.measure.schedule import AGAIN
from trtproof.report.answers import check_answers, load_answers, refuse_other_answers
from trtproof.report.comparisons import Comparisons, Device, Judge
from trtproof.report.device_times import DeviceFindings, read_device_times
from trtproof.report.evaluated import Evaluation
from trtproof.report.evidence import read_evidence
from trtproof.report.figures import NotMeasured, Timing, measured_batches, time_contender
from trtproof.report.findings import AnswerCheck, Run, Settings
from trtproof.report.left_out import read_selection
from trtproof.report.place import find_measured
from trtproof.report.scenarios import Scenarios, read_scenarios
from trtproof.report.sources import Sources, flatten, reason_text
from trtproof.sidecar import EngineRecord

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN_OF_RUN: Final = ("machine", "clock", "schedule")
"""Parts of run.json that describe the machine while it was measured."""

NOT_RECORDED: Final = "not recorded"

Timings = Mapping[int, Timing | NotMeasured]
"""One contender's, by batch size."""


@dataclass(frozen=True)
class Timed:
    """The benchmark's findings; all but the session's own are by variant.

    `hardware` is the machine that was measured.
    """

    hardware: Hardware
    run: Run | NotMeasured
    selection: Selection
    batches: tuple[int, ...]
    timings: Mapping[str, Timings]
    comparisons: Mapping[str, Mapping[int, Comparisons | NotMeasured]]
    scenarios: Mapping[str, Scenarios]
    device: Mapping[str, DeviceFindings]
    answers: Mapping[str, AnswerCheck | NotMeasured]


@dataclass(frozen=True)
class Made:
    """What the other stages made of the variants, the reference first."""

    records: Mapping[str, EngineRecord | None]
    evaluations: Mapping[str, Evaluation | NotMeasured]


def load_timed(settings: Settings, here: Hardware | None, made: Made, sources: Sources) -> Timed:
    """Return what was timed of the variants, or why it was not; `here` is what the probe found.

    Raises:
        InputError: a file is broken.
    """
    found = sources.read_json(artifacts.BENCHMARK / "run.json", made_by="benchmark")
    record, run = found or {}, _read_run(found)
    reference, hardware = settings.reference, find_measured(here, run, made.records)
    every, answers = _load_samples(sources), load_answers(record, sources)
    samples = every if isinstance(every, NotMeasured) else of_scenario(every, LATENCY)
    batches = () if isinstance(samples, NotMeasured) else measured_batches(samples)
    checks = {name: check_answers(name, answers, made.evaluations[name]) for name in made.records}
    absent = {
        name: _why_not_timed(name, built, run) or refuse_other_answers(check, answers.tolerance)
        for (name, built), check in zip(made.records.items(), checks.values(), strict=True)
    }
    timings = {name: _time_variant(name, why, samples, batches) for name, why in absent.items()}
    again = _time_variant(f"{reference}{AGAIN}", absent[reference], samples, batches)
    selection, scenarios = read_selection(samples, record), read_scenarios(every, record)
    comparisons = {
        name: _compare_variant(
            _make_judge(_find_device(hardware, settings, name), selection, record),
            timings[reference],
            again,
            again if name == reference else timings[name],
        )
        for name in made.records
    }
    return Timed(
        hardware=hardware,
        run=run,
        selection=selection,
        batches=batches,
        timings=timings,
        comparisons=comparisons,
        scenarios={name: scenarios.find(name, why) for name, why in absent.items()},
        device=read_device_times(every, record, absent, reference),
        answers=checks,
    )


def _make_judge(device: Device, selection: Selection, record: Mapping[str, Any]) -> Judge:
    """Return the judge with what the session was run by."""
    return Judge(
        device=device,
        profile=str(record.get("profile", NOT_RECORDED)),
        selection=selection,
        minimum_effects={
            name: float(figure["minimum_effect"])
            for name, figure in record.get("figures", {}).items()
        },
    )


def _read_run(record: Mapping[str, Any] | None) -> Run | NotMeasured:
    if record is None:
        return NotMeasured("no benchmark has run; run `dvc repro benchmark`")
    machine = record.get("machine", {})
    return Run(
        profile=str(record.get("profile", NOT_RECORDED)),
        protocol=str(record.get("protocol", NOT_RECORDED)),
        started_at=str(record.get("started_at", NOT_RECORDED)),
        commit=str(record.get("commit") or NOT_RECORDED),
        machine=_flatten_run(record),
        variants=record.get("variants", {}),
        harness_ns=record.get("harness", {}),
        cut_short=record.get("schedule", {}).get("fits_budget") is False,
        load_per_core=_load_per_core(record),
        blocks_count=len(record.get("blocks", ())),
        slow_starts_count=sum(
            bool(block.get("first_is_slow")) for block in record.get("blocks", ())
        ),
        user=record.get("user"),
        changed=record.get("changed"),
        slug=str(machine.get("slug", "")),
        bench=machine.get("bench", {}),
        variables=machine.get("variables", {}),
        evidence=read_evidence(record),
    )


def _load_per_core(record: Mapping[str, Any]) -> float | None:
    """Return the load before the session began, by usable core; None where it was not told."""
    load = (record.get("start") or {}).get("load_1min")
    cores = record.get("machine", {}).get("cores")
    return load / len(cores) if load is not None and cores else None


def _flatten_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the session says of the machine, without what the probe says as well."""
    shown = {key: dict(record[key]) for key in SHOWN_OF_RUN if key in record}
    for repeated in ("bench", "slug"):
        shown.get("machine", {}).pop(repeated, None)
    return flatten(shown)


def _load_samples(sources: Sources) -> DataFrame | NotMeasured:
    """Return the samples of all scenarios."""
    path = sources.find(artifacts.BENCHMARK / "samples.parquet")
    return read_samples(path, scenario=None) if path else NotMeasured("no benchmark has run")


def _time_variant(
    variant: str,
    absent: NotMeasured | None,
    samples: DataFrame | NotMeasured,
    batches: tuple[int, ...],
) -> dict[int, Timing | NotMeasured]:
    return {batch: absent or _time(samples, variant, batch) for batch in batches}


def _time(samples: DataFrame | NotMeasured, contender: str, batch: int) -> Timing | NotMeasured:
    if isinstance(samples, NotMeasured):
        return samples
    return time_contender(samples, contender, batch)


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


def _find_device(hardware: Hardware, settings: Settings, variant: str) -> Device:
    """Return the noisier of the two devices that a variant and the reference run on.

    One that nobody recorded counts as the noisier: fewer figures decide there.
    """
    backends = {settings.variants[name].backend for name in (settings.reference, variant)}
    kinds = {hardware.engine.get(backend, {}).get("device") for backend in backends}
    return "gpu" if kinds == {"cuda"} else "cpu"


def _compare_variant(
    judge: Judge, reference: Timings, again: Timings, contender: Timings
) -> dict[int, Comparisons | NotMeasured]:
    return {
        batch: _compare(judge, reference[batch], again[batch], timing)
        for batch, timing in contender.items()
    }


def _compare(
    judge: Judge,
    reference: Timing | NotMeasured,
    again: Timing | NotMeasured,
    contender: Timing | NotMeasured,
) -> Comparisons | NotMeasured:
    if isinstance(contender, NotMeasured):
        return contender
    if isinstance(reference, NotMeasured):
        return NotMeasured(f"the reference was not timed ({reference.reason})")
    return judge.compare(reference, again, contender)
