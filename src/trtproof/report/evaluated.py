"""Scores of one variant, and every comparison of them with the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trtproof import artifacts
from trtproof.errors import InputError
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Scores
from trtproof.report.sources import Sources, reason_text
from trtproof.scoring.agreement import agreement_pct, missing_count
from trtproof.scoring.difference import TensorDifference, compare_outputs
from trtproof.tensor import Array

MADE_BY = "evaluate"
HEADLINE_SCORER = "top1"


@dataclass(frozen=True)
class Evaluation:
    """What the evaluate stage left of one variant that was scored."""

    scores: Mapping[str, Any]
    predictions: Mapping[str, Any]
    outputs: Mapping[str, Array]

    @property
    def values(self) -> dict[str, float]:
        """Return metric -> value over all scorers; none where the data have no labels."""
        by_scorer = self.scores["scores"] or {}
        return {name: value for metrics in by_scorer.values() for name, value in metrics.items()}

    @property
    def scorer(self) -> str:
        """Return the scorer whose predictions are compared: top-1 where there is one."""
        names = sorted(self.predictions["predictions"])
        return HEADLINE_SCORER if HEADLINE_SCORER in names else names[0]


def load_evaluation(
    variant: str, plan_sha256: str | None, sources: Sources
) -> Evaluation | NotMeasured:
    """Return what evaluate wrote for a variant, or why it wrote no scores.

    `plan_sha256` is the built plan's: scores of any other plan are not this variant's.

    Raises:
        InputError: a file is broken.
    """
    folder = artifacts.evaluate(variant)
    scores = sources.read_json(folder / "scores.json", made_by=f"{MADE_BY}@{variant}")
    if scores is None:
        return NotMeasured("not evaluated")
    if "scores" not in scores:
        return NotMeasured(reason_text(scores))
    if plan_sha256 is not None and scores.get("plan_sha256") != plan_sha256:
        return NotMeasured("the evaluated plan is not the built one; run `dvc repro`")
    predictions = sources.read_json(folder / "predictions.json", made_by=f"{MADE_BY}@{variant}")
    if predictions is None:
        return NotMeasured("predictions.json is missing; run `dvc repro evaluate`")
    outputs = sources.read_arrays(folder / "outputs.npz", made_by=f"{MADE_BY}@{variant}")
    return Evaluation(scores=scores, predictions=predictions, outputs=outputs)


def compare_scores(
    reference: Evaluation | NotMeasured, variant: Evaluation | NotMeasured
) -> Scores | NotMeasured:
    """Return a variant's scores beside the reference's (which is the same object twice)."""
    if isinstance(variant, NotMeasured):
        return variant
    is_reference = variant is reference
    return Scores(
        values=variant.values,
        drops={} if is_reference else _drops(reference, variant),
        agreement_pct=_agreement(reference, variant),
        differences=_differences(reference, variant),
        samples_count=int(variant.scores["samples_count"]),
        missing_count=missing_count(variant.predictions["predictions"][variant.scorer]),
        labelled=bool(variant.scores["labelled"]),
        synthetic=bool(variant.scores["synthetic"]),
    )


def _drops(reference: Evaluation | NotMeasured, variant: Evaluation) -> dict[str, float]:
    """Return reference minus variant, of the metrics that both have on the same samples."""
    if isinstance(reference, NotMeasured):
        return {}
    if reference.predictions["indices"] != variant.predictions["indices"]:
        return {}
    before = reference.values
    return {name: before[name] - value for name, value in variant.values.items() if name in before}


def _agreement(reference: Evaluation | NotMeasured, variant: Evaluation) -> float | NotMeasured:
    if isinstance(reference, NotMeasured):
        return NotMeasured("the reference has no scores")
    try:
        return agreement_pct(reference.predictions, variant.predictions, scorer=variant.scorer)
    except InputError as error:
        return NotMeasured(str(error))


def _differences(
    reference: Evaluation | NotMeasured, variant: Evaluation
) -> Mapping[str, TensorDifference] | NotMeasured:
    if isinstance(reference, NotMeasured):
        return NotMeasured("the reference has no outputs")
    if not reference.outputs:
        return NotMeasured("no outputs are kept (`evaluate.keep_outputs` is 0)")
    kept = len(next(iter(reference.outputs.values())))
    try:
        return compare_outputs(
            reference.outputs, variant.outputs, reference.predictions["indices"][:kept]
        )
    except InputError as error:
        return NotMeasured(str(error))
