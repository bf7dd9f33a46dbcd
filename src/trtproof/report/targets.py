"""The budget's targets: met, missed, or undecided because the measurement cannot say.

A latency or speed-up is met where its whole interval is on the right side of the limit: both the
exact 99 % interval over rounds and the shown 95 % interval, which covers worker starts. P99 is
decided by counting requests over the limit (trtproof.measure.targets). A score is exact on its
samples: the figure is compared as it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from trtproof.measure.quantiles import PUBLISHED
from trtproof.measure.ratios import Bounds
from trtproof.measure.targets import Outcome, TargetResult, check_target, requests_needed
from trtproof.measure.verdict import Better
from trtproof.report.cells import NOT_MEASURED, Facts, Tone, format_number
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.metrics import drop_name

Word = Literal["met", "missed", "undecided", "not measured"]
TONES: Final[dict[Word, Tone]] = {
    "met": "ok",
    "missed": "bad",
    "undecided": "warn",
    "not measured": "warn",
}
WORDS: Final[dict[Outcome, Word]] = {
    Outcome.MET: "met",
    Outcome.MISSED: "missed",
    Outcome.UNDECIDED: "undecided",
}
MAIN_SCORE: Final = "top1_pct"
TOO_FEW: Final = "too few rounds for an interval"
MOSTLY_DISTURBED: Final = "more than half of the rounds were disturbed"


@dataclass(frozen=True)
class TargetVerdict:
    """One target and one variant; `why` says what the word follows from, where it is not plain.

    `is_indicative` is true where the run was too short to decide anything.
    """

    target: str
    variant: str
    limit: str
    measured: str
    word: Word
    why: str = ""
    is_indicative: bool = False

    @property
    def tone(self) -> Tone:
        """Return the colour that the word is set in."""
        return TONES[self.word]


def judge_targets(findings: Findings, facts: Facts) -> list[TargetVerdict]:
    """Return every target of the budget for every variant besides the reference."""
    budget = findings.settings.budget
    verdicts = []
    for variant in findings.variants[1:]:
        if budget.latency_p50_ms is not None:
            verdicts.append(_judge_median(variant, findings, facts, budget.latency_p50_ms))
        if budget.latency_p99_ms is not None:
            verdicts.append(_judge_tail(variant, findings, facts, budget.latency_p99_ms))
        if budget.speedup_ratio is not None:
            verdicts.append(_judge_speed(variant, findings, facts, budget.speedup_ratio))
        if budget.top1_drop_pp is not None:
            verdicts.append(_judge_drop(variant, facts, budget.top1_drop_pp))
    return sorted(verdicts, key=lambda verdict: verdict.target)


def main_batch(findings: Findings) -> int | None:
    """Return the batch size that targets and the headline are about: the smallest timed."""
    return min(findings.batches, default=None)


def at_batch(findings: Findings) -> str:
    """Return the end of a title that names the headline's batch size."""
    batch = main_batch(findings)
    return f", batch {batch}" if batch else ""


def _judge_median(
    variant: VariantFindings, findings: Findings, facts: Facts, limit_ms: float
) -> TargetVerdict:
    target, limit = f"Median latency{at_batch(findings)}", f"at most {limit_ms:g} ms"
    timing = _timing(variant, findings)
    if isinstance(timing, NotMeasured):
        return _absent(target, variant, limit)
    key = f"latency_b{timing.batch}_ms"
    bounds = (timing.percentiles["p50"].bounds, timing.decisive_p50_ms)
    word, why = _place(bounds, limit_ms, Better.LOWER)
    interval = facts.interval(variant.name, key, "p50_ci_")
    return TargetVerdict(
        target=target,
        variant=variant.name,
        limit=limit,
        measured=facts.device_cell(variant.name, key, "p50").text,
        **_settle(findings, word, why or f"95 % {interval}"),
    )


