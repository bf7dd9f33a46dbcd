"""What must be there before a complete report is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trtproof import artifacts
from trtproof.report.findings import Settings
from trtproof.sidecar import SIDECAR_FILE


def require_inputs(settings: Settings) -> None:
    """Check that every stage left its record, also of what it could not do.

    Raises:
        MissingFileError: one did not; the message names the stage.
    """
    for path, made_by in _records(settings):
        artifacts.require(path, made_by=made_by)


def _records(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yield the record of every stage whose results are shown, and the stage."""
    yield artifacts.HARDWARE, "probe"
    yield artifacts.CALIBRATE / "coverage.json", "calibrate"
    yield artifacts.BENCHMARK / "run.json", "benchmark"
    for recipe in settings.recipes:
        yield artifacts.audit(recipe) / "audit.json", f"audit@{recipe}"
    for variant in settings.variants:
        yield artifacts.build(variant) / SIDECAR_FILE, f"build@{variant}"
        yield artifacts.evaluate(variant) / "scores.json", f"evaluate@{variant}"
