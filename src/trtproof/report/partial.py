"""`trtproof report --partial`: a report of whatever is there, beside the pipeline.

It writes into a folder of its own and never into an output that DVC tracks: a report that lacks
its inputs must not pass for the one that dvc.lock describes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trtproof import artifacts
from trtproof.budget_config import BudgetConfig
from trtproof.config import RecipeConfig, VariantConfig, load_section
from trtproof.errors import InputError
from trtproof.registry import extend_path
from trtproof.report.findings import Settings
from trtproof.report.load import load_findings
from trtproof.report.manifest import MANIFEST, make_manifest
from trtproof.report.outputs import PAGE, render_report

FOLDER: Final = artifacts.ROOT / "report-partial"
PARTIAL: Final = "partial"


def write_partial_report(out: Path = FOLDER) -> Path:
    """Write a report of what is there and return its page.

    Raises:
        InputError: the folder holds something else, or belongs to the pipeline; an input is broken.
    """
    _refuse_tracked(out)
    _refuse_foreign(out)
    extend_path(load_section(list[str], "pythonpath"))  # scorers of the user's own
    findings = load_findings(read_settings())
    files = render_report(findings)
    temporary = out.with_name(f".{out.name}-{os.getpid()}")
    try:
        _write_files(temporary, files)
        written = {out / name: temporary / name for name in files}
        manifest = make_manifest(findings.sources, written) | {PARTIAL: True}
        artifacts.write_json(temporary / MANIFEST, manifest)
        shutil.rmtree(out, ignore_errors=True)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out / PAGE


def read_settings() -> Settings:
    """Return what params.yaml says of the things shown, as the report stage reads it."""
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


def _write_files(folder: Path, files: Mapping[Path, str]) -> None:
    for name, text in files.items():
        artifacts.write_text(folder / name, text)


def _refuse_tracked(out: Path) -> None:
    """Refuse a folder that a stage writes, one inside of it, and one around it."""
    place = out.resolve()
    own = (artifacts.ROOT.resolve(), artifacts.METRICS.resolve())
    inside = any(place.is_relative_to(folder) for folder in own)
    around = any(folder.is_relative_to(place) for folder in own)
    if (inside and place != FOLDER.resolve()) or around:
        raise InputError(
            f"--out {out} is the pipeline's own folder; leave it out to write {FOLDER}, or name a "
            f"folder outside of {artifacts.ROOT} and {artifacts.METRICS}"
        )


def _refuse_foreign(out: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier partial report."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get(PARTIAL) is not True:
        raise InputError(
            f"--out {out} exists and is not a partial report; name a new folder, or remove it first"
        )
