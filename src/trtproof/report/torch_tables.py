"""What is said of PyTorch's settings: which one is the best, and how each of them ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from trtproof.report.cells import Cell, Column, Facts, Table, absent_cell, format_number, name_cell
from trtproof.report.controls import control_text
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.findings import Findings, Plan, Run, VariantFindings
from trtproof.report.torch_best import TORCH, TorchBest, torch_key

DTYPE: Final = "float32"
"""What backend torch computes in unless its options say otherwise."""

COMPILE_SECONDS: Final = "compile_s"
"""What the backend calls the time that torch.compile took, among what it says of a run or build."""

UNTOLD_COMPILE: Final = "the backend did not tell it apart"


def setting_text(variant: VariantFindings, run: Run | NotMeasured) -> str:
    """Return how a variant of backend torch ran, as its engine said, or else as it was set."""
    facts = _facts(variant, run)
    parts = [str(facts.get("execution", "eager")), str(facts.get("dtype", DTYPE))]
    if facts.get("device") != "cpu":
        parts.append(f"TF32 {'on' if variant.config.build.tf32 else 'off'}")
    for name, text in (("channels_last", "channels-last"), ("cudnn_benchmark", "cuDNN search")):
        parts += [text] if facts.get(name) else []
    if variant.config.run.cuda_graph:
        captured = facts.get("cuda_graph_captured", 1)
        parts.append("CUDA graph" if captured else "CUDA graph asked for, not captured")
    return ", ".join(parts)


def best_text(findings: Findings, batch: int | None) -> str:
    """Return which PyTorch setting is the best at a batch size, in a sentence without its end."""
    best = findings.best_torch.get(batch) if batch else None
    if best is None:
        return "Best PyTorch setting: not measured: no batch size was timed"
    if isinstance(best, NotMeasured):
        return f"Best PyTorch setting: not measured: {best.reason}"
    reference = findings.reference.name
    if best.timed == (reference,):
        return f"{reference}, the reference, is the only PyTorch setting measured"
    setting = setting_text(_variant(findings, best.name), findings.run)
    itself = ", the reference itself" if best.name == reference else ""
    return f"Best of {len(best.timed)} PyTorch settings: {best.name}{itself} ({setting})"


def best_notes(findings: Findings) -> list[str]:
    """Return `best_text` of every batch size as sentences, once where all are alike."""
    said = {batch: best_text(findings, batch) for batch in findings.batches}
    if len(set(said.values())) == 1:
        return [f"{next(iter(said.values()))}."]
    return [f"Batch {batch}: {text}." for batch, text in said.items()]


def best_name(findings: Findings, batch: int | None) -> str:
    """Return the name of the best PyTorch setting, empty where none was measured."""
    best = findings.best_torch.get(batch) if batch else None
    return best.name if isinstance(best, TorchBest) else ""


def best_sentence(findings: Findings, facts: Facts, variant: str, batch: int) -> str:
    """Return what a variant is to the best PyTorch setting, in one sentence."""
    said, name = best_text(findings, batch), best_name(findings, batch)
    if not name or name == variant:
        return f"{said}."
    ratio = facts.device_cell(variant, torch_key(HEADLINE, batch), "value").text
    interval = facts.interval(variant, torch_key(HEADLINE, batch))
    spread = f"95 % interval {interval}" if interval else "too few rounds for an interval"
    word = word_text(findings, variant, batch)
    return f"{said}; {variant} is {ratio} as fast as it ({spread}): {word}."


def beside_best(
    findings: Findings, facts: Facts, variant: VariantFindings, batch: int | None
) -> str:
    """Return a variant's ratio to the best PyTorch setting, empty where that is the reference."""
    best, key = best_name(findings, batch), torch_key(HEADLINE, batch or 0)
    ratio = facts.device_cell(variant.name, key, "value")
    if best == findings.reference.name or ratio.kind != "number":
        return ""
    interval = facts.interval(variant.name, key) or "too few rounds for an interval"
    return f"{ratio.text} ({interval}) with {best} = 1, the best PyTorch setting"


