"""index.html: one file, readable without network and JavaScript, on a phone and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trtproof import artifacts
from trtproof.report import (
    device_tables,
    pictures,
    scenario_tables,
    score_tables,
    tables,
    theme,
    timing_tables,
)
from trtproof.report.advice import advice_table
from trtproof.report.calibration import (
    calibration_facts,
    calibration_table,
    calibration_title,
)
from trtproof.report.cells import NOT_MEASURED, Facts, colour_of
from trtproof.report.controls import control_text
from trtproof.report.engines import show_engines
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Findings, Run
from trtproof.report.gpu_tables import energy_table, memory_table
from trtproof.report.headline import fastest_variant, make_tiles, make_warnings, speed_sentence
from trtproof.report.imported import show_imports
from trtproof.report.ladder_tables import ladder_table
from trtproof.report.pictures import Picture
from trtproof.report.place import elsewhere_text
from trtproof.report.protocol_tables import protocol_table
from trtproof.report.provenance import identity_rows, reproduce_lines
from trtproof.report.quiet import quiet_table
from trtproof.report.sources import flatten
from trtproof.report.targets import judge_targets, main_batch
from trtproof.report.texts import clean
from trtproof.report.torch_tables import torch_table

TEMPLATE = "page.html.j2"


def render_page(findings: Findings, facts: Facts) -> str:
    """Return the page; every text in it is escaped."""
    return make_environment().get_template(TEMPLATE).render(_context(findings, facts))


def make_environment() -> Environment:
    """Return what renders templates into pages: all texts are escaped, nothing may be undefined."""
    environment = Environment(
        loader=PackageLoader("trtproof.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_clean,
    )
    environment.filters["svg"] = Markup  # only our own drawings, whose texts are escaped
    return environment


def _clean(value: Any) -> Any:
    """Return a text with its hidden characters made visible; our own markup as it is."""
    return clean(value) if type(value) is str else value


def _context(findings: Findings, facts: Facts) -> dict[str, Any]:
    fastest = fastest_variant(findings)
    return {
        "light": theme.to_css(theme.LIGHT),
        "dark": theme.to_css(theme.DARK),
        "findings": findings,
        "settings": findings.settings,
        "run": findings.run if isinstance(findings.run, Run) else None,
        "warnings": make_warnings(findings),
        "identity": identity_rows(findings),
        "verdicts": judge_targets(findings, facts),
        "speed_sentence": speed_sentence(findings, facts),
        "tiles": make_tiles(findings, facts),
        "fastest": fastest.name if fastest else "",
        "batches": [_of_batch(findings, facts, size) for size in findings.batches],
        "absent_pictures": _absent_pictures(findings),
        "score_picture": pictures.draw_scores(findings, facts),
        "score_table": tables.score_table(findings, facts),
        "drop_table": score_tables.drop_table(findings, facts),
        "relative_table": score_tables.relative_table(findings, facts),
        "difference_table": tables.difference_table(findings),
        "plan_table": tables.plan_table(findings, facts),
        "engines": show_engines(findings, facts),
        "imports": show_imports(findings.imports),
        "audit_table": tables.audit_table(findings),
        "calibration_title": calibration_title(findings),
        "calibration_table": calibration_table(findings),
        "ladder_table": ladder_table(findings.ladder),
        "variants": _variant_rows(findings),
        "environment": _environment(findings),
        "elsewhere": elsewhere_text(findings),
        "reproduce": reproduce_lines(findings),
        "hashes": [(path.as_posix(), artifacts.sha256_file(path)) for path in findings.sources],
        **_session_context(findings, facts),
    }


def _session_context(findings: Findings, facts: Facts) -> dict[str, Any]:
    """Return what is shown of a session as a whole, besides its latencies."""
    batch = main_batch(findings)
    return {
        "loads": pictures.draw_loads(findings),
        "load_table": scenario_tables.load_table(findings, facts),
        "starts": pictures.draw_starts(findings, facts),
        "control": control_text(findings, facts, batch),
        "torch_table": torch_table(findings, facts),
        "protocol_table": protocol_table(findings, facts),
        "parts": device_tables.draw_parts(findings, facts),
        "parts_table": device_tables.parts_table(findings, facts),
        "advice_table": advice_table(findings),
        "device_table": device_tables.device_table(findings, facts),
        "sustained_table": scenario_tables.sustained_table(findings, facts),
        "cold_table": scenario_tables.cold_table(findings, facts),
        "energy_table": energy_table(findings, facts),
        "memory_table": memory_table(findings, facts),
        "quiet_table": quiet_table(findings, facts),
        "rounds": pictures.draw_rounds(findings, batch) if batch else None,
    }


def _of_batch(findings: Findings, facts: Facts, batch: int) -> Mapping[str, Any]:
    return {
        "size": batch,
        "bars": pictures.draw_bars(findings, facts, batch),
        "latency": timing_tables.latency_table(findings, facts, batch),
        "curves": pictures.draw_percentiles(findings, batch),
        "percentiles": timing_tables.percentile_table(findings, facts, batch),
        "verdicts": timing_tables.verdict_table(findings, facts, batch),
        "distribution": pictures.draw_distribution(findings, batch),
    }


def _absent_pictures(findings: Findings) -> Sequence[Picture]:
    """Return the charts of latency with the reason why there are none; empty where there are."""
    if findings.batches:
        return ()
    run = findings.run
    why = run.reason if isinstance(run, NotMeasured) else "the benchmark left no samples"
    titles = ("Latency", "Latency by percentile", "Distribution")
    return [Picture(title, "", svg=None, absent=why) for title in titles]


def _variant_rows(findings: Findings) -> Sequence[tuple[str, str, str, str]]:
    """Return name, colour, status and reason of every variant."""
    return [
        (variant.name, colour_of(position), variant.status, variant.reason)
        for position, variant in enumerate(findings.variants)
    ]


def _environment(findings: Findings) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Return titled groups of facts, as they were recorded."""
    hardware = findings.hardware
    none_known = {NOT_MEASURED: "no probe and no session recorded the machine"}
    bench = flatten(hardware.bench) or none_known
    groups: list[tuple[str, Mapping[str, Any]]] = [("Machine", bench)]
    groups += [
        (f"Engine {name}", flatten(facts) or {"this backend": "not on this machine"})
        for name, facts in sorted(hardware.engine.items())
    ]
    if isinstance(findings.run, Run) and findings.run.machine:
        groups.append(("While measuring", findings.run.machine))
    if isinstance(findings.run, Run):
        groups += [
            (f"How {name} ran", flatten(entry["engine"]))
            for name, entry in findings.run.variants.items()
            if entry.get("engine")
        ]
    if isinstance(findings.calibration, NotMeasured):
        groups.append(("Calibration samples", {NOT_MEASURED: findings.calibration.reason}))
    else:
        groups.append(("Calibration samples", calibration_facts(findings.calibration)))
    return groups
