"""What is known of a job before it runs: its settings, where it may run, what it makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from trtproof import artifacts
from trtproof.compose import compose
from trtproof.config import Params, parse_params
from trtproof.errors import PipelineError
from trtproof.settings_check import check_settings
from trtproof.sweep.record import Job


@dataclass(frozen=True)
class Plan:
    """A job whose settings fit together; `text` is its params.yaml."""

    job: Job
    text: str
    params: Params


def plan_job(job: Job) -> Plan | str:
    """Return the plan of a job, or the first line of why its settings are wrong."""
    try:
        text = compose(job.overrides)
        params = parse_params(text)
        check_settings(params)
    except PipelineError as error:
        return str(error)
    return Plan(job, text, params)


def claims(params: Params) -> frozenset[str]:
    """Return a name per result that another job may need as well.

    Two jobs whose settings lead to one result have one name for it. Not seen are settings that
    differ and yet lead to the same bytes.
    """
    return frozenset(artifacts.sha256_json({"made": item})[:16] for item in _made(params))


def _made(params: Params) -> Iterator[list[Any]]:
    model = [msgspec.to_builtins(params.model), msgspec.to_builtins(params.export)]
    data = [msgspec.to_builtins(params.dataset), msgspec.to_builtins(params.calibrate)]
    yield ["export", *model]
    yield ["calibrate", *model, *data]
    recipes = {name: msgspec.to_builtins(recipe) for name, recipe in params.recipes.items()}
    for name in recipes:
        yield ["convert", name, *model, *_chain(recipes, name, data)]
    for variant in params.variants.values():
        build = msgspec.to_builtins(variant.build)
        recipe = _chain(recipes, variant.recipe, data)
        yield ["build", *model, variant.backend, variant.recipe, variant.source, build, *recipe]
        run, evaluate = msgspec.to_builtins(variant.run), msgspec.to_builtins(params.evaluate)
        yield ["evaluate", *model, *data, variant.backend, build, run, evaluate, *recipe]


def _chain(recipes: dict[str, Any], name: str, data: list[Any]) -> list[Any]:
    """Return a recipe and those that it stands on, and the data where one of them uses any."""
    chain: list[Any] = []
    while name in recipes and recipes[name] not in chain:
        chain.append(recipes[name])
        name = recipes[name]["source"].rpartition("/")[2]
    calibrated = any(recipe["calibration"] == str(artifacts.CALIBRATE) for recipe in chain)
    return [*chain, *(data if calibrated else [])]
