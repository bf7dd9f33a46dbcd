"""The configured scorers on the reference's outputs of a few samples, for `trtproof try`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from trtproof.artifacts import to_json
from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring import load_scorer
from trtproof.scoring.base import Prediction, Scorer
from trtproof.scoring.evaluation import Evaluation, score
from trtproof.scoring.values import pack_labels
from trtproof.scoring.weighing import weigh
from trtproof.tensor import Feeds

SAME: Final = 1e-6


def try_scorers(
    names: Sequence[str], outputs: Sequence[Feeds], samples: Sequence[Batch]
) -> Iterator[tuple[str, str]]:
    """Yield every scorer with what it says of the samples.

    Raises:
        ImportPathError, UnknownNameError: there is no such scorer.
        AdapterError, InputError: it cannot read the outputs or the labels, or gives no numbers.
    """
    for name in names:
        scorer = load_scorer(name)
        predictions: list[Prediction] = []
        for found, batch in zip(outputs, samples, strict=True):
            predictions += scorer.predictions(found, batch)
        stored = json.loads(to_json({"predictions": predictions}))["predictions"]
        labels = [label for batch in samples for label in pack_labels(batch.labels or ())]
        if not labels:
            yield name, "predicts; nothing is scored, the samples have no labels"
            continue
        yield name, _score(name, scorer, stored, labels)


def _score(
    name: str, scorer: Scorer, predictions: Sequence[Prediction], labels: Sequence[Label]
) -> str:
    scored = Evaluation({name: list(predictions)}, labels=list(labels))
    values = score(scored, {name: scorer})[name]
    single = scorer.per_sample(predictions, labels)
    for metric, each in (single or {}).items():
        _require_mean(name, metric, values, float(np.mean(each)))
    shown = ", ".join(f"{metric} {value:g}" for metric, value in values.items())
    how = _describe_interval(scorer, predictions, labels, has_single=bool(single))
    return f"{shown} on {len(labels)} samples ({how})"


def _describe_interval(
    scorer: Scorer,
    predictions: Sequence[Prediction],
    labels: Sequence[Label],
    *,
    has_single: bool,
) -> str:
    """Return what intervals are made from: `trtproof.scoring.drops` takes the first that is."""
    if has_single:
        return "a value per sample"
    if weigh(scorer, predictions, labels) is not None:
        return "a figure of the set, resampled from parts of samples"
    return "no values per sample: intervals take minutes"


def _require_mean(name: str, metric: str, values: Mapping[str, float], mean: float) -> None:
    if abs(values.get(metric, mean) - mean) > SAME * max(1.0, abs(mean)):
        raise InputError(
            f"{name}: score() gives {metric} {values[metric]:g}, the mean of per_sample() is "
            f"{mean:g}; make them the same, or leave {metric} out of per_sample()"
        )
