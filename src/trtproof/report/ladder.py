"""The ladder from the original model to every engine, so that a loss has an address.

A rung is whatever answers the evaluation samples: the reference, the exported graph, each recipe's
graph, each engine. It is compared with the rung that it was made from, which shows what this one
step cost, and with the reference, which shows what all steps together cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trtproof import artifacts
from trtproof.config import RecipeConfig
from trtproof.errors import InputError
from trtproof.report.evaluated import Evaluation
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Settings
from trtproof.report.sources import Sources
from trtproof.scoring.difference import TensorDifference, compare_tensors
from trtproof.scoring.kept import unpack_outputs
from trtproof.tensor import Array

AUDIT_FILE: Final = "audit.json"
OUTPUTS_FILE: Final = "outputs.npz"
CONVERTED: Final = f"{artifacts.ROOT}/convert/"
UNCHANGED: Final = "fp32"
"""The pass whose graph is the export itself."""

Differences = Mapping[str, TensorDifference]


@dataclass(frozen=True)
class Rung:
    """One thing that answers: its outputs for the samples `indices`, and scores over all samples.

    `made_from` names the rung below; None for the first.
    """

    name: str
    kind: str
    made_from: str | None
    executor: str
    outputs: Mapping[str, Array]
    indices: Sequence[int]
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One rung against the rung that it was made from, and against the reference.

    Both are empty for the first rung. `address` names the step on the way here that lost most.
    """

    rung: Rung
    against_before: Differences
    against_reference: Differences
    scores_before: Mapping[str, float]
    address: str

    @property
    def loss(self) -> float:
        """Return the largest share of error over the outputs that this step alone brought."""
        return max((_noise(item) for item in self.against_before.values()), default=0.0)


def build_ladder(
    settings: Settings, evaluations: Mapping[str, Evaluation | NotMeasured], sources: Sources
) -> list[Step] | NotMeasured:
    """Return the steps from the reference on; rungs that nothing is known of are left out.

    A rung whose own source is unknown is compared with the nearest known one below that.

    Raises:
        InputError: a file is broken, or two rungs have other outputs.
    """
    found = list(_find_rungs(settings, evaluations, sources))
    if not found:
        return NotMeasured(f"the reference {settings.reference} was not evaluated")
    rungs, first = {rung.name: rung for rung in found}, found[0]
    steps: dict[str, Step] = {}
    for rung in rungs.values():
        before = rungs.get(rung.made_from) if rung.made_from else None
        steps[rung.name] = _compare(rung, before, first, steps)
    return list(steps.values())


