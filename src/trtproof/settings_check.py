"""Whether the settings fit together: what no single section can see. The gate stage asks.

Each contradiction is an error of its own that names the key and the repair, found before anything
runs instead of minutes into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

from trtproof import artifacts
from trtproof.backends import BACKENDS
from trtproof.benchmark_config import BenchmarkConfig
from trtproof.budget_check import check_budget
from trtproof.build_check import check_build_options
from trtproof.config import AxisConfig, Params, RecipeConfig, VariantConfig
from trtproof.data import FORMATS
from trtproof.model_check import check_model, check_profile, wrong
from trtproof.models import SOURCES
from trtproof.plan_check import check_plans
from trtproof.precision import PASSES
from trtproof.recipe_check import check_sensitivity
from trtproof.registry import Registry
from trtproof.scoring import SCORERS

CONVERT: Final = f"{artifacts.ROOT}/convert/"
EXPORT: Final = str(artifacts.EXPORT)
CALIBRATE: Final = str(artifacts.CALIBRATE)
FLOAT32: Final = "fp32"
PYTORCH_SOURCES: Final = ("module", "transformers")


def check_settings(params: Params) -> None:
    """Refuse settings that contradict each other.

    Raises:
        ConfigError: the first contradiction, with the repair.
        UnknownNameError, ImportPathError: a precision pass cannot be had.
    """
    for check in CHECKS:
        check(params)


def require_registered(
    registry: Registry[Any], name: str, key: str, *, paths: bool = False
) -> None:
    """Refuse a name that the registry lacks; with `paths` an import path is one too."""
    if name not in registry.entries and not (paths and ":" in name):
        known = ", ".join(sorted(registry.entries))
        raise wrong(
            key=key, problem=f"there is no {registry.kind} {name!r}", repair=f"take one of {known}"
        )


def check_names(params: Params) -> None:
    """Refuse names of formats, sources, passes, backends and scorers that are not registered."""
    require_registered(SOURCES, params.model.source, "model.source")
    require_registered(FORMATS, params.dataset.format, "dataset.format")
    for name, recipe in params.recipes.items():
        require_registered(PASSES, recipe.pass_name, f"recipes.{name}.pass")
    for name, variant in params.variants.items():
        require_registered(BACKENDS, variant.backend, f"variants.{name}.backend")
    for scorer in params.evaluate.scorers:
        require_registered(SCORERS, scorer, "evaluate.scorers", paths=True)
    for backend in params.target.require:
        require_registered(BACKENDS, backend, "target.require")


def check_dataset(params: Params) -> None:
    """Refuse equal splits, and a dataset that was told of other inputs than the model has."""
    dataset = params.dataset
    if dataset.calibration == dataset.evaluation:
        raise wrong(
            key="dataset.calibration",
            problem="the samples of dataset.evaluation, which would flatter quantised variants",
            repair="take disjoint splits",
        )
    stated = dataset.options.get("inputs")
    if isinstance(stated, dict) and list(stated) != list(params.model.inputs):
        raise wrong(
            key="dataset.options.inputs",
            problem=f"{', '.join(stated)} (the model takes {', '.join(params.model.inputs)})",
            repair="write `inputs: ${model.inputs}`",
        )


def check_recipes(params: Params) -> None:
    """Refuse recipes whose source or calibration folder does not fit, and circles of sources."""
    for name, recipe in params.recipes.items():
        check_chain(params, name)
        key = f"recipes.{name}"
        needs = PASSES.load(recipe.pass_name).needs_calibration
        expected = CALIBRATE if needs else recipe.source
        if recipe.calibration not in {
            CALIBRATE,
            expected,
        }:  # a pass may use ranges it can do without
            why = "needs ranges" if needs else "needs no ranges; DVC wants one string all the same"
            raise wrong(
                key=f"{key}.calibration",
                problem=f"{recipe.calibration} (pass {recipe.pass_name} {why})",
                repair=f"set it to {expected}",
            )


def check_chain(params: Params, name: str) -> None:
    """Refuse a recipe whose sources do not lead to the export."""
    seen = [name]
    while (source := params.recipes[seen[-1]].source) != EXPORT:
        parent = source.removeprefix(CONVERT)
        key = f"recipes.{seen[-1]}.source"
        if not source.startswith(CONVERT) or parent not in params.recipes:
            folders = ", ".join([EXPORT, *(f"{CONVERT}{other}" for other in params.recipes)])
            raise wrong(
                key=key, problem=f"{source} is made by no stage", repair=f"take one of {folders}"
            )
        if parent in seen:
            raise wrong(
                key=key,
                problem=f"a circle: {' <- '.join([*seen, parent])}",
                repair="start one from the export",
            )
        seen.append(parent)


def check_variants(params: Params) -> None:
    """Refuse variants whose recipe, source folder or profiles do not fit."""
    shown = ", ".join(params.recipes)
    for name, variant in params.variants.items():
        key = f"variants.{name}"
        if variant.recipe not in params.recipes:
            raise wrong(
                key=f"{key}.recipe",
                problem=f"recipe {variant.recipe!r} is not selected (there is: {shown})",
                repair="add it to `recipe` in conf/config.yaml (or drop the variant there)",
            )
        check_variant_source(params, key, variant)
        check_build_options(key, variant)
        for position, profile in enumerate(variant.build.profiles):
            check_profile(params.model, f"{key}.build.profiles[{position}]", profile)


def check_variant_source(params: Params, key: str, variant: VariantConfig) -> None:
    """Refuse a source folder that is not the recipe's, and PyTorch variants of an ONNX file."""
    expected = EXPORT if variant.backend == "torch" else f"{CONVERT}{variant.recipe}"
    if variant.source != expected:
        raise wrong(
            key=f"{key}.source",
            problem=f"{variant.source} (backend {variant.backend} with recipe {variant.recipe})",
            repair=f"set it to {expected}",
        )
    if variant.backend == "torch" and params.model.source not in PYTORCH_SOURCES:
        raise wrong(
            key=f"{key}.backend",
            problem=f"model.source {params.model.source} has no PyTorch model",
            repair="drop the variant in conf/config.yaml, set `reference: onnxruntime-fp32`",
        )


