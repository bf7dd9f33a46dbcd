"""metrics/report.md: the report in about two kilobytes, its bars made of block characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trtproof.report.cells import Cell, Facts
from trtproof.report.controls import control_text, list_controls
from trtproof.report.figures import NotMeasured, Timing
from trtproof.report.findings import Findings, Run, VariantFindings
from trtproof.report.headline import main_score, make_warnings
from trtproof.report.metrics import drop_name
from trtproof.report.provenance import SHORT, variables_text
from trtproof.report.session_texts import harness_text, left_out_text
from trtproof.report.tables import score_title
from trtproof.report.targets import judge_targets, main_batch
from trtproof.report.texts import clean
from trtproof.report.torch_tables import best_cell, best_column, best_name, best_notes

BAR_CELLS: Final = 14
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
ENDING: Final = (
    "[Bars](latency.svg), [percentiles](percentiles.svg), [scores](scores.svg). Repeat: "
    "`dvc repro`. Sources of every figure: `artifacts/report/index.html`."
)
SPECIAL: Final = re.compile(r"([\\`*_\[\]|~>$])")
"""Characters that Markdown gives a meaning to inside a line."""


def render_markdown(findings: Findings, facts: Facts) -> str:
    """Return the whole file."""
    settings = findings.settings
    blocks = [
        f"## {escape(settings.model)}: before → after",
        _subject(findings),
        *(f"> **{escape(warning)}**" for warning in make_warnings(findings)),
        _verdicts(findings, facts),
        *(_latency(findings, facts, batch) for batch in findings.batches),
        *(escape(text) for text in best_notes(findings)),
        _noise(findings, facts),
        _scores(findings, facts),
        _absent(findings),
        ENDING,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown and the HTML inside it show as it is, on one line."""
    line = clean(text).replace("&", "&amp;").replace("<", "&lt;")
    return SPECIAL.sub(r"\\\1", line).replace("://", "&#58;//").replace("www.", "www&#46;")


def bar(value: float, highest: float) -> str:
    """Return a bar from zero, BAR_CELLS characters for the highest value."""
    eighths = round(value / highest * BAR_CELLS * 8) if highest > 0 else 0
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).strip() or EIGHTHS[1]


def _subject(findings: Findings) -> str:
    settings, run = findings.settings, findings.run
    if isinstance(run, Run):
        measured = (
            f"measured {run.when} at commit {run.commit[:SHORT]}, profile {run.profile}, "
            f"protocol {run.protocol}"
        )
    else:
        measured = f"latency not measured: {run.reason}"
    variables = f"set: {variables_text(run)}" if isinstance(run, Run) and run.variables else ""
    parts = (f"dataset {settings.dataset}", findings.hardware.slug, measured, variables)
    return " · ".join(escape(part) for part in parts if part)


def _verdicts(findings: Findings, facts: Facts) -> str:
    verdicts = judge_targets(findings, facts)
    if not verdicts:
        return ""
    rows = [
        (item.target, item.variant, item.limit, item.measured, item.word, item.why)
        for item in verdicts
    ]
    return _table(("Target", "Variant", "Limit", "Measured", "Verdict", "Why"), rows)


def _latency(findings: Findings, facts: Facts, batch: int) -> str:
    medians = [
        timing.p50_ms
        for variant in findings.variants
        if isinstance(timing := variant.timings[batch], Timing)
    ]
    rows = []
    for variant in findings.variants:
        timing = variant.timings[batch]
        if isinstance(timing, NotMeasured):
            continue
        key = f"latency_b{batch}_ms"
        p50, p99 = (facts.device_cell(variant.name, key, name) for name in ("p50", "p99"))
        speed, interval, word = "1 (reference)", "", ""
        if variant is not findings.reference:
            ratio = f"speedup_b{batch}_ratio"
            speed = facts.device_cell(variant.name, ratio, "value").text
            interval = facts.interval(variant.name, ratio)
            word = _words(variant, batch)
        drawn = bar(timing.p50_ms, max(medians))
        best = _against_best(findings, facts, variant, batch)
        rows.append((variant.name, p50.text, p99.text, speed, interval, word, *best, drawn))
    names = [best_column(findings, batch).title] if _is_shown(findings, batch) else []
    heads = (f"Batch {batch}", "Median", "P99", "Speed", "95 %", "Verdict", *names, "")
    return _table(heads, rows, numbers=range(1, 5)) if rows else ""


def _is_shown(findings: Findings, batch: int) -> bool:
    """Say whether the best PyTorch setting is another than the reference, so that ratios differ."""
    return best_name(findings, batch) not in {"", findings.reference.name}


def _against_best(
    findings: Findings, facts: Facts, variant: VariantFindings, batch: int
) -> list[str]:
    """Return the cell of the ratio to the best PyTorch setting, where that is a column."""
    if not _is_shown(findings, batch):
        return []
    cell = best_cell(findings, facts, variant, batch)
    return [f"{cell.text} ({cell.detail})" if cell.detail else cell.text]


def _words(variant: VariantFindings, batch: int) -> str:
    """Return the headline's word, and those of other figures that differ from it."""
    comparisons = variant.comparisons[batch]
    if isinstance(comparisons, NotMeasured):
        return f"not measured: {comparisons.reason}"
    headline, *others = comparisons.values()
    word = headline.verdict.word
    unlike = [
        f"{one.verdict.word} by {one.title}" for one in others if one.verdict.word is not word
    ]
    text = ", ".join([word.value, *unlike])
    return text if headline.verdict.gates else f"{text} (indicative)"


def _noise(findings: Findings, facts: Facts) -> str:
    if not findings.batches:
        return ""
    texts = []
    for name in list_controls(findings):
        runs = [control_text(findings, facts, size, name) for size in findings.batches]
        said = [f"batch {size} {run}" for size, run in zip(findings.batches, runs, strict=True)]
        texts.append(f"{name} against its own second run: {', '.join(said)}")
    return (
        f"Noise: {escape('; '.join(texts))}. "
        f"Rounds left out: {escape(left_out_text(findings))}. "
        f"Harness: {escape(harness_text(findings))}."
    )


def _scores(findings: Findings, facts: Facts) -> str:
    metric = main_score(findings)
    if metric is None:
        return ""
    rows = []
    for variant in findings.variants:
        if isinstance(variant.scores, NotMeasured):
            continue
        names = (metric, drop_name(metric), "agreement_pct")
        cells = [facts.score_cell(variant.name, name) for name in names]
        if variant is findings.reference:
            cells[1:] = [Cell("reference"), Cell("")]
        rows.append((variant.name, *(cell.text for cell in cells)))
    heads = ("Variant", score_title(metric), "Drop", "Same answer as the reference")
    return _table(heads, rows, numbers=range(1, 4))


def _absent(findings: Findings) -> str:
    batch = main_batch(findings)
    lines = []
    for variant in findings.variants:
        timing = variant.timings[batch] if batch else NotMeasured(variant.reason)
        if isinstance(timing, NotMeasured):
            lines.append(f"- {escape(variant.name)}: {escape(timing.reason)}")
    return "\n".join(["Not measured:", "", *lines]) if lines else ""


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()
) -> str:
    rule = ["--:" if position in numbers else ":--" for position in range(len(heads))]
    lines = [
        [escape(head) for head in heads],
        rule,
        *([escape(text) for text in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