def word_text(findings: Findings, name: str, batch: int) -> str:
    """Return the verdict against the best PyTorch setting by the headline figure, in words."""
    found = _variant(findings, name).against_torch[batch]
    if isinstance(found, NotMeasured):
        return found.reason
    verdict = found[HEADLINE].verdict
    return verdict.word.value if verdict.gates else f"{verdict.word}, indicative"


def best_column(findings: Findings, batch: int) -> Column:
    """Return the heading of the ratios to the best PyTorch setting."""
    name = best_name(findings, batch)
    return Column(f"Speed, best PyTorch{f' ({name})' if name else ''} = 1", is_number=True)


def best_cell(findings: Findings, facts: Facts, variant: VariantFindings, batch: int) -> Cell:
    """Return a variant's ratio to the best PyTorch setting, with its interval and word."""
    best, found = findings.best_torch[batch], variant.against_torch[batch]
    if isinstance(best, TorchBest) and best.name == variant.name:
        own = batch in variant.controls and variant is not findings.reference
        noise = f"second run: {control_text(findings, facts, batch, best.name)}" if own else ""
        return Cell("the best PyTorch setting", kind="number", detail=noise)
    if isinstance(found, NotMeasured):
        return absent_cell(found.reason)
    key = torch_key(HEADLINE, batch)
    interval = facts.interval(variant.name, key)
    spread = f"95 % {interval}" if interval else "too few rounds"
    detail = f"{spread}; {word_text(findings, variant.name, batch)}"
    return replace(facts.device_cell(variant.name, key, "value"), detail=detail)


def torch_table(findings: Findings, facts: Facts) -> Table:
    """Return every PyTorch setting with its medians; no rows where there is no such variant."""
    batches = list(findings.batches)
    columns = (
        Column("Variant"),
        Column("Setting"),
        Column("torch.compile took", is_number=True),
        *(Column(f"Median, batch {batch}", is_number=True) for batch in batches),
    )
    rows: list[Sequence[Cell]] = []
    for position, variant in enumerate(findings.variants):
        if variant.config.backend != TORCH:
            continue
        name = name_cell(variant.name, position)
        if variant.status != "built":
            rows.append((name, absent_cell(variant.reason, span=len(columns) - 1)))
            continue
        setting = Cell(setting_text(variant, findings.run))
        medians = [_median_cell(findings, facts, variant, batch) for batch in batches]
        rows.append((name, setting, _compile_cell(variant, findings.run), *medians))
    return Table(columns=columns, rows=rows, notes=best_notes(findings))


def _median_cell(findings: Findings, facts: Facts, variant: VariantFindings, batch: int) -> Cell:
    timing = variant.timings[batch]
    if not isinstance(timing, Timing):
        return absent_cell(timing.reason)
    detail = "the best" if best_name(findings, batch) == variant.name else ""
    return replace(facts.device_cell(variant.name, f"latency_b{batch}_ms", "p50"), detail=detail)


def _compile_cell(variant: VariantFindings, run: Run | NotMeasured) -> Cell:
    facts = _facts(variant, run)
    seconds = facts.get(COMPILE_SECONDS)
    if isinstance(seconds, int | float):
        return Cell(format_number(float(seconds), "s"), kind="number")
    if facts.get("compile") or "compile" in str(facts.get("execution", "")):
        return absent_cell(UNTOLD_COMPILE)
    return Cell("not compiled")


def _facts(variant: VariantFindings, run: Run | NotMeasured) -> Mapping[str, Any]:
    """Return what was set, what the build said and what the timed engine said, the last first."""
    built = variant.plan.details if isinstance(variant.plan, Plan) else {}
    ran = run.engine(variant.name) if isinstance(run, Run) else {}
    return {**variant.config.build.options, **built, **ran}


def _variant(findings: Findings, name: str) -> VariantFindings:
    return next(item for item in findings.variants if item.name == name)
