"""Findings -> the data of each chart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trtproof.report.cells import Facts, colour_of
from trtproof.report.charts import (
    Bar,
    Limit,
    Series,
    latency_bars,
    percentile_curves,
    round_lines,
)
from trtproof.report.controls import control_text
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, VariantFindings
from trtproof.report.headline import main_score
from trtproof.report.load_charts import LoadLine, load_lines
from trtproof.report.metrics import drop_name
from trtproof.report.scenario_tables import PHASE_TITLES, shown_phases
from trtproof.report.scenarios import Load
from trtproof.report.score_charts import Change, score_changes
from trtproof.report.shape_charts import Spread, Stack, distribution_ridges, stacked_bars
from trtproof.report.tables import score_title
from trtproof.report.targets import main_batch
from trtproof.report.torch_best import torch_key
from trtproof.report.torch_tables import best_name, best_text, word_text

ENDS = ("lo", "hi")


@dataclass(frozen=True)
class Picture:
    """A chart with its heading and what it shows; `svg` is None where `absent` says why."""

    title: str
    lead: str
    svg: str | None
    absent: str = ""


def draw_bars(findings: Findings, facts: Facts, batch: int) -> Picture:
    """Draw every variant's median and P99 at one batch size."""
    bars = [
        replace(
            _bar(variant, facts, (batch, colour_of(position)), is_reference=position == 0),
            second=_torch_line(findings, facts, variant.name, batch),
        )
        for position, variant in enumerate(findings.variants)
    ]
    plural = "samples" if batch > 1 else "sample"
    reference = findings.reference.name
    lead = (
        f"One request of {batch} {plural}, one at a time. Bar: median, from zero. Whisker: its "
        "95 % interval. Tick: P99, where enough requests bound it. Speed: how many times as fast "
        f"as {reference}, with its 95 % interval; {reference} against its own second run: "
        f"{control_text(findings, facts, batch)}. {best_text(findings, batch)}."
    )
    label = f"Median and P99 latency of each variant at batch {batch}, in ms"
    return Picture(
        title=f"Latency, batch {batch}",
        lead=lead,
        svg=latency_bars(bars, label, limit=_limit(findings, batch)),
    )


def _bar(
    variant: VariantFindings, facts: Facts, place: tuple[int, str], *, is_reference: bool
) -> Bar:
    """Return one row; `place` is batch size and colour."""
    (batch, colour), timing = place, variant.timings[place[0]]
    if isinstance(timing, NotMeasured):
        note = f"not measured: {timing.reason}"
        return Bar(variant.name, colour, median=None, p99=None, text="", note=note)
    tail = timing.percentiles.get("p99")
    p99 = facts.device_cell(variant.name, f"latency_b{batch}_ms", "p99")
    notes = [f"P99 {p99.text}"] if p99.kind == "number" else []
    verdict, key = variant.verdict(batch), f"speedup_b{batch}_ratio"
    interval = facts.interval(variant.name, key)
    if is_reference:
        notes.insert(0, "reference")
    elif not isinstance(verdict, NotMeasured):
        speed = facts.device_cell(variant.name, key, "value").text
        shown = f"({interval})" if interval else "(too few rounds for an interval)"
        notes.insert(0, f"{speed} {shown} {verdict.word.value}")
    return Bar(
        name=variant.name,
        colour=colour,
        median=timing.p50_ms,
        p99=tail.value if tail else None,
        text=facts.device_cell(variant.name, f"latency_b{batch}_ms", "p50").text,
        note=", ".join(notes),
        bounds=timing.percentiles["p50"].bounds,
    )


def _torch_line(findings: Findings, facts: Facts, variant: str, batch: int) -> str:
    """Return the ratio to the best PyTorch setting, empty where that is the reference or itself."""
    best, key = best_name(findings, batch), torch_key(HEADLINE, batch)
    ratio = facts.device_cell(variant, key, "value")
    if best == findings.reference.name or ratio.kind != "number":
        return ""
    interval = facts.interval(variant, key) or "too few rounds for an interval"
    word = word_text(findings, variant, batch).partition(",")[0]
    return f"{ratio.text} ({interval}) {word}, best PyTorch = 1"


def _limit(findings: Findings, batch: int) -> Limit | None:
    """Return the P99 target, which is about the headline's batch size alone."""
    limit_ms = findings.settings.budget.latency_p99_ms
    if limit_ms is None or batch != main_batch(findings):
        return None
    return Limit(limit_ms, f"P99 target {limit_ms:g} ms")


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
    return Picture(title, lead, svg=percentile_curves(series, title, limit=_limit(findings, batch)))


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