def path_figures(
    steps: Sequence[Step] | NotMeasured, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the figures of the steps that lead to the first of `names` that is a step.

    Step -> `sqnr_before_db` and `sqnr_reference_db` (the worst output's; absent where nothing
    differs), and the scores. Empty where none is known.
    """
    if isinstance(steps, NotMeasured):
        return {}
    known = {step.rung.name: step for step in steps}
    last = next((known[name] for name in names if name in known), None)
    if last is None or not last.address:
        return {}
    path = [last]
    while path[-1].rung.made_from:
        path.append(known[path[-1].rung.made_from])
    return {step.rung.name: _figures(step) for step in reversed(path)}


def _figures(step: Step) -> dict[str, float]:
    found = {
        "sqnr_before_db": _worst(step.against_before),
        "sqnr_reference_db": _worst(step.against_reference),
    }
    scores = {name.replace(".", "_"): value for name, value in step.rung.scores.items()}
    return {
        name: value
        for name, value in (found | scores).items()
        if value is not None and math.isfinite(value)
    }


def _worst(differences: Mapping[str, TensorDifference]) -> float | None:
    ratios = [item.sqnr_db for item in differences.values() if item.sqnr_db is not None]
    return min(ratios, default=None)


def _compare(rung: Rung, before: Rung | None, first: Rung, steps: Mapping[str, Step]) -> Step:
    if before is None:
        return Step(rung, {}, {}, {}, "")
    step = Step(
        rung,
        against_before=_differences(before, rung),
        against_reference=_differences(first, rung),
        scores_before=before.scores,
        address=rung.name,
    )
    below = steps[before.name]
    worst = steps.get(below.address)
    if worst is None or step.loss > worst.loss:
        return step
    return Step(rung, step.against_before, step.against_reference, before.scores, below.address)


def _differences(before: Rung, after: Rung) -> Differences:
    count = min(len(before.indices), len(after.indices))
    if not count or not before.outputs or not after.outputs:
        return {}
    if list(before.indices[:count]) != list(after.indices[:count]):
        return {}  # other samples: the score table says so, and no number comes of it
    indices, found = before.indices[:count], {}
    for name in sorted(before.outputs.keys() & after.outputs.keys()):
        try:
            found[name] = compare_tensors(
                before.outputs[name][:count], after.outputs[name][:count], indices
            )
        except InputError:  # the table of raw outputs says why these two cannot be compared
            continue
    return found


def _noise(difference: TensorDifference) -> float:
    """Return error power over signal power; infinite where a value became NaN or infinite."""
    if difference.nan_count or difference.inf_count:
        return math.inf
    if difference.sqnr_db is None:
        return 0.0 if not difference.max_abs else math.inf
    return float(10 ** (-difference.sqnr_db / 10))


def _find_rungs(
    settings: Settings, evaluations: Mapping[str, Evaluation | NotMeasured], sources: Sources
) -> Iterator[Rung]:
    """Yield the reference, recipes behind their sources, then engines."""
    reference = settings.reference
    first = evaluations[reference]
    if isinstance(first, NotMeasured):
        return
    yield _of_engine(reference, first, made_from=None)
    order = _in_order(settings.recipes)
    audited = {name: _of_recipe(name, sources) for name in order}
    export = next((name for name in order if settings.recipes[name].pass_name == UNCHANGED), None)
    known = {name for name, rung in audited.items() if rung is not None}

    def below(recipe: str | None) -> str:
        """Return the nearest rung that is known, from this recipe downwards."""
        while recipe is not None and recipe not in known:
            recipe = _source(settings.recipes[recipe], export) if recipe != export else None
        return recipe or reference

    for name, rung in audited.items():
        if rung is not None:
            made_from = None if name == export else _source(settings.recipes[name], export)
            yield Rung(name, "graph", below(made_from), **rung)
    for name, variant in settings.variants.items():
        found = evaluations[name]
        if name != reference and not isinstance(found, NotMeasured):
            made_from = reference if variant.backend == "torch" else below(variant.recipe)
            yield _of_engine(name, found, made_from=made_from)


def _in_order(recipes: Mapping[str, RecipeConfig]) -> list[str]:
    """Return the recipes, each behind the one that it is made from; the export's first."""

    def depth(name: str) -> int:
        source = recipes[name].source.removeprefix(CONVERTED)
        return 1 + depth(source) if source in recipes else 0

    return sorted(recipes, key=lambda name: (depth(name), recipes[name].pass_name != UNCHANGED))


def _source(recipe: RecipeConfig, export: str | None) -> str | None:
    parent = recipe.source.removeprefix(CONVERTED)
    return parent if parent != recipe.source else export


def _of_engine(name: str, found: Evaluation, *, made_from: str | None) -> Rung:
    return Rung(
        name=name,
        kind="model" if made_from is None else "engine",
        made_from=made_from,
        executor=str(found.scores.get("executor", "")),
        outputs=found.outputs,
        indices=found.predictions["indices"][: _count(found.outputs)],
        scores=found.values,
    )


def _count(outputs: Mapping[str, Array]) -> int:
    return min((len(values) for values in outputs.values()), default=0)


def _of_recipe(name: str, sources: Sources) -> dict[str, Any] | None:
    """Return what an audit says of a recipe's rung, None where there is none."""
    folder, made_by = artifacts.audit(name), f"audit@{name}"
    record = sources.read_json(folder / AUDIT_FILE, made_by=made_by)
    outputs = sources.read_arrays(folder / OUTPUTS_FILE, made_by=made_by)
    if record is None or not outputs:
        return None
    by_scorer = record.get("scores") or {}
    return {
        "executor": str(record.get("executor", "")),
        "outputs": unpack_outputs(outputs),
        "indices": record.get("kept_indices", []),
        "scores": {
            metric: value
            for metrics in by_scorer.values()
            for metric, value in metrics.items()
            if value is not None
        },
    }
