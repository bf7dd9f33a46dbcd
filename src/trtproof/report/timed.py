"""What the benchmark left: its session, every contender's timings, and their comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trtproof import artifacts
from trtproof.hardware import Hardware
from trtproof.measure.disturbed import Selection
from trtproof.measure.samples import LATENCY, OUT_OF_TIME, of_scenario, read_samples
from trtproof.measure.schedule import AGAIN
from trtproof.report.answers import check_answers, load_answers, refuse_other_answers
from trtproof.report.clock_check import check_clocks
from trtproof.report.comparisons import RAN_ONCE, Comparisons, Device, Judge
from trtproof.report.device_times import DeviceFindings, read_device_times
from trtproof.report.evaluated import Evaluation
from trtproof.report.evidence import read_evidence
from trtproof.report.figures import NotMeasured, Timing, measured_batches, time_contender
from trtproof.report.findings import AnswerCheck, Run, Settings
from trtproof.report.gpu_findings import read_state
from trtproof.report.left_out import read_selection
from trtproof.report.place import find_measured
from trtproof.report.protocol_times import ProtocolTimes, read_protocol_times
from trtproof.report.scenarios import Scenarios, read_scenarios
from trtproof.report.sources import Sources, flatten, reason_text
from trtproof.report.torch_best import (
    Control,
    Timings,
    TorchBest,
    compare_with_best,
    find_best,
    list_torch,
)
from trtproof.sidecar import EngineRecord

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN_OF_RUN: Final = ("machine", "clock", "schedule")
"""Parts of run.json that describe the machine while it was measured."""

NOT_RECORDED: Final = "not recorded"


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
    controls: Mapping[str, Mapping[int, Comparisons]]
    best_torch: Mapping[int, TorchBest | NotMeasured]
    against_torch: Mapping[str, Mapping[int, Comparisons | NotMeasured]]
    scenarios: Mapping[str, Scenarios]
    protocols: Mapping[str, Sequence[ProtocolTimes] | NotMeasured]
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
    again = {
        name: _time_variant(f"{name}{AGAIN}", why, samples, batches) for name, why in absent.items()
    }
    control = Control(reference, timings, again)
    judges = _Judges(hardware, settings, read_selection(samples, record), record)
    scenarios = read_scenarios(every, record)
    best = {batch: find_best(settings.variants, timings, batch) for batch in batches}
    return Timed(
        hardware=hardware,
        run=run,
        selection=judges.selection,
        batches=batches,
        timings=timings,
        comparisons=_compare_all(judges, control),
        controls=_compare_again(judges, control),
        best_torch=best,
        against_torch=compare_with_best(best, timings, control, judges.make),
        scenarios={name: scenarios.find(name, why) for name, why in absent.items()},
        protocols=read_protocol_times(every, record, absent),
        device=read_device_times(every, record, absent, reference, list_torch(settings.variants)),
        answers=checks,
    )


@dataclass(frozen=True)
class _Judges:
    """What the session was run on and by, which every judge of two of its contenders is told."""

    hardware: Hardware
    settings: Settings
    selection: Selection
    record: Mapping[str, Any]

    def make(self, first: str, second: str) -> Judge:
        """Return the judge of two variants."""
        return Judge(
            device=self._find_device(first, second),
            profile=str(self.record.get("profile", NOT_RECORDED)),
            selection=self.selection,
            minimum_effects={
                name: float(figure["minimum_effect"])
                for name, figure in self.record.get("figures", {}).items()
            },
        )

    def _find_device(self, *names: str) -> Device:
        """Return the noisier of the devices that variants run on.

        One that nobody recorded counts as the noisier: fewer figures decide there.
        """
        backends = {self.settings.variants[name].backend for name in names}
        kinds = {self.hardware.engine.get(backend, {}).get("device") for backend in backends}
        return "gpu" if kinds == {"cuda"} else "cpu"


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
        cut_short=_is_cut_short(record.get("schedule", {})),
        out_of_time=[
            name
            for name, notes in record.get("scenarios", {}).items()
            if notes and notes[0].get("code") == OUT_OF_TIME
        ],
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


def _is_cut_short(schedule: Mapping[str, Any]) -> bool:
    """Say whether blocks have fewer requests than the profile wants, or took too long even so."""
    block, wanted = schedule.get("block") or {}, schedule.get("wanted") or {}
    shrunk = any(block.get(key, 0) < wanted.get(key, 0) for key in ("requests", "seconds"))
    return shrunk or schedule.get("fits_budget") is False


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


def _compare_all(
    judges: _Judges, control: Control
) -> dict[str, Mapping[int, Comparisons | NotMeasured]]:
    """Return every variant against the reference, the reference against its second run.

    Those that only the GPU's clocks explain are INCONCLUSIVE.
    """
    reference = control.reference
    first, again = control.first[reference], control.again[reference]
    found: dict[str, dict[int, Comparisons | NotMeasured]] = {}
    for name, own in control.first.items():
        judge, is_itself = judges.make(reference, name), name == reference
        found[name] = {
            batch: _compare(
                judge, first[batch], again[batch], timing,
                RAN_ONCE if is_itself else control.again[name][batch],
            )
            for batch, timing in (again if is_itself else own).items()
        }  # fmt: skip
    clocks_mhz = read_state(judges.record).clocks_mhz
    effects = judges.make(reference, reference).minimum_effects
    return {
        name: check_clocks(one, clocks_mhz, (reference, name), effects)
        for name, one in found.items()
    }


def _compare_again(judges: _Judges, control: Control) -> dict[str, dict[int, Comparisons]]:
    """Return every variant that ran twice against its own second run."""
    found: dict[str, dict[int, Comparisons]] = {name: {} for name in control.first}
    for name, own in control.first.items():
        for batch, second in control.again[name].items():
            one = _compare(judges.make(name, name), own[batch], second, second)
            if not isinstance(one, NotMeasured):
                found[name][batch] = one
    return found


def _compare(
    judge: Judge,
    reference: Timing | NotMeasured,
    again: Timing | NotMeasured,
    contender: Timing | NotMeasured,
    contender_again: Timing | NotMeasured = RAN_ONCE,
) -> Comparisons | NotMeasured:
    if isinstance(contender, NotMeasured):
        return contender
    if isinstance(reference, NotMeasured):
        return NotMeasured(f"the reference was not timed ({reference.reason})")
    return judge.compare(reference, again, contender, contender_again)