def check_batches(params: Params) -> None:
    """Refuse batches to calibrate, evaluate or measure that an engine or the model cannot take."""
    axis = next(iter(params.model.inputs.values())).shape[0]
    wanted = list(_timed_batches(params.benchmark))
    wanted.append(("evaluate.batch", params.evaluate.batch))
    for key, size in wanted:
        for name, variant in params.variants.items():
            ranges = _batch_ranges(axis, variant.build.profiles)
            if not any(low <= size <= high for low, high in ranges):
                shown = " or ".join(f"{low} to {high}" for low, high in ranges)
                raise wrong(
                    key=key,
                    problem=f"{size} (variant {name} takes {shown})",
                    repair="keep within it",
                )
    ranges = _batch_ranges(axis, [params.model.axes])
    if not any(low <= params.calibrate.batch <= high for low, high in ranges):
        shown = " to ".join(map(str, ranges[0]))
        raise wrong(
            key="calibrate.batch",
            problem=f"{params.calibrate.batch} (the model takes {shown})",
            repair="keep within it",
        )


def _timed_batches(config: BenchmarkConfig) -> Iterator[tuple[str, int]]:
    """Yield every batch size that a scenario measures, with its key."""
    for name, owner in (
        ("benchmark", config),
        ("benchmark.throughput", config.throughput),
        ("benchmark.sustained", config.sustained),
    ):
        for size in owner.batches if owner else ():
            yield f"{name}.batches", size


def _batch_ranges(
    axis: int | str, profiles: Iterable[dict[str, AxisConfig]]
) -> list[tuple[int, int]]:
    """Return the smallest and largest batch of each profile; a fixed batch has one size."""
    if isinstance(axis, int):
        return [(axis, axis)]
    return [(profile[axis].min, profile[axis].max) for profile in profiles]


def check_reference(params: Params) -> None:
    """Refuse a reference that is no variant, or not in float32."""
    shown = ", ".join(params.variants)
    if params.reference not in params.variants:
        raise wrong(
            key="reference",
            problem=f"there is no variant {params.reference!r} (there is: {shown})",
            repair="name one of them",
        )
    recipe: RecipeConfig = params.recipes[params.variants[params.reference].recipe]
    if recipe.pass_name != FLOAT32:
        raise wrong(
            key="reference",
            problem=f"{params.reference} computes in {recipe.pass_name}",
            repair="the reference is the original model in float32: name such a variant",
        )


def check_rounds(params: Params) -> None:
    """Refuse rounds that cannot be mirrored in pairs within one start of the workers."""
    config = params.benchmark
    for key, value in (
        ("rounds", config.rounds),
        ("most_rounds", config.most_rounds),
        ("restart_every_rounds", config.restart_every_rounds),
        ("device.rounds", config.device.rounds if config.device else 0),
    ):
        if value % 2:
            raise wrong(
                key=f"benchmark.{key}",
                problem=f"{value}, but every second round mirrors the one before",
                repair="take an even number",
            )
    if config.most_rounds < config.rounds:
        raise wrong(
            key="benchmark.most_rounds",
            problem=f"{config.most_rounds} is fewer than rounds, {config.rounds}",
            repair="set it to rounds or more",
        )
    if config.most_rounds > config.rounds and not config.restart_every_rounds:
        raise wrong(
            key="benchmark.most_rounds",
            problem="rounds are added in new workers, but restart_every_rounds is 0",
            repair="set restart_every_rounds, as in 4, or most_rounds to rounds",
        )


def check_figures(params: Params) -> None:
    """Refuse to wait for a narrower interval where no round can be added."""
    figure = params.benchmark.figures.get("device_p50")
    if figure and figure.wanted_halfwidth is not None:
        raise wrong(
            key="benchmark.figures.device_p50.wanted_halfwidth",
            problem=f"{figure.wanted_halfwidth:g}, but only latency adds rounds",
            repair="set it to null, and benchmark.device.rounds as high as needed",
        )


def check_repeats(params: Params) -> None:
    """Refuse a list that names something twice: it would be measured or scored twice."""
    lists = [("evaluate.scorers", params.evaluate.scorers)]
    for key in ("benchmark.batches", "benchmark.throughput.batches", "benchmark.sustained.batches"):
        sizes = [str(size) for name, size in _timed_batches(params.benchmark) if name == key]
        lists.append((key, sizes))
    throughput = params.benchmark.throughput
    streams = [str(count) for count in throughput.streams] if throughput else []
    for key, values in (*lists, ("benchmark.throughput.streams", streams)):
        for first, second in pairwise(sorted(values)):
            if first == second:
                raise wrong(key=key, problem=f"{first} is there twice", repair="keep one of them")


CHECKS: Final[tuple[Callable[[Params], None], ...]] = (
    check_names,
    check_model,
    check_dataset,
    check_recipes,
    check_sensitivity,
    check_variants,
    check_plans,
    check_reference,
    check_batches,
    check_rounds,
    check_figures,
    check_repeats,
    check_budget,
)
"""In this order: a later check relies on what an earlier one made sure of."""
