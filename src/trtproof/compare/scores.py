"""Scores of two revisions on equal samples: a paired difference, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trtproof import artifacts
from trtproof.compare.pairs import Absent, Pair
from trtproof.compare.result import ScoreChange, ScoreWord
from trtproof.compare.revision import Revision, fetch_folder
from trtproof.errors import ImportPathError, InputError, UnknownNameError
from trtproof.measure.ratios import GATE_CONFIDENCE, SHOWN_CONFIDENCE, Bounds
from trtproof.scoring import load_scorer
from trtproof.scoring.drops import REACHES, Drop, Levels, measure_drops
from trtproof.scoring.evaluation import PREDICTIONS_FILE, SCORES_FILE
from trtproof.scoring.rescoring import Paired

LEVELS: Final = Levels(shown=SHOWN_CONFIDENCE, gate=GATE_CONFIDENCE)


def compare_scores(
    base: Revision, work: Revision, pair: Pair, margin: float
) -> tuple[list[ScoreChange], list[Absent]]:
    """Return how the scores of one variant changed, or why that cannot be told.

    Args:
        base: the revision that is compared with.
        work: the workspace.
        pair: the variant.
        margin: the loss that is accepted, as a share of a metric's range (0.005 is 0.5 points of
            a metric in per cent); metrics without a range accept none.
    """
    try:
        before, after = _read(base, pair.variant), _read(work, pair.variant)
        _require_same_plans(pair, before[0], after[0])
        _require_same_samples(before[1], after[1])
        changes = [
            change
            for scorer in after[0]["scores"]
            if scorer in before[0]["scores"]
            for change in _compare_scorer(pair.variant, scorer, before, after, margin)
        ]
    except (InputError, ImportPathError, UnknownNameError) as error:
        return [], [Absent(f"{pair.variant}, scores", str(error), blocks=False)]
    return changes, []


Evaluation = tuple[Mapping[str, Any], Mapping[str, Any]]
"""scores.json and predictions.json."""


def _read(revision: Revision, variant: str) -> Evaluation:
    """Return what the evaluate stage left at a revision.

    Raises:
        InputError: it is missing, or the variant was not scored.
    """
    folder = revision.root / artifacts.evaluate(variant)
    if revision.commit:
        fetch_folder(revision, artifacts.evaluate(variant), only=(SCORES_FILE, PREDICTIONS_FILE))
    made_by = f"evaluate@{variant}"
    scores = artifacts.read_json(folder / SCORES_FILE, made_by=made_by)
    if not scores.get("scores"):
        raise InputError(f"it has no scores at {revision.title}")
    return scores, artifacts.read_json(folder / PREDICTIONS_FILE, made_by=made_by)


def _require_same_plans(pair: Pair, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for side, scores in ((pair.base, before), (pair.work, after)):
        if scores.get("plan_sha256") != side.record.plan_sha256:
            raise InputError(
                f"the scored plan of {pair.variant} is not the built one; run `dvc repro evaluate`"
            )


def _require_same_samples(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for what in ("indices", "labels"):
        if before[what] != after[what]:
            raise InputError(
                f"it was scored on other samples ({what} differ), so a difference says nothing"
            )


def _compare_scorer(
    variant: str, scorer: str, before: Evaluation, after: Evaluation, margin: float
) -> Sequence[ScoreChange]:
    paired = Paired(
        indices=after[1]["indices"],
        labels=after[1]["labels"],
        reference=before[1]["predictions"][scorer],
        variant=after[1]["predictions"][scorer],
    )
    drops = measure_drops(load_scorer(scorer), paired, LEVELS)
    old, new = before[0]["scores"][scorer], after[0]["scores"][scorer]
    same = paired.reference == paired.variant
    return [
        _judge(variant, metric, (old[metric], new[metric]), drop, margin, same_answers=same)
        for metric, drop in drops.items()
        if metric in old and metric in new
    ]


def _judge(
    variant: str,
    metric: str,
    values: tuple[float, float],
    drop: Drop,
    share: float,
    *,
    same_answers: bool,
) -> ScoreChange:
    margin = share * REACHES.get(metric.rpartition("_")[2], 0.0)
    word, reason = judge_loss(drop, margin)
    if same_answers:
        word, reason = ScoreWord.SAME, f"the same prediction for all {drop.samples_count:,} samples"
    return ScoreChange(
        variant=variant,
        metric=metric,
        before=values[0],
        after=values[1],
        loss=drop.value,
        word=word,
        reason=reason,
        margin=margin,
        shown=drop.shown,
        gate=drop.gate,
    )


def judge_loss(drop: Drop, margin: float) -> tuple[ScoreWord, str]:
    """Return the word for a loss and what it follows from: the 99 % interval against the margin."""
    if drop.gate is None:
        return ScoreWord.INCONCLUSIVE, drop.reason
    low, high = drop.gate
    text = _interval(drop.gate)
    if low > margin:
        return ScoreWord.WORSE, f"a loss beyond {margin:g} in all of {text}"
    if high < -margin:
        return ScoreWord.BETTER, f"a gain beyond {margin:g} in all of {text}"
    if -margin <= low and high <= margin:
        return ScoreWord.SAME, f"within {margin:g} in all of {text}"
    return ScoreWord.INCONCLUSIVE, f"{text} holds losses beyond {margin:g} and smaller ones"


def _interval(bounds: Bounds) -> str:
    return f"the 99 % interval {bounds[0]:.3g} to {bounds[1]:.3g}"