def _judge_tail(
    variant: VariantFindings, findings: Findings, facts: Facts, limit_ms: float
) -> TargetVerdict:
    target, limit = f"P99 latency{at_batch(findings)}", f"at most {limit_ms:g} ms"
    timing = _timing(variant, findings)
    if isinstance(timing, NotMeasured):
        return _absent(target, variant, limit)
    result = check_target(timing.latencies_ms, limit_ms, PUBLISHED["p99"])
    p99 = facts.device_cell(variant.name, f"latency_b{timing.batch}_ms", "p99")
    return TargetVerdict(
        target=target,
        variant=variant.name,
        limit=limit,
        measured=p99.text if p99.kind == "number" else "too few requests for a P99",
        **_settle(findings, WORDS[result.outcome], _explain(result)),
    )


def _explain(result: TargetResult) -> str:
    """Return what was counted and, where that decides nothing, how much more would."""
    counted = f"{result.over_count:,} of {result.samples_count:,} requests over it"
    if result.outcome is not Outcome.UNDECIDED:
        return f"{counted}, {100 * result.confidence:g} % confidence"
    missing = requests_needed(PUBLISHED["p99"], result.over_count) - result.samples_count
    return f"{counted}; {missing:,} more, none of them over it, would confirm it"


def _judge_speed(
    variant: VariantFindings, findings: Findings, facts: Facts, least: float
) -> TargetVerdict:
    target = f"Speed-up over {findings.reference.name}{at_batch(findings)}"
    batch = main_batch(findings)
    limit, verdict = f"at least {format_number(least, 'ratio')}", variant.verdict(batch)
    if isinstance(verdict, NotMeasured):
        return _absent(target, variant, limit)
    key = f"speedup_b{batch}_ratio"
    bounds = [
        None if ratio.low is None or ratio.high is None else (ratio.low, ratio.high)
        for ratio in (verdict.shown, verdict.gate)
    ]
    word, why = _place(bounds, least, Better.HIGHER)
    return TargetVerdict(
        target=target,
        variant=variant.name,
        limit=limit,
        measured=facts.device_cell(variant.name, key, "value").text,
        **_settle(findings, word, why or f"95 % {facts.interval(variant.name, key)}"),
    )


def _judge_drop(variant: VariantFindings, facts: Facts, most_pp: float) -> TargetVerdict:
    target, limit = "Top-1 drop", f"at most {most_pp:g} pp"
    drop_pp = facts.number(variant.name, "scores", drop_name(MAIN_SCORE))
    if drop_pp is None:
        return _absent(target, variant, limit)
    word: Word = "met" if drop_pp <= most_pp else "missed"
    return TargetVerdict(target, variant.name, limit, format_number(drop_pp, "pp"), word)


def _place(bounds: Sequence[Bounds | None], limit: float, better: Better) -> tuple[Word, str]:
    """Return on which side of the limit all the intervals lie, and why none where they do not."""
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        return "undecided", TOO_FEW
    low, high = min(bound[0] for bound in known), max(bound[1] for bound in known)
    if better is Better.LOWER:
        met, missed = high <= limit, low > limit
    else:
        met, missed = low >= limit, high < limit
    return ("met" if met else "missed" if missed else "undecided"), ""


def _settle(findings: Findings, word: Word, why: str) -> dict[str, Any]:
    """Return the word and its reason; a mostly disturbed session decides nothing."""
    if findings.selection.mostly_disturbed:
        word, why = "undecided", MOSTLY_DISTURBED
    return {"word": word, "why": why, "is_indicative": findings.indicative}


def _timing(variant: VariantFindings, findings: Findings) -> Timing | NotMeasured:
    batch = main_batch(findings)
    return variant.timings[batch] if batch else NotMeasured(variant.reason)


def _absent(target: str, variant: VariantFindings, limit: str) -> TargetVerdict:
    return TargetVerdict(target, variant.name, limit, NOT_MEASURED, "not measured")
