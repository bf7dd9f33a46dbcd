"""F1 of classes: of one class per sample, or of sets of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.scoring.proportions import Values
from trtproof.scoring.set_scorer import (
    SumScorer,
    first_output,
    is_broken,
    ratio_pct,
    require_pairs,
)
from trtproof.scoring.values import unpack_value
from trtproof.tensor import Array, Feeds


@dataclass(frozen=True)
class ClassF1(SumScorer):
    """Score classes (numbers or names): a prediction and a label are one of them or a list.

    F1 is 2 TP / (2 TP + FP + FN) over all samples: `f1_micro` with the counts of all classes added,
    `f1_macro` the mean over the classes that any label or prediction has. With one class per
    sample, micro is the accuracy. `exact_match` is the share of samples whose sets are equal. A
    sample without a prediction (null) misses all its classes.

    Source: van Rijsbergen, Information Retrieval, 2nd edition (1979), chapter 7.
    """

    name: str = "f1"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return ("f1_micro_pct", "f1_macro_pct", "exact_match_pct")

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the class of the largest value of the first output, (N, C); null for a NaN.

        Raises:
            InputError: there is no such output.
        """
        scores = first_output(self.name, outputs, batch, axes="samples, classes")
        return [None if is_broken(row) else int(np.argmax(row)) for row in scores]

    def addends(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Values:
        """Return per sample 1 where its sets are equal, then TP, FP and FN by class."""
        pairs = [
            (_members(prediction), _members(label))
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        names = sorted({item for pair in pairs for group in pair for item in group}, key=repr)
        places = {item: place for place, item in enumerate(names)}
        rows = np.zeros((len(pairs), 3, len(names)))
        for row, (found, wanted) in zip(rows, pairs, strict=True):
            for kind, group in enumerate((found & wanted, found - wanted, wanted - found)):
                row[kind, [places[item] for item in group]] = 1.0
        given = [prediction is not None for prediction in predictions]
        equal = [
            is_given and one == other for is_given, (one, other) in zip(given, pairs, strict=True)
        ]
        return np.hstack(
            [
                np.asarray(equal, np.float64)[:, None],
                np.ones((len(pairs), 1)),
                rows.reshape(len(pairs), -1),
            ]
        )

    def parts(self, predictions: Sequence[Prediction], rows: Values) -> Sequence[Any]:
        """Return the predicted sets: columns of addends stand for other classes in other sets."""
        del rows
        return [None if item is None else _members(item) for item in predictions]

    def figures(self, totals: Values) -> Mapping[str, Values]:
        """Return the three figures; see `SumScorer`."""
        right, extra, missed = np.split(totals[:, 2:], 3, axis=1)
        shares = ratio_pct(2 * right, 2 * right + extra + missed)
        present = np.isfinite(shares)
        summed, counted = np.where(present, shares, 0.0).sum(axis=1), present.sum(axis=1)
        all_right = right.sum(axis=1)
        return {
            "f1_micro_pct": ratio_pct(
                2 * all_right, 2 * all_right + extra.sum(axis=1) + missed.sum(axis=1)
            ),
            "f1_macro_pct": ratio_pct(summed / 100.0, counted.astype(np.float64)),
            "exact_match_pct": ratio_pct(totals[:, 0], totals[:, 1]),
        }

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array]:
        """Return 100 where a sample's sets are equal, else 0: that figure is a mean over samples.

        Raises:
            InputError: as `weigh`.
        """
        require_pairs(self.name, predictions, labels)
        return {"exact_match_pct": 100.0 * self.addends(predictions, labels)[:, 0]}


def _members(value: Any) -> set[int | str]:
    """Return the classes of a prediction or label.

    Raises:
        InputError: one is neither a number nor a name.
    """
    given = unpack_value(value)
    given = given.tolist() if isinstance(given, np.ndarray) else given
    members = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for item in members:
        if not isinstance(item, int | str | np.integer) or isinstance(item, bool):
            raise InputError(
                f"a class is a whole number or a name, got {item!r}; correct the labels or the "
                "scorer's `predictions`"
            )
    return {item if isinstance(item, str) else int(item) for item in members}


F1 = ClassF1()
