"""Whether a variant may take a plan that was made elsewhere instead of building one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trtproof.config import Params
from trtproof.model_check import wrong

TAKES_PLANS: Final = ("tensorrt",)
"""Backends that can load a plan which another program made."""


def check_plans(params: Params) -> None:
    """Refuse a plan of an unsuitable backend or place, and one that nobody said is trusted."""
    for name, variant in params.variants.items():
        key, build = f"variants.{name}.build", variant.build
        if build.plan is None:
            if build.trusted:
                raise wrong(
                    key=f"{key}.trusted",
                    problem="there is no plan to trust",
                    repair="name it in `plan`, or remove `trusted`",
                )
            continue
        if variant.backend not in TAKES_PLANS:
            raise wrong(
                key=f"{key}.plan",
                problem=f"backend {variant.backend} takes no plan made elsewhere",
                repair=f"remove it, or take backend {' or '.join(TAKES_PLANS)}",
            )
        if not build.trusted:
            raise wrong(
                key=f"{key}.trusted",
                problem="a plan is code that will run on this machine",
                repair="set it to true if you trust whoever made the plan",
            )
        if Path(build.plan).is_absolute() or ".." in Path(build.plan).parts:
            raise wrong(
                key=f"{key}.plan",
                problem=f"{build.plan} is not in this repository",
                repair="put the file into imports/ and name it from there, as in imports/x.plan",
            )
