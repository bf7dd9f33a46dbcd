"""The budget's targets: met, missed, or inconclusive because the measurement cannot say.

A latency or speed-up is met where its whole interval is on the right side of the limit: both the
exact 99 % interval over rounds and the shown 95 % interval, which covers worker starts. P99 is
decided by counting requests over the limit (trtproof.measure.targets), throughput by the 99 %
interval over the windows of the best load, a score by its 99 % interval over samples
(trtproof.report.score_targets). Memory and size are single figures without one. Where the word is
inconclusive, the row says what would settle it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from trtproof.measure.quantiles import PUBLISHED
from trtproof.measure.targets import check_target
from trtproof.measure.verdict import Better
from trtproof.report.cells import Facts, format_number, unit_of
from trtproof.report.comparisons import WALL_P99
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.limits import (
    WORDS,
    OverRounds,
    OverWindows,
    Target,
    TargetVerdict,
    Word,
    explain_counts,
)
from trtproof.report.metrics import load_key, ratio_key
from trtproof.report.relative import TailRatio, best_load, rate_of, tail_ratio, throughput_ratio
from trtproof.report.score_targets import judge_scores
from trtproof.report.torch_tables import beside_best

MAIN_SCORE: Final = "top1_pct"
MOSTLY_DISTURBED: Final = (
    "more than half of the rounds were disturbed; measure again on a quiet machine"
)


def judge_targets(findings: Findings, facts: Facts) -> list[TargetVerdict]:
    """Return every target of the budget for every variant besides the reference.

    Raises:
        ConfigError: the budget limits a score that no variant has.
    """
    verdicts = [
        verdict
        for variant in findings.variants[1:]
        for verdict in (
            *_Timings(variant, findings, facts).judge(),
            *judge_scores(variant, findings, facts),
            *_judge_sizes(variant, findings, facts),
        )
    ]
    return sorted(verdicts, key=lambda verdict: verdict.target)


def main_batch(findings: Findings) -> int | None:
    """Return the batch size that targets and the headline are about: the smallest timed."""
    return min(findings.batches, default=None)


def at_batch(findings: Findings) -> str:
    """Return the end of a title that names the headline's batch size."""
    batch = main_batch(findings)
    return f", batch {batch}" if batch else ""


