"""What the session says of itself, in words: noise, rounds left out, harness, answers, warm-up."""

from __future__ import annotations

from typing import Final

from trtproof.report.cells import NOT_MEASURED
from trtproof.report.figures import NS_PER_MS, NotMeasured, Timing
from trtproof.report.findings import AnswerCheck, Findings
from trtproof.report.targets import main_batch

NS_PER_US: Final = 1e3


def cause_text(findings: Findings) -> str:
    """Return the causes of disturbed rounds, each once."""
    causes = findings.selection.causes.values()
    texts = dict.fromkeys(cause.value for names in causes for cause in names)
    return "; ".join(texts) or "no cause was recorded"


def left_out_text(findings: Findings) -> str:
    """Return how many rounds count in no figure, and why."""
    selection = findings.selection
    if not findings.batches:
        return NOT_MEASURED
    if selection.mostly_disturbed:
        return f"none, though {len(selection.causes)} were disturbed: {cause_text(findings)}"
    count, every = len(selection.left_out), len(selection.kept) + len(selection.left_out)
    return f"{count} of {every}: {cause_text(findings)}" if count else f"none of {every}"


def harness_text(findings: Findings) -> str:
    """Return what a request that does nothing takes: in every latency, subtracted from none."""
    if isinstance(findings.run, NotMeasured):
        return f"{NOT_MEASURED}: {findings.run.reason}"
    wall_ns = findings.run.harness_ns.get("e2e_ns")
    if wall_ns is None:
        return f"{NOT_MEASURED}: the session recorded no request that does nothing"
    wall_us = f"{wall_ns / NS_PER_US:.3g} \N{MICRO SIGN}s"
    text = f"{wall_us} for a request that does nothing, subtracted nowhere"
    batch = main_batch(findings)
    timings = [variant.timings[batch] for variant in findings.variants] if batch else []
    medians_ms = [timing.p50_ms for timing in timings if isinstance(timing, Timing)]
    if not medians_ms:
        return text
    return f"{text}; {100 * wall_ns / NS_PER_MS / min(medians_ms):.2g} % of the smallest median"


def answers_text(findings: Findings) -> str:
    """Return how far the timed engines' answers are from the evaluated ones, by variant."""
    texts = []
    for variant in findings.variants:
        check = variant.answers
        if variant.status != "built":
            continue
        if isinstance(check, AnswerCheck):
            texts.append(f"{variant.name} {check.error:.2g} on {check.samples_count} samples")
        else:
            texts.append(f"{variant.name} not compared ({check.reason})")
    return ", ".join(texts) or NOT_MEASURED


def warmup_text(findings: Findings) -> str:
    """Return which variants were timed before their times had settled."""
    if isinstance(findings.run, NotMeasured):
        return f"{NOT_MEASURED}: {findings.run.reason}"
    run = findings.run
    text = f"did not settle: {', '.join(run.unsettled)}" if run.unsettled else "all settled"
    if not run.slow_starts_count:
        return text
    return (
        f"{text}; {run.slow_starts_count} of {run.blocks_count} blocks began with a request far "
        "slower than their others, which counts"
    )
