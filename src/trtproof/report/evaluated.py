"""Scores of one variant, and every comparison of them with the reference's.

Two variants are compared on the same samples, equal labels included, or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trtproof import artifacts
from trtproof.errors import AdapterError, ImportPathError, InputError, UnknownNameError
from trtproof.measure.ratios import GATE_CONFIDENCE, SHOWN_CONFIDENCE
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import Scores
from trtproof.report.sources import Sources, reason_text
from trtproof.scoring import load_scorer
from trtproof.scoring.agreement import agreement_pct, missing_count
from trtproof.scoring.base import Scorer, is_lower_better
from trtproof.scoring.difference import TensorDifference, compare_tensors
from trtproof.scoring.drops import Drop, Levels, measure_drops
from trtproof.scoring.floors import Scored, ScoreInterval, bound_scores
from trtproof.scoring.kept import unpack_outputs
from trtproof.scoring.rescoring import Paired
from trtproof.sidecar import EngineRecord
from trtproof.tensor import Array

MADE_BY: Final = "evaluate"
HEADLINE_SCORER: Final = "top1"
NO_SCORER: Final = (ImportPathError, UnknownNameError, AdapterError)
LEVELS: Final = Levels(shown=SHOWN_CONFIDENCE, gate=GATE_CONFIDENCE)


@dataclass(frozen=True)
class Evaluation:
    """What the evaluate stage left of one variant that was scored."""

    scores: Mapping[str, Any]
    predictions: Mapping[str, Any]
    outputs: Mapping[str, Array]

    @property
    def values(self) -> dict[str, float]:
        """Return metric -> value over all scorers; none where the data have no labels.

        A scorer's first metric is the one that it is known by, which a sorted file does not say.
        """
        found: dict[str, float] = {}
        for name, metrics in (self.scores["scores"] or {}).items():
            scorer = _load_scorer(name)
            stated = getattr(scorer, "metrics", None) or ()
            order = [*(metric for metric in stated if metric in metrics), *metrics]
            found |= {metric: metrics[metric] for metric in order}
        return found

    @property
    def scorer(self) -> str:
        """Return the scorer whose predictions are compared: top-1 where it has any.

        Without labels a scorer that cannot read the outputs has none; it comes last.
        """
        by_scorer = self.predictions["predictions"]
        names = [name for name in sorted(by_scorer) if by_scorer[name]] or sorted(by_scorer)
        return HEADLINE_SCORER if HEADLINE_SCORER in names else names[0]


def load_evaluation(
    variant: str, record: EngineRecord | None, sources: Sources
) -> Evaluation | NotMeasured:
    """Return what evaluate wrote for a variant, or why it wrote no scores.

    `record` is what was built: scores of any other plan, or of another status, are not this
    variant's.

    Raises:
        InputError: a file is broken.
    """
    folder = artifacts.evaluate(variant)
    scores = sources.read_json(folder / "scores.json", made_by=f"{MADE_BY}@{variant}")
    if scores is None:
        return NotMeasured("not evaluated")
    if record is not None and not _is_of(scores, record):
        return NotMeasured("the evaluated plan is not the built one; run `dvc repro`")
    if "scores" not in scores:
        return NotMeasured(reason_text(scores))
    predictions = sources.read_json(folder / "predictions.json", made_by=f"{MADE_BY}@{variant}")
    if predictions is None:
        return NotMeasured("predictions.json is missing; run `dvc repro evaluate`")
    outputs = sources.read_arrays(folder / "outputs.npz", made_by=f"{MADE_BY}@{variant}")
    return Evaluation(scores=scores, predictions=predictions, outputs=unpack_outputs(outputs))


def compare_scores(
    reference: Evaluation | NotMeasured,
    variant: Evaluation | NotMeasured,
    *,
    bounded: Collection[str] = (),
) -> Scores | NotMeasured:
    """Return a variant's scores beside the reference's (which is the same object twice).

    `bounded` names the metrics whose own intervals are wanted.
    """
    if isinstance(variant, NotMeasured):
        return variant
    is_reference = variant is reference
    return Scores(
        values=variant.values,
        drops={} if is_reference else compare_drops(reference, variant),
        agreement_pct=_agreement(reference, variant),
        differences=_differences(reference, variant),
        samples_count=int(variant.scores["samples_count"]),
        missing_count=missing_count(variant.predictions["predictions"][variant.scorer]),
        labelled=bool(variant.scores["labelled"]),
        synthetic=bool(variant.scores["synthetic"]),
        intervals=_intervals(variant, bounded),
        lower_is_better=_errors(variant),
    )


def compare_drops(
    reference: Evaluation | NotMeasured, variant: Evaluation
) -> Mapping[str, Drop] | NotMeasured:
    """Return what a variant loses of every metric that both have, or why that cannot be told."""
    if isinstance(reference, NotMeasured):
        return NotMeasured(f"the reference has no scores ({reference.reason})")
    if why := _why_not_paired(reference.predictions, variant.predictions):
        return NotMeasured(why)
    drops: dict[str, Drop] = {}
    for name in variant.scores["scores"] or {}:
        if name not in (reference.scores["scores"] or {}):
            continue
        found = _drops_of_scorer(name, reference.predictions, variant.predictions)
        if isinstance(found, NotMeasured):
            return found
        drops |= found
    return drops


def _drops_of_scorer(
    name: str, reference: Mapping[str, Any], variant: Mapping[str, Any]
) -> dict[str, Drop] | NotMeasured:
    """Return one scorer's drops, or why it cannot be asked here."""
    try:
        scorer = load_scorer(name)
        paired = Paired(
            indices=variant["indices"],
            labels=variant["labels"],
            reference=reference["predictions"][name],
            variant=variant["predictions"][name],
        )
        return measure_drops(scorer, paired, LEVELS)
    except (*NO_SCORER, InputError) as error:
        return NotMeasured(f"scorer {name} does not score the stored predictions: {error}")