def draw_distribution(findings: Findings, batch: int) -> Picture:
    """Draw how every timed variant's latencies are spread."""
    title = f"Distribution, batch {batch}"
    spreads = [
        Spread(variant.name, colour_of(position), timing.latencies_ms)
        for position, variant in enumerate(findings.variants)
        if isinstance(timing := variant.timings[batch], Timing)
    ]
    lead = (
        "All counted requests of each variant around its own median, every histogram as high as "
        "its peak. A narrow hill is a predictable engine."
    )
    if not spreads:
        return Picture(title, lead, svg=None, absent="no variant was timed")
    return Picture(title, lead, svg=distribution_ridges(spreads, title))


def draw_starts(findings: Findings, facts: Facts) -> Picture:
    """Draw from what parts a cold start of every variant is made."""
    title, stacks = "Where the time goes: cold start", []
    shown = shown_phases(findings)
    for variant in findings.variants:
        cold = variant.scenarios.cold
        if isinstance(cold, NotMeasured):
            stacks.append(Stack(variant.name, (), "", note=f"not measured: {cold.reason}"))
        else:
            parts_ms = [cold.phases_ms.get(phase, 0.0) for phase in shown]
            total = facts.device_cell(variant.name, "cold_ms", "total").text
            stacks.append(Stack(variant.name, parts_ms, total))
    lead = (
        "From the start of a process to its first answer: medians over fresh processes, part by "
        "part. At the right: the median of the whole."
    )
    if not any(stack.parts_ms for stack in stacks):
        absent = stacks[0].note.removeprefix("not measured: ")
        return Picture(title, lead, svg=None, absent=absent)
    names = [PHASE_TITLES[phase] for phase in shown]
    return Picture(title, lead, svg=stacked_bars(stacks, names, title))


def draw_loads(findings: Findings) -> Picture:
    """Draw throughput against tail latency by streams, a line per variant and batch size."""
    title = "Throughput against tail latency"
    loads = [
        (position, variant.name, load)
        for position, variant in enumerate(findings.variants)
        if not isinstance(variant.scenarios.throughput, NotMeasured)
        for load in variant.scenarios.throughput
    ]
    common = [
        name
        for name in ("p99", "p95", "p90", "p50")
        if loads and all(name in load.latencies_ms for _, _, load in loads)
    ]
    lead = (
        "Closed loop: every stream has one request in flight at all times; its latency includes "
        "waiting for the others. A number is how many streams there are."
    )
    if not common:
        return Picture(title, lead, svg=None, absent=_why_no_loads(findings))
    if common[0] != "p99":
        lead += f" Shown is {common[0].upper()}: there are too few requests for P99."
    lines = _load_lines(loads, common[0])
    return Picture(title, lead, svg=load_lines(lines, title, tail=common[0].upper()))


def _load_lines(loads: list[tuple[int, str, Load]], tail: str) -> list[LoadLine]:
    grouped: dict[tuple[int, str, int], list[tuple[float, float, int]]] = {}
    for position, name, load in loads:
        point = (load.rate_ips, load.latencies_ms[tail], load.streams)
        grouped.setdefault((position, name, load.batch), []).append(point)
    return [
        LoadLine(f"{name}, batch {batch}", colour_of(position), sorted(points, key=_streams))
        for (position, name, batch), points in grouped.items()
    ]


def _streams(point: tuple[float, float, int]) -> int:
    return point[2]


def _why_no_loads(findings: Findings) -> str:
    found = findings.reference.scenarios.throughput
    return found.reason if isinstance(found, NotMeasured) else "too few requests for any percentile"


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
            low, high = (facts.number(variant.name, "scores", f"{name}_ci_{end}") for end in ENDS)
            bounds = None if low is None or high is None else (low, high)
            changes.append(Change(variant.name, colour, drop, f"drop {text}", bounds))
    title = f"{score_title(metric)} against {findings.reference.name}"
    limit = findings.settings.budget.drop_limits.get(metric)
    lead = "The same samples for all. Left of zero is a loss. Whisker: 95 % interval, paired."
    if limit is not None:
        lead += " Shaded: the loss that the budget allows."
    return Picture(title, lead, svg=score_changes(changes, title, limit=limit))
