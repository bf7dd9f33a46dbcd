"""What a reader takes away first: verdicts against the budget, before -> after, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from trtproof.measure.stats import Ratio
from trtproof.report.cells import NOT_MEASURED, Facts, Tone, format_number
from trtproof.report.figures import Timing
from trtproof.report.findings import Findings, Run, VariantFindings
from trtproof.report.metrics import drop_name
from trtproof.report.tables import score_names, score_title

Word = Literal["met", "missed", "not measured"]
TONES: Final[dict[Word, Tone]] = {"met": "ok", "missed": "bad", "not measured": "warn"}
MAIN_SCORE: Final = "top1_pct"
QUIET_SHARE: Final = 0.05
"""How far the reference may be from itself on a quiet machine: wider than that is said first."""


@dataclass(frozen=True)
class Verdict:
    """One target and one variant."""

    target: str
    variant: str
    limit: str
    measured: str
    word: Word

    @property
    def tone(self) -> Tone:
        """Return the colour that the word is set in."""
        return TONES[self.word]


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen: after, and what was before."""

    label: str
    value: str
    detail: str


def main_batch(findings: Findings) -> int | None:
    """Return the batch size of the headline: the smallest that was timed."""
    return min(findings.batches, default=None)


def fastest_variant(findings: Findings) -> VariantFindings | None:
    """Return the variant with the smallest median besides the reference, slower or not."""
    batch = main_batch(findings)
    timed = [
        (timing.p50_ms, position)
        for position, variant in enumerate(findings.variants)
        if position and batch and isinstance(timing := variant.timings[batch], Timing)
    ]
    return findings.variants[min(timed)[1]] if timed else None


def main_score(findings: Findings) -> str | None:
    """Return the score of the headline: top-1 where there is one, else the first."""
    names = score_names(findings)
    return MAIN_SCORE if MAIN_SCORE in names else names[0] if names else None


def make_verdicts(findings: Findings, facts: Facts) -> list[Verdict]:
    """Return every target of the budget for every variant besides the reference.

    Figures are compared as they are shown, rounded.
    """
    budget, batch = findings.settings.budget, main_batch(findings)
    verdicts = []
    for variant in findings.variants[1:]:
        name = variant.name
        latency_ms = facts.on_device(name, f"latency_b{batch}_ms", "p50")
        ratio = facts.on_device(name, f"speedup_b{batch}_ratio", "value")
        drop_pp = facts.number(name, "scores", drop_name(MAIN_SCORE))
        if budget.latency_p50_ms is not None:
            target = f"Median latency{_at(batch)}"
            verdicts.append(_at_most(target, name, budget.latency_p50_ms, latency_ms, "ms"))
        if budget.speedup_ratio is not None:
            target = f"Speed-up over {findings.reference.name}{_at(batch)}"
            verdicts.append(_at_least(target, name, budget.speedup_ratio, ratio, "ratio"))
        if budget.top1_drop_pp is not None:
            verdicts.append(_at_most("Top-1 drop", name, budget.top1_drop_pp, drop_pp, "pp"))
    return sorted(verdicts, key=lambda verdict: verdict.target)


def make_tiles(findings: Findings, facts: Facts) -> list[Tile]:
    """Return the headline of the fastest variant beside the reference, good or bad."""
    variant, batch = fastest_variant(findings), main_batch(findings)
    name = variant.name if variant else ""
    return [
        _before_after(facts, f"Median latency{_at(batch)}", (findings.reference.name, name),
                      (facts.slug, f"latency_b{batch}_ms", "p50"), "ms"),
        _speed_tile(findings, facts, name, batch),
        _score_tile(findings, facts, name),
        _before_after(facts, "Plan on disk", (findings.reference.name, name),
                      (facts.slug, "plan_mib"), "mib"),
    ]  # fmt: skip


