"""What the metrics say of the calibration set, for the variants whose graph has its ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trtproof import artifacts
from trtproof.config import RecipeConfig
from trtproof.report.figures import NotMeasured


def is_calibrated(recipe: str, recipes: Mapping[str, RecipeConfig]) -> bool:
    """Say whether a recipe's graph has ranges of the calibration, its own or its source's."""
    seen: set[str] = set()
    while recipe in recipes and recipe not in seen:
        if recipes[recipe].calibration == str(artifacts.CALIBRATE):
            return True
        seen.add(recipe)
        recipe = Path(recipes[recipe].source).name
    return False


def calibration_figures(found: Mapping[str, Any] | NotMeasured) -> dict[str, Any]:
    """Return the figures of the calibration set, where it was compared."""
    if isinstance(found, NotMeasured) or not found.get("comparison"):
        return {}
    comparison = found["comparison"]
    exceedance = comparison["exceedance"]
    figures = {
        "samples_count": found["samples_count"],
        "expected_loss_db": comparison["expected_loss_db"],
        "differing_pct": 100 * comparison["differing_share"],
        "saturated_max_pct": 100 * comparison["saturated_share_max"],
    }
    return figures | ({"exceedance_ratio": exceedance["ratio"]} if exceedance else {})
