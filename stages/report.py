"""Write the before/after report from what the other stages recorded; it measures nothing."""

from __future__ import annotations

from pathlib import Path

from trtproof import artifacts, stage
from trtproof.config import BudgetConfig, RecipeConfig, VariantConfig, load_section
from trtproof.registry import extend_path
from trtproof.report.cells import Facts
from trtproof.report.findings import Settings
from trtproof.report.load import load_findings
from trtproof.report.manifest import make_manifest
from trtproof.report.markdown import render_markdown
from trtproof.report.metrics import make_metrics
from trtproof.report.page import write_report
from trtproof.report.plots import render_plots


def main() -> None:
    """Write metrics/variants/, metrics/plots/, metrics/report.md and artifacts/report/."""
    extend_path(load_section(list[str], "pythonpath"))  # scorers of the user's own
    findings = load_findings(read_settings())
    metrics = make_metrics(findings)
    facts = Facts(metrics, findings.hardware.slug)
    written: dict[Path, Path] = {}

    with artifacts.replace_folder(artifacts.VARIANT_METRICS) as folder:
        for variant, figures in metrics.items():
            artifacts.write_json(folder / f"{variant}.json", figures)
    with artifacts.replace_folder(artifacts.PLOTS) as folder:
        for name, text in render_plots(findings, facts).items():
            artifacts.write_text(folder / name, text)
    artifacts.write_text(artifacts.SUMMARY, render_markdown(findings, facts))
    for place in (artifacts.VARIANT_METRICS, artifacts.PLOTS, artifacts.SUMMARY):
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        written |= {path: path for path in files}

    with artifacts.replace_folder(artifacts.REPORT) as folder:
        page = write_report(findings, facts, folder)
        written[artifacts.REPORT / page.name] = page
        artifacts.write_json(folder / "manifest.json", make_manifest(findings.sources, written))


def read_settings() -> Settings:
    """Return what params.yaml says of the things shown."""
    return Settings(
        model=load_section(str, "model", "name"),
        random_weights=load_section(str, "model", "source") == "transformers"
        and load_section(object, "model", "weights") is None,
        dataset=load_section(str, "dataset", "name"),
        variants=load_section(dict[str, VariantConfig], "variants"),
        recipes=load_section(dict[str, RecipeConfig], "recipes"),
        reference=load_section(str, "reference"),
        budget=load_section(BudgetConfig, "budget"),
    )


if __name__ == "__main__":
    stage.run(main)