def make_warnings(findings: Findings) -> list[str]:
    """Return what must be known before any figure is read."""
    warnings = []
    if findings.synthetic:
        warnings.append("Synthetic inputs: latency is real, scores say nothing about the model")
    if findings.settings.random_weights:
        warnings.append("Random weights: latency is real, scores say nothing about the model")
    if isinstance(findings.run, Run) and findings.run.indicative:
        warnings.append(
            f"Profile {findings.run.profile}: indicative figures from a short run, "
            "not for decisions"
        )
    return [*warnings, *_noise_warnings(findings)]


def _noise_warnings(findings: Findings) -> list[str]:
    """Return what the session itself says against its figures."""
    run, warnings = findings.run, []
    ends = [
        abs(end - 1)
        for control in findings.control.values()
        if isinstance(control, Ratio)
        for end in (control.low, control.high)
        if end is not None
    ]
    if max(ends, default=0) > QUIET_SHARE:
        warnings.append(
            f"Busy machine: {findings.reference.name} against its own second run is uncertain by "
            f"{100 * max(ends):.0f} %, so speed-ups are rough"
        )
    if isinstance(run, Run) and run.unsettled:
        warnings.append(f"Warm-up did not settle for {', '.join(run.unsettled)}")
    if isinstance(run, Run) and run.cut_short:
        warnings.append("Fewer requests than the profile wants fitted into benchmark.max_minutes")
    return warnings


def control_text(findings: Findings, facts: Facts, batch: int | None) -> str:
    """Return the reference against its own second run: the noise of this session."""
    key = f"control_b{batch}_ratio"
    value = facts.on_device(findings.reference.name, key, "value")
    if value is None:
        return f"{NOT_MEASURED}: the reference has no second run here"
    interval = facts.interval(findings.reference.name, key)
    shown = f"95 % {interval}" if interval else "too few rounds for an interval"
    return f"{format_number(value, 'ratio')} ({shown})"


def _before_after(
    facts: Facts, label: str, names: tuple[str, str], path: tuple[str, ...], unit: str
) -> Tile:
    before = facts.number(names[0], *path)
    after = facts.number(names[1], *path) if names[1] else None
    was = NOT_MEASURED if before is None else format_number(before, unit)
    return Tile(
        label=label,
        value=NOT_MEASURED if after is None else format_number(after, unit),
        detail=f"{names[1] or 'no other variant was timed'}; with {names[0]}: {was}",
    )


def _speed_tile(findings: Findings, facts: Facts, name: str, batch: int | None) -> Tile:
    key = f"speedup_b{batch}_ratio"
    value = facts.on_device(name, key, "value") if name else None
    label = f"Speed, {findings.reference.name} = 1"
    noise = f"reference against itself {control_text(findings, facts, batch)}"
    if value is None:
        return Tile(label, NOT_MEASURED, noise)
    interval = facts.interval(name, key)
    spread = f"95 % {interval}" if interval else "too few rounds for an interval"
    return Tile(label, format_number(value, "ratio"), f"{spread}; {noise}")


def _score_tile(findings: Findings, facts: Facts, name: str) -> Tile:
    metric = main_score(findings)
    if metric is None:
        return Tile("Score", NOT_MEASURED, "no labels, or no variant was evaluated")
    names = (findings.reference.name, name)
    unit = metric.rpartition("_")[2]
    return _before_after(facts, f"{score_title(metric)} score", names, ("scores", metric), unit)


def _at(batch: int | None) -> str:
    return f", batch {batch}" if batch else ""


def _at_most(target: str, variant: str, limit: float, value: float | None, unit: str) -> Verdict:
    word: Word = "not measured" if value is None else "met" if value <= limit else "missed"
    return Verdict(target, variant, f"at most {limit:g}{_suffix(unit)}", _shown(value, unit), word)


def _at_least(target: str, variant: str, limit: float, value: float | None, unit: str) -> Verdict:
    word: Word = "not measured" if value is None else "met" if value >= limit else "missed"
    return Verdict(target, variant, f"at least {limit:g}{_suffix(unit)}", _shown(value, unit), word)


def _shown(value: float | None, unit: str) -> str:
    return NOT_MEASURED if value is None else format_number(value, unit)


def _suffix(unit: str) -> str:
    return format_number(0, unit).removeprefix("0")
