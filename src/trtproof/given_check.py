"""Whether recipes can use ranges that a file gives. The gate stage asks."""

from __future__ import annotations

from trtproof import artifacts
from trtproof.config import Params
from trtproof.model_check import wrong


def check_given_ranges(params: Params) -> None:
    """Refuse methods that need histograms where `calibrate.from` gives ranges only.

    Raises:
        ConfigError: names the recipe.
    """
    if params.calibrate.given is None:
        return
    for name, recipe in params.recipes.items():
        method = recipe.options.get("method", "max")
        if recipe.calibration == str(artifacts.CALIBRATE) and method != "max":
            raise wrong(
                key=f"recipes.{name}.options.method",
                problem=f"{method} chooses ranges, but calibrate.from gives them",
                repair="set it to max, which takes them as they are, or calibrate.from to null",
            )
