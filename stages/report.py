"""Write the before/after report from what the other stages recorded; it measures nothing."""

from __future__ import annotations

from pathlib import Path

from trtproof import artifacts, stage
from trtproof.budget_config import BudgetConfig
from trtproof.config import RecipeConfig, VariantConfig, load_section
from trtproof.registry import extend_path
from trtproof.report.findings import Settings
from trtproof.report.load import load_findings
from trtproof.report.manifest import MANIFEST, make_manifest
from trtproof.report.outputs import PAGE, PLOTS, VARIANTS, render_report
from trtproof.report.required import require_inputs


def main() -> None:
    """Write metrics/variants/, metrics/plots/, metrics/report.md, pictures, artifacts/report/."""
    extend_path(load_section(list[str], "pythonpath"))  # scorers of the user's own
    settings = read_settings()
    require_inputs(settings)
    findings = load_findings(settings)
    files = render_report(findings)

    for part in (VARIANTS, PLOTS):
        with artifacts.replace_folder(artifacts.METRICS / part) as folder:
            for name in files:
                if name.parent == part:
                    artifacts.write_text(folder / name.name, files[name])
    for name in files:
        if name.parent == Path() and name != PAGE:
            artifacts.write_text(artifacts.METRICS / name, files[name])

    with artifacts.replace_folder(artifacts.REPORT) as folder:
        artifacts.write_text(folder / PAGE, files[PAGE])
        written = {artifacts.METRICS / name: artifacts.METRICS / name for name in files}
        del written[artifacts.METRICS / PAGE]
        written[artifacts.REPORT / PAGE] = folder / PAGE
        artifacts.write_json(folder / MANIFEST, make_manifest(findings.sources, written))


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
