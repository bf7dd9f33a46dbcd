"""Whether what is asked of recipes fits them; see trtproof.settings_check."""

from __future__ import annotations

from typing import Final

from trtproof import artifacts
from trtproof.config import Params
from trtproof.model_check import wrong

LAYERED: Final = ("int8", "fp8")
"""Passes that quantise layer by layer."""


def check_sensitivity(params: Params) -> None:
    """Refuse to study recipes that are not selected or do not quantise the export layer by layer.

    Raises:
        ConfigError: names the recipe.
    """
    fitting = [
        name
        for name, recipe in params.recipes.items()
        if recipe.pass_name in LAYERED and recipe.source == str(artifacts.EXPORT)
    ]
    key, names = "sensitivity.recipes", params.sensitivity.recipes
    for position, name in enumerate(names):
        if name not in fitting:
            raise wrong(
                key=key,
                problem=f"{name} is no selected recipe of pass int8 or fp8 on the export",
                repair=f"take some of {', '.join(fitting)}" if fitting else "select such a recipe",
            )
        if name in names[:position]:
            raise wrong(key=key, problem=f"{name} is there twice", repair="keep one of them")
