"""How often a variant gives the reference's answer, right or wrong: needs no labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.scoring.values import unpack_value


def agreement_pct(
    reference: Mapping[str, Any], variant: Mapping[str, Any], *, scorer: str
) -> float:
    """Return the share of samples in percent for which one scorer's predictions are equal.

    Both arguments are predictions.json as the evaluate stage wrote it. A sample without a
    prediction (NaN outputs) agrees with nothing, not even with another such sample. Predictions
    that hold measured numbers (boxes, values of a regression) are not counted: two engines whose
    boxes lie a thousandth of a pixel apart would agree on none.

    Raises:
        InputError: other samples, none at all, no such scorer, or predictions of numbers.
    """
    if list(reference["indices"]) != list(variant["indices"]):
        counts = f"{len(reference['indices'])} and {len(variant['indices'])}"
        raise InputError(
            f"the predictions are of different samples ({counts}); run `dvc repro evaluate`"
        )
    before, after = _of_scorer(reference, scorer), _of_scorer(variant, scorer)
    if not before or len(before) != len(after):
        raise InputError(
            f"{scorer} has {len(before)} and {len(after)} predictions; run `dvc repro -f evaluate`"
        )
    if any(_holds_numbers(prediction) for prediction in (*before, *after)):
        raise InputError(
            f"the predictions of {scorer} are numbers that no two engines give alike to the last "
            "digit; the drop of its scores and the outputs' differences say how far apart they are"
        )
    same: int = sum(
        _is_given(one) and one == other for one, other in zip(before, after, strict=True)
    )
    return 100.0 * same / len(before)


def missing_count(predictions: Sequence[Prediction]) -> int:
    """Return how many samples have no prediction because their outputs were NaN."""
    return sum(not _is_given(prediction) for prediction in predictions)


def _of_scorer(predictions: Mapping[str, Any], scorer: str) -> Sequence[Prediction]:
    by_scorer: Mapping[str, Sequence[Prediction]] = predictions["predictions"]
    if scorer not in by_scorer:
        raise InputError(
            f"there are no predictions of {scorer!r}, only of "
            f"{', '.join(sorted(by_scorer)) or 'none'}; run `dvc repro evaluate`"
        )
    return by_scorer[scorer]


def _is_given(prediction: Prediction) -> bool:
    """Say whether there is a prediction: class 0 is one, an empty list of classes is not."""
    return prediction is not None and not (isinstance(prediction, list) and not prediction)


def _holds_numbers(prediction: Prediction) -> bool:
    """Say whether a stored prediction has anything but names, classes and counts in it."""
    value = unpack_value(prediction)
    if isinstance(value, dict):
        return any(_holds_numbers(item) for item in value.values())
    if isinstance(value, list):
        return any(_holds_numbers(item) for item in value)
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
