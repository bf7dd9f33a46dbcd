"""What a reader takes away first: before -> after, how noisy the session was, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trtproof.measure.verdict import Word
from trtproof.report.calibration import calibration_warnings
from trtproof.report.cells import NOT_MEASURED, Facts, format_number
from trtproof.report.controls import TOO_FEW, control_text, list_controls, noise_floor
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, Plan, Run, VariantFindings
from trtproof.report.place import elsewhere_text
from trtproof.report.quiet import BUSY_LOAD_PER_CORE, QUIET_SHARE
from trtproof.report.session_texts import cause_text
from trtproof.report.tables import score_names, score_title
from trtproof.report.targets import MAIN_SCORE, at_batch, main_batch
from trtproof.report.torch_best import torch_key
from trtproof.report.torch_tables import best_name, best_sentence, best_text, word_text

FILES_NAMED: Final = 3
"""Changed files that the headline names; the page's last part names all."""


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen: after, and what was before."""

    label: str
    value: str
    detail: str


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


def make_tiles(findings: Findings, facts: Facts) -> list[Tile]:
    """Return the headline of the fastest variant beside the reference, good or bad."""
    variant, batch = fastest_variant(findings), main_batch(findings)
    name = variant.name if variant else ""
    return [
        _before_after(facts, f"Median latency{at_batch(findings)}", (findings.reference.name, name),
                      (facts.slug, f"latency_b{batch}_ms", "p50"), "ms"),
        _speed_tile(findings, facts, variant),
        _torch_tile(findings, facts, name),
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
    return [
        *warnings,
        *_origin_warnings(findings),
        *_graph_warnings(findings),
        *_placement_warnings(findings),
        *calibration_warnings(findings),
        *_noise_warnings(findings),
    ]


def changed_text(run: Run) -> str:
    """Return how the working tree differed from the commit when the session was measured."""
    if run.changed is None:
        return "whether files differed from it was not recorded"
    if not run.changed:
        return "no tracked file differed from it"
    more = len(run.changed) - FILES_NAMED
    names = ", ".join(run.changed[:FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
    plural = "files" if len(run.changed) > 1 else "file"
    return f"{len(run.changed)} tracked {plural} differed from it: {names}"


def _origin_warnings(findings: Findings) -> list[str]:
    """Return where the figures are not those of this commit, or not of this machine."""
    run, warnings = findings.run, []
    if isinstance(run, Run) and run.changed:
        commit = run.commit[:12]
        warnings.append(
            f"Measured with uncommitted changes: commit {commit} alone does not give these "
            f"figures; {changed_text(run)}"
        )
    if elsewhere := elsewhere_text(findings):
        warnings.append(f"Restored, not measured here: {elsewhere}")
    return warnings


def _graph_warnings(findings: Findings) -> list[str]:
    """Return which variants asked for a CUDA graph and were timed without one, and why."""
    run = findings.run
    if not isinstance(run, Run):
        return []
    return [
        f"{name} asked for a CUDA graph and was timed without: "
        f"{run.engine(name).get('cuda_graph_failure', 'its launches were not captured')}"
        for name, captured in run.graphs.items()
        if not captured
    ]


def _placement_warnings(findings: Findings) -> list[str]:
    """Return which variants of a GPU computed a part of their graph on the CPU, and which part."""
    return [
        f"{variant.name} computes {count} of {variant.plan.details['nodes_count']} nodes on the "
        f"CPU, and copies there and back: {', '.join(variant.plan.details['cpu_nodes'])}"
        for variant in findings.variants
        if isinstance(variant.plan, Plan)
        and (count := variant.plan.details.get("cpu_nodes_count", 0))
    ]


def _noise_warnings(findings: Findings) -> list[str]:
    """Return what the session itself says against its figures."""
    run, selection, warnings = findings.run, findings.selection, []
    if selection.mostly_disturbed:
        warnings.append(
            f"{Word.INCONCLUSIVE}: {len(selection.causes)} of {len(selection.kept)} rounds were "
            f"disturbed ({cause_text(findings)}); all of them are in the figures"
        )
    named = {variant.name: variant for variant in findings.variants}
    for name in list_controls(findings):
        floors = [noise_floor(named[name], batch) for batch in findings.batches]
        floor = max((value for value in floors if value is not None), default=0.0)
        if floor > QUIET_SHARE:
            warnings.append(
                f"Noisy: two runs of {name} may differ by {100 * floor:.0f} % here, so speed-ups "
                "over it are rough"
            )
    if isinstance(run, Run) and (run.load_per_core or 0) > BUSY_LOAD_PER_CORE:
        warnings.append(
            f"Busy machine: {run.load_per_core:.1f} tasks per core wanted to run before this "
            "session began, so its figures are indicative"
        )
    if isinstance(run, Run) and run.unsettled:
        warnings.append(f"Warm-up did not settle for {', '.join(run.unsettled)}")
    if isinstance(run, Run) and run.cut_short:
        warnings.append("Fewer requests than the profile wants fitted into benchmark.max_minutes")
    if isinstance(run, Run) and run.out_of_time:
        names = ", ".join(run.out_of_time)
        warnings.append(f"benchmark.scenario_minutes were over: not measured: {names}")
    return warnings


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


def _speed_tile(findings: Findings, facts: Facts, variant: VariantFindings | None) -> Tile:
    batch = main_batch(findings)
    label = f"Speed, {findings.reference.name} = 1"
    noise = f"reference against itself {control_text(findings, facts, batch)}"
    verdict = variant.verdict(batch) if variant else None
    if variant is None or verdict is None or isinstance(verdict, NotMeasured):
        return Tile(label, NOT_MEASURED, noise)
    key = f"speedup_b{batch}_ratio"
    interval = facts.interval(variant.name, key)
    spread = f"95 % {interval}" if interval else TOO_FEW
    word = verdict.word if verdict.gates else f"{verdict.word}, indicative"
    value = facts.device_cell(variant.name, key, "value").text
    if verdict.word is Word.INCONCLUSIVE:  # a large number would be quoted without its word
        return Tile(label, verdict.word, f"{value}, {spread}; {noise}")
    return Tile(label, value, f"{word}; {spread}; {noise}")


def _torch_tile(findings: Findings, facts: Facts, name: str) -> Tile:
    """Return the fastest variant beside the best PyTorch setting: never the reference alone."""
    batch, label = main_batch(findings), "Speed, best PyTorch setting = 1"
    said, best = best_text(findings, batch), best_name(findings, batch)
    if batch is None or not best or not name:
        return Tile(label, NOT_MEASURED, said)
    if best == name:
        return Tile(label, "1", said)
    value = facts.device_cell(name, torch_key(HEADLINE, batch), "value").text
    interval = facts.interval(name, torch_key(HEADLINE, batch))
    spread = f"95 % {interval}" if interval else TOO_FEW
    word = word_text(findings, name, batch)
    own = best != findings.reference.name and best in list_controls(findings)
    noise = control_text(findings, facts, batch, best if own else None)
    said = f"{said}; {best if own else 'reference'} against itself {noise}"
    if word.startswith(Word.INCONCLUSIVE):
        return Tile(label, Word.INCONCLUSIVE, f"{value}, {spread}; {said}")
    return Tile(label, value, f"{word}; {spread}; {said}")


def speed_sentence(findings: Findings, facts: Facts) -> str:
    """Return what the fastest variant is to the reference, in one sentence; empty without one."""
    variant, batch = fastest_variant(findings), main_batch(findings)
    verdict = variant.verdict(batch) if variant else None
    if variant is None or verdict is None or isinstance(verdict, NotMeasured):
        return ""
    key = f"speedup_b{batch}_ratio"
    interval = facts.interval(variant.name, key)
    value = facts.device_cell(variant.name, key, "value").text
    spread = f"95 % interval {interval}" if interval else TOO_FEW
    word = verdict.word if verdict.gates else f"{verdict.word}, indicative"
    reference = findings.reference.name
    return (
        f"Smallest median{at_batch(findings)}: {variant.name}, {value} as fast as {reference} "
        f"({spread}): {word}. {reference} against its own second run: "
        f"{control_text(findings, facts, batch)}. "
        f"{best_sentence(findings, facts, variant.name, batch or 0)}"
    )


def _score_tile(findings: Findings, facts: Facts, name: str) -> Tile:
    metric = main_score(findings)
    if metric is None:
        return Tile("Score", NOT_MEASURED, "no labels, or no variant was evaluated")
    names = (findings.reference.name, name)
    unit = metric.rpartition("_")[2]
    return _before_after(facts, f"{score_title(metric)} score", names, ("scores", metric), unit)
