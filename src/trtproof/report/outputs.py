"""All files of a report, as texts by their place below a folder.

The stage puts them into metrics/ and artifacts/report/; a partial report keeps them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trtproof import artifacts
from trtproof.report.cells import Facts
from trtproof.report.findings import Findings
from trtproof.report.markdown import render_markdown
from trtproof.report.metrics import make_metrics
from trtproof.report.page import render_page
from trtproof.report.picture_files import render_pictures
from trtproof.report.plots import render_plots

PAGE: Final = Path("index.html")
SUMMARY: Final = Path("report.md")
VARIANTS: Final = Path("variants")
PLOTS: Final = Path("plots")


def render_report(findings: Findings) -> Mapping[Path, str]:
    """Return relative path -> text of the page, the summary, the metrics, plots and pictures."""
    metrics = make_metrics(findings)
    facts = Facts(metrics, findings.hardware.slug)
    files = {PAGE: render_page(findings, facts), SUMMARY: render_markdown(findings, facts)}
    for variant, figures in metrics.items():
        files[VARIANTS / f"{variant}.json"] = artifacts.to_json(figures)
    for name, text in render_plots(findings, facts).items():
        files[PLOTS / name] = text
    return files | {Path(name): text for name, text in render_pictures(findings, facts).items()}
