"""index.html: one file, readable without network and JavaScript, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trtproof import artifacts
from trtproof.report import pictures, scenario_tables, tables, theme, timing_tables
from trtproof.report.cells import NOT_MEASURED, Facts, colour_of
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Run
from trtproof.report.headline import fastest_variant, make_tiles, make_warnings
from trtproof.report.ladder_tables import ladder_table
from trtproof.report.session_texts import (
    answers_text,
    control_text,
    harness_text,
    left_out_text,
    warmup_text,
)
from trtproof.report.sources import flatten
from trtproof.report.targets import judge_targets, main_batch

TEMPLATE = "page.html.j2"


def render_page(findings: Findings, facts: Facts) -> str:
    """Return the page; every text in it is escaped."""
    environment = Environment(
        loader=PackageLoader("trtproof.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["svg"] = Markup  # only our own drawings, whose texts are escaped
    return environment.get_template(TEMPLATE).render(_context(findings, facts))


def _context(findings: Findings, facts: Facts) -> dict[str, Any]:
    batch, fastest = main_batch(findings), fastest_variant(findings)
    return {
        "light": theme.to_css(theme.LIGHT),
        "dark": theme.to_css(theme.DARK),
        "findings": findings,
        "settings": findings.settings,
        "run": findings.run if isinstance(findings.run, Run) else None,
        "run_absent": findings.run.reason if isinstance(findings.run, NotMeasured) else "",
        "warnings": make_warnings(findings),
        "samples": _samples_text(findings),
        "verdicts": judge_targets(findings, facts),
        "tiles": make_tiles(findings, facts),
        "fastest": fastest.name if fastest else "",
        "batches": [_of_batch(findings, facts, size) for size in findings.batches],
        "percentiles": [pictures.draw_percentiles(findings, size) for size in findings.batches],
        "rounds": pictures.draw_rounds(findings, batch) if batch else None,
        "noise": [(size, control_text(findings, facts, size)) for size in findings.batches],
        "left_out": left_out_text(findings),
        "harness": harness_text(findings),
        "warmup": warmup_text(findings),
        "score_picture": pictures.draw_scores(findings, facts),
        "score_table": tables.score_table(findings, facts),
        "difference_table": tables.difference_table(findings),
        "plan_table": tables.plan_table(findings, facts),
        "audit_table": tables.audit_table(findings),
        "ladder_table": ladder_table(findings.ladder),
        "load_table": scenario_tables.load_table(findings, facts),
        "sustained_table": scenario_tables.sustained_table(findings, facts),
        "cold_table": scenario_tables.cold_table(findings, facts),
        "answers": answers_text(findings),
        "variants": _variant_rows(findings),
        "environment": _environment(findings),
        "hashes": [(path.as_posix(), artifacts.sha256_file(path)) for path in findings.sources],
    }


def _of_batch(findings: Findings, facts: Facts, batch: int) -> Mapping[str, Any]:
    return {
        "size": batch,
        "bars": pictures.draw_bars(findings, facts, batch),
        "latency": timing_tables.latency_table(findings, facts, batch),
        "percentiles": timing_tables.percentile_table(findings, facts, batch),
        "verdicts": timing_tables.verdict_table(findings, facts, batch),
    }


def _variant_rows(findings: Findings) -> Sequence[tuple[str, str, str, str]]:
    """Return name, colour, status and reason of every variant."""
    return [
        (variant.name, colour_of(position), variant.status, variant.reason)
        for position, variant in enumerate(findings.variants)
    ]


def _samples_text(findings: Findings) -> str:
    counts = {
        variant.scores.samples_count
        for variant in findings.variants
        if not isinstance(variant.scores, NotMeasured)
    }
    if not counts:
        return f"scores {NOT_MEASURED}"
    kind = "synthetic" if findings.synthetic else "real"
    return f"{' and '.join(f'{count:,}' for count in sorted(counts))} {kind} evaluation samples"


def _environment(findings: Findings) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Return titled groups of facts, as they were recorded."""
    hardware = findings.hardware
    groups: list[tuple[str, Mapping[str, Any]]] = [("Machine", flatten(hardware.bench))]
    groups += [
        (f"Engine {name}", flatten(facts) or {"this backend": "not on this machine"})
        for name, facts in sorted(hardware.engine.items())
    ]
    if isinstance(findings.run, Run) and findings.run.machine:
        groups.append(("While measuring", findings.run.machine))
    if isinstance(findings.calibration, NotMeasured):
        groups.append(("Calibration samples", {NOT_MEASURED: findings.calibration.reason}))
    else:
        groups.append(("Calibration samples", _calibration_facts(findings.calibration)))
    return groups


def _calibration_facts(coverage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the facts with the classes' counts on one line."""
    counts = coverage.get("class_counts")
    if not isinstance(counts, Mapping):
        return flatten(coverage)
    line = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return flatten({**coverage, "class_counts": line})


def write_report(findings: Findings, facts: Facts, folder: Path) -> Path:
    """Write index.html into a folder and return its path."""
    path = folder / "index.html"
    artifacts.write_text(path, render_page(findings, facts))
    return path