def _intervals(variant: Evaluation, bounded: Collection[str]) -> dict[str, ScoreInterval]:
    """Return the intervals of the wanted scores, as far as their scorers can be asked here."""
    found: dict[str, ScoreInterval] = {}
    for name, metrics in (variant.scores["scores"] or {}).items():
        wanted = set(metrics) & set(bounded)
        scorer = _load_scorer(name) if wanted else None
        if scorer is None:
            continue
        stored = variant.predictions
        scored = Scored(stored["indices"], stored["labels"], stored["predictions"][name])
        every = bound_scores(scorer, scored, GATE_CONFIDENCE)
        found |= {metric: every[metric] for metric in wanted}
    return found


def _errors(variant: Evaluation) -> frozenset[str]:
    """Return the metrics of which a lower value is better."""
    by_scorer = variant.scores["scores"] or {}
    scorers = {name: _load_scorer(name) for name in by_scorer}
    return frozenset(
        metric
        for name, scorer in scorers.items()
        if scorer is not None
        for metric in by_scorer[name]
        if is_lower_better(scorer, metric)
    )


def _load_scorer(name: str) -> Scorer | None:
    """Return the scorer, or None where it cannot be imported here."""
    try:
        return load_scorer(name)
    except NO_SCORER:
        return None


def _why_not_paired(reference: Mapping[str, Any], variant: Mapping[str, Any]) -> str:
    """Return why two evaluations are not of the same samples, an empty text where they are."""
    before, after = reference["indices"], variant["indices"]
    if before != after:
        common = len(set(before) & set(after))
        return (
            f"it was scored on other samples than the reference: {len(after):,} and "
            f"{len(before):,}, {common:,} of them common; run `dvc repro evaluate`"
        )
    if reference["labels"] != variant["labels"]:
        return "it was scored with other labels than the reference; run `dvc repro evaluate`"
    return ""


def _is_of(scores: Mapping[str, Any], record: EngineRecord) -> bool:
    """Say whether scores are of what was built: the same plan, timed or not as it is now."""
    plan = record.plan_sha256
    return scores.get("status") == record.status and (
        plan is None or scores.get("plan_sha256") == plan
    )


def _agreement(reference: Evaluation | NotMeasured, variant: Evaluation) -> float | NotMeasured:
    if isinstance(reference, NotMeasured):
        return NotMeasured("the reference has no scores")
    try:
        return agreement_pct(reference.predictions, variant.predictions, scorer=variant.scorer)
    except InputError as error:
        return NotMeasured(str(error))


def _differences(
    reference: Evaluation | NotMeasured, variant: Evaluation
) -> Mapping[str, TensorDifference | NotMeasured] | NotMeasured:
    """Return how far every output of either is from the reference's, on the kept samples.

    NaN and infinities are counted over all samples.
    """
    if isinstance(reference, NotMeasured):
        return NotMeasured("the reference has no outputs")
    if not reference.outputs:
        return NotMeasured("no outputs are kept (`evaluate.keep_outputs` is 0)")
    if why := _why_not_paired(reference.predictions, variant.predictions):
        return NotMeasured(why)
    names = sorted(reference.outputs.keys() | variant.outputs.keys())
    return {name: _difference(name, reference, variant) for name in names}


def _difference(
    name: str, reference: Evaluation, variant: Evaluation
) -> TensorDifference | NotMeasured:
    for outputs, whose in ((reference.outputs, "the reference"), (variant.outputs, "it")):
        if name not in outputs:
            return NotMeasured(f"{whose} has no such output")
    before = reference.outputs[name]
    try:
        found = compare_tensors(
            before, variant.outputs[name], variant.predictions["indices"][: len(before)]
        )
    except InputError as error:
        return NotMeasured(str(error))
    every = (variant.scores.get("outputs") or {}).get(name, {})
    return replace(
        found,
        nan_count=int(every.get("nan_count", found.nan_count)),
        inf_count=int(every.get("inf_count", found.inf_count)),
    )
