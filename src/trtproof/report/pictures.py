"""Findings -> the data of each chart."""

from __future__ import annotations

from dataclasses import dataclass

from trtproof.report.cells import Facts, colour_of
from trtproof.report.charts import (
    Bar,
    Change,
    Series,
    latency_bars,
    percentile_curves,
    round_lines,
    score_changes,
)
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings
from trtproof.report.headline import main_score
from trtproof.report.metrics import drop_name
from trtproof.report.tables import score_title
from trtproof.report.targets import MAIN_SCORE


@dataclass(frozen=True)
class Picture:
    """A chart with its heading and what it shows; `svg` is None where `absent` says why."""

    title: str
    lead: str
    svg: str | None
    absent: str = ""


def draw_bars(findings: Findings, facts: Facts, batch: int) -> Picture:
    """Draw every variant's median and P99 at one batch size."""
    bars = []
    for position, variant in enumerate(findings.variants):
        timing, colour = variant.timings[batch], colour_of(position)
        if isinstance(timing, NotMeasured):
            note = f"not measured: {timing.reason}"
            bars.append(Bar(variant.name, colour, median=None, p99=None, text="", note=note))
            continue
        p50 = facts.device_cell(variant.name, f"latency_b{batch}_ms", "p50").text
        speed = facts.device_cell(variant.name, f"speedup_b{batch}_ratio", "value")
        text = f"{p50} · {speed.text}" if speed.kind == "number" else p50
        tail = timing.percentiles.get("p99")
        p99 = tail.value if tail else None
        note = f"median, P99 {p99:.4g} ms" if p99 else "median"
        bars.append(Bar(variant.name, colour, median=timing.p50_ms, p99=p99, text=text, note=note))
    plural = "samples" if batch > 1 else "sample"
    return Picture(
        title=f"Latency, batch {batch}",
        lead=f"One request of {batch} {plural}, one at a time. Bar: median, from zero. "
        "Tick: P99, if enough requests bound it. "
        f"After the dot: speed relative to {findings.reference.name}.",
        svg=latency_bars(bars, f"Median and P99 latency of each variant at batch {batch}, in ms"),
    )


def draw_percentiles(findings: Findings, batch: int) -> Picture:
    """Draw the latency of every timed variant by percentile."""
    title = f"Latency by percentile, batch {batch}"
    series = [
        Series(variant.name, colour_of(position), [point[1:] for point in timing.curve_ms])
        for position, variant in enumerate(findings.variants)
        if isinstance(timing := variant.timings[batch], Timing)
    ]
    lead = (
        "Where a service-level objective is read: the latency within which a share of the "
        "requests was answered, as far as ten requests lie beyond."
    )
    if not series:
        return Picture(title, lead, svg=None, absent="no variant was timed")
    return Picture(title, lead, svg=percentile_curves(series, title))


def draw_rounds(findings: Findings, batch: int) -> Picture:
    """Draw every contender's median per round: was the machine steady?"""
    series = []
    for position, variant in enumerate(findings.variants):
        timing = variant.timings[batch]
        if isinstance(timing, Timing):
            points = [
                (float(number), 100 * (median_ms / timing.p50_ms - 1))
                for number, median_ms in sorted(timing.values_ms[HEADLINE].items())
            ]
            series.append(Series(variant.name, colour_of(position), points))
    lead = (
        "Each variant's median in every round, relative to its own median over all rounds. "
        "Lines that move together are the machine; a line alone is the variant."
    )
    left_out = findings.selection.left_out
    if left_out:
        lead += f" Rounds in brackets were disturbed and count in no figure: {len(left_out)}."
    title = f"Round by round, batch {batch}"
    if not series:
        return Picture(title, lead, svg=None, absent="no variant was timed")
    return Picture(title, lead, svg=round_lines(series, title, left_out=left_out))


def draw_scores(findings: Findings, facts: Facts) -> Picture:
    """Draw how much of the main score each variant loses or gains."""
    metric = main_score(findings)
    if metric is None:
        return Picture("Score", "", svg=None, absent="no labels, or no variant was evaluated")
    changes = []
    for position, variant in enumerate(findings.variants[1:], start=1):
        name = drop_name(metric)
        drop, colour = facts.number(variant.name, "scores", name), colour_of(position)
        if drop is None:
            reason = (
                variant.scores.reason
                if isinstance(variant.scores, NotMeasured)
                else "the reference has no score on the same samples"
            )
            changes.append(Change(variant.name, colour, drop=None, text=f"not measured: {reason}"))
        else:
            text = facts.score_cell(variant.name, name).text
            changes.append(Change(variant.name, colour, drop=drop, text=f"drop {text}"))
    title = f"{score_title(metric)} against {findings.reference.name}"
    limit = findings.settings.budget.top1_drop_pp if metric == MAIN_SCORE else None
    lead = "The same samples for all. Left of zero is a loss."
    if limit is not None:
        lead += " Shaded: the loss that the budget allows."
    return Picture(title, lead, svg=score_changes(changes, title, limit=limit))