class _Timings:
    """One variant's targets of what was timed."""

    def __init__(self, variant: VariantFindings, findings: Findings, facts: Facts) -> None:
        self._variant = variant
        self._findings = findings
        self._facts = facts
        self._batch = main_batch(findings)

    def judge(self) -> Iterator[TargetVerdict]:
        """Yield the verdicts on the limits that the budget has."""
        budget = self._findings.settings.budget
        if budget.latency_p50_ms is not None:
            yield self._judge_median(budget.latency_p50_ms)
        if budget.latency_p99_ms is not None:
            yield self._judge_tail(budget.latency_p99_ms)
        if budget.speedup_ratio is not None:
            yield self._judge_speed(budget.speedup_ratio)
        if budget.speedup_p99_ratio is not None:
            yield self._judge_tail_speed(budget.speedup_p99_ratio)
        if budget.throughput_ips is not None:
            yield self._judge_throughput(budget.throughput_ips)
        if budget.throughput_ratio is not None:
            yield self._judge_throughput_ratio(budget.throughput_ratio)

    def _judge_median(self, limit_ms: float) -> TargetVerdict:
        target = self._target(f"Median latency{at_batch(self._findings)}", limit_ms, "ms")
        timing = self._timing(self._variant)
        if isinstance(timing, NotMeasured):
            return target.absent(timing.reason)
        key = f"latency_b{timing.batch}_ms"
        over = OverRounds(
            value=timing.p50_ms,
            shown=timing.percentiles["p50"].bounds,
            gate=timing.decisive_p50_ms,
            rounds=len(timing.rounds_ms),
            sessions=len({timing.sessions[number] for number in timing.rounds_ms}),
        )
        interval = self._facts.interval(self._variant.name, key, "p50_ci_")
        return self._settle(target, (key, "p50"), over.judge(limit_ms, Better.LOWER), interval)

    def _judge_tail(self, limit_ms: float) -> TargetVerdict:
        target = self._target(f"P99 latency{at_batch(self._findings)}", limit_ms, "ms")
        timing = self._timing(self._variant)
        if isinstance(timing, NotMeasured):
            return target.absent(timing.reason)
        result = check_target(timing.latencies_ms, limit_ms, PUBLISHED["p99"])
        found = WORDS[result.outcome], explain_counts(result)
        verdict = self._settle(target, (f"latency_b{timing.batch}_ms", "p99"), found)
        if "p99" in timing.percentiles:
            return verdict
        return replace(verdict, measured="too few requests for a P99")

    def _judge_speed(self, least: float) -> TargetVerdict:
        name = self._findings.reference.name
        title = f"Speed-up over {name}{at_batch(self._findings)}"
        target = self._target(title, least, "ratio", better=Better.HIGHER)
        verdict = self._variant.verdict(self._batch)
        if isinstance(verdict, NotMeasured):
            return target.absent(verdict.reason)
        ratio = TailRatio(verdict.shown, verdict.gate)
        judged = self._judge_ratio(target, ratio, HEADLINE, least)
        beside = beside_best(self._findings, self._facts, self._variant, self._batch)
        return replace(judged, why="; ".join(filter(None, (judged.why, beside))))

    def _judge_tail_speed(self, least: float) -> TargetVerdict:
        title = f"P99 speed-up over {self._findings.reference.name}{at_batch(self._findings)}"
        target = self._target(title, least, "ratio", better=Better.HIGHER)
        ratio = tail_ratio(self._timing(self._findings.reference), self._timing(self._variant))
        if isinstance(ratio, NotMeasured):
            return target.absent(ratio.reason)
        return self._judge_ratio(target, ratio, WALL_P99, least)

    def _judge_ratio(
        self, target: Target, ratio: TailRatio, figure: str, least: float
    ) -> TargetVerdict:
        key = ratio_key(figure, self._batch or 0, is_control=False)
        over = OverRounds(
            value=ratio.shown.value,
            shown=ratio.shown.bounds,
            gate=ratio.gate.bounds,
            rounds=ratio.shown.rounds_count,
            sessions=ratio.shown.sessions_count,
        )
        interval = self._facts.interval(self._variant.name, key)
        return self._settle(target, (key, "value"), over.judge(least, Better.HIGHER), interval)

    def _judge_throughput(self, least_ips: float) -> TargetVerdict:
        target = self._target("Throughput, best load", least_ips, "ips", better=Better.HIGHER)
        load = best_load(self._variant)
        if isinstance(load, NotMeasured):
            return target.absent(load.reason)
        rate = rate_of(load)
        found = OverWindows(rate.value, rate.gate, rate.windows).judge(least_ips)
        at = f"batch {load.batch}, {load.streams} stream{'s' if load.streams > 1 else ''}"
        path = (load_key(load, "ips"), "value")
        return self._settle(target, path, (found[0], "; ".join(filter(None, (at, found[1])))))

    def _judge_throughput_ratio(self, least: float) -> TargetVerdict:
        title = f"Throughput over {self._findings.reference.name}, best loads"
        target = self._target(title, least, "ratio", better=Better.HIGHER)
        rate = throughput_ratio(self._findings.reference, self._variant)
        if isinstance(rate, NotMeasured):
            return target.absent(rate.reason)
        found = OverWindows(rate.value, rate.gate, rate.windows).judge(least)
        interval = self._facts.interval(self._variant.name, "throughput_ratio")
        return self._settle(target, ("throughput_ratio", "value"), found, interval)

    def _target(
        self, title: str, limit: float, unit: str, *, better: Better = Better.LOWER
    ) -> Target:
        return make_target(title, self._variant.name, limit, unit, better=better)

    def _timing(self, variant: VariantFindings) -> Timing | NotMeasured:
        return variant.timings[self._batch] if self._batch else NotMeasured(variant.reason)

    def _settle(
        self, target: Target, path: tuple[str, str], found: tuple[Word, str], interval: str = ""
    ) -> TargetVerdict:
        """Return the verdict with its interval; a mostly disturbed session decides nothing."""
        word, why = found
        if self._findings.selection.mostly_disturbed:
            word, why = "inconclusive", MOSTLY_DISTURBED
        elif interval:
            why = "; ".join(filter(None, (f"95 % {interval}", why)))
        if self._findings.indicative:
            why = "; ".join(filter(None, (why, "indicative: a short run")))
        measured = self._facts.device_cell(self._variant.name, *path).text
        verdict = target.judge(measured, word, why)
        return replace(verdict, is_indicative=self._findings.indicative)


def make_target(title: str, variant: str, limit: float, unit: str, *, better: Better) -> Target:
    """Return a target whose limit is said as people write it."""
    end = "least" if better is Better.HIGHER else "most"
    said = format_number(limit, unit) if unit == "ratio" else f"{limit:g} {SAID.get(unit, unit)}"
    return Target(title, variant, f"at {end} {said}")


SAID: Final = {"ips": "/s", "mib": "MiB"}


def _judge_sizes(
    variant: VariantFindings, findings: Findings, facts: Facts
) -> Iterator[TargetVerdict]:
    """Yield the verdicts on memory and size, each a single figure."""
    budget, over = findings.settings.budget, f"over {findings.reference.name}"
    memory = "no process that timed it noted its memory"
    size = variant.plan.reason if isinstance(variant.plan, NotMeasured) else "no plan to compare"
    for title, key, limit, reason in (
        ("Host memory, peak", "host_peak_mib", budget.host_peak_mib, memory),
        (f"Host memory {over}", "host_peak_ratio", budget.host_peak_ratio, memory),
        ("Plan size", "plan_mib", budget.plan_mib, size),
        (f"Plan size {over}", "plan_size_ratio", budget.plan_size_ratio, size),
    ):
        if limit is None:
            continue
        target = make_target(title, variant.name, limit, unit_of(key), better=Better.LOWER)
        value = facts.on_device(variant.name, key)
        if value is None:
            yield target.absent(reason)
        else:
            word: Word = "met" if value <= limit else "missed"
            yield target.judge(facts.device_cell(variant.name, key).text, word)
