"""The last job of a sweep: the best cells and the reference in one session, so that they pair.

Nothing is built for it: every variant keeps its name and settings, so that DVC's run-cache has its
plan. Two cells whose variants have one name and different settings can therefore not be in one
session, and the better of them goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trtproof import artifacts
from trtproof.choice.cells import Cell
from trtproof.choice.choose import GroupChoice
from trtproof.choice.settings import JobSettings, Point
from trtproof.errors import InputError

FINALISTS: Final = 3
SUFFIX: Final = "-final-"
BEFORE_QUOTE: Final = re.compile(r"(\\*)('|\Z)")
PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
OTHER_SETTINGS: Final = (
    "its job differs from the best one's in more than variants and recipes, so that both cannot be "
    "in one session"
)
SAME_NAME: Final = (
    "a better cell has a variant of this name with other settings; give each a name of its own in "
    "conf/variant/ to have both in one session"
)


@dataclass(frozen=True)
class FinalPlan:
    """Who is in the last session, with which overrides; `left_out` are cells with the reason."""

    group: str
    finalists: Sequence[Cell]
    left_out: Sequence[tuple[Cell, str]]
    overrides: tuple[str, ...]


def plan_final(choice: GroupChoice) -> FinalPlan | None:
    """Return the last session of a group, None where no cell may win."""
    cells = [choice.judged[number].cell for number in choice.ranked]
    if not cells:
        return None
    finalists: list[Cell] = []
    left_out = []
    for cell in cells:
        if len(finalists) == FINALISTS:
            break
        if why := _why_apart(cell, finalists):
            left_out.append((cell, why))
        else:
            finalists.append(cell)
    return FinalPlan(choice.name, finalists, left_out, make_overrides(finalists))


def _why_apart(cell: Cell, others: Sequence[Cell]) -> str | None:
    """Return why a cell cannot be in one session with the others, None where it can."""
    own = cell.result.settings
    for other in others:
        settings = other.result.settings
        if own.session_key() != settings.session_key():
            return OTHER_SETTINGS
        is_near = other is others[0] or other.variant == cell.variant
        if is_near and _clash(own, settings, cell.variant):
            return SAME_NAME
    first = others[0].result.settings if others else own
    recipes = first.data["recipes"]
    differing = [
        name
        for name, config in own.recipes_of(cell.variant).items()
        if recipes.get(name, config) != config
    ]
    return f"recipe {differing[0]} has other settings in the best cell's job" if differing else None


def _clash(one: JobSettings, other: JobSettings, variant: str) -> bool:
    return variant in other.variants and one.variant_key(variant) != other.variant_key(variant)


def make_overrides(finalists: Sequence[Cell]) -> tuple[str, ...]:
    """Return Hydra's overrides of the session: those of the best cell's job, then the rest in it.

    Raises:
        InputError: a setting cannot be written as an override.
    """
    best = finalists[0].result
    wanted = {best.settings.reference, *(cell.variant for cell in finalists)}
    added: list[str] = []
    present = set(best.settings.variants)
    recipes = set(best.settings.data["recipes"])
    for cell in finalists:
        settings = cell.result.settings
        for name, config in settings.recipes_of(cell.variant).items():
            if name not in recipes:
                added.append(f"++recipes.{name}={to_override(config)}")
                recipes.add(name)
        if cell.variant not in present:
            added.append(
                f"++variants.{cell.variant}={to_override(settings.variants[cell.variant])}"
            )
            present.add(cell.variant)
    dropped = [f"~variants.{name}" for name in best.settings.variants if name not in wanted]
    grid = _grid(best.settings, [(cell.batch, cell.streams) for cell in finalists])
    kept = [word for word in best.job.overrides if word.partition("=")[0].lstrip("+") not in grid]
    timed = [f"{key}={value}" for key, value in grid.items()]
    return (*kept, *added, *dropped, *timed, make_anew(best.settings))


def make_anew(settings: JobSettings) -> str:
    """Return the override that keeps DVC from taking an equal session out of its run-cache.

    The best were chosen by that session: it cannot be what confirms them.
    """
    before = settings.data["benchmark"].get("repetition", 0)
    return f"++benchmark.repetition={before + 1}"


def _grid(settings: JobSettings, points: Sequence[Point]) -> dict[str, str]:
    """Return the overrides that time the finalists' loads, and no others but their products."""
    batches = sorted({batch for batch, _ in points})
    streams = sorted({number for _, number in points})
    grid = {"benchmark.batches": to_override(batches)}
    if settings.data["benchmark"].get("throughput"):
        grid["benchmark.throughput.batches"] = to_override(batches)
        grid["benchmark.throughput.streams"] = to_override(streams)
    return grid


def to_override(value: Any) -> str:
    """Return plain data in the grammar of Hydra's overrides.

    Raises:
        InputError: a key of a mapping is not a plain word.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return (
            "{" + ",".join(f"{_key(key)}:{to_override(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(to_override, value)) + "]"
    return f"'{BEFORE_QUOTE.sub(_escape, str(value))}'"


def _escape(found: re.Match[str]) -> str:
    """Return a quote escaped, and doubled the backslashes before it or before the end."""
    return found[1] * 2 + ("\\'" if found[2] else "")


def _key(key: Any) -> str:
    if isinstance(key, str) and PLAIN_KEY.fullmatch(key):
        return key
    raise InputError(
        f"the setting {key!r} cannot be given to the last session as an override; rename it in "
        "conf/"
    )


def final_name(sweep: str, plans: Sequence[FinalPlan]) -> str:
    """Return the name of the sweep that these last sessions are the jobs of.

    Other finalists make another one: a session of those of before says nothing about them.
    """
    digest = artifacts.sha256_json({"jobs": [list(plan.overrides) for plan in plans]})
    return f"{sweep}{SUFFIX}{digest[:6]}"
