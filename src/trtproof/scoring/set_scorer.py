"""What the scorers of set figures share: figures follow from parts of samples.

A subclass gives `predictions`, `addends` and `figures`; the score and its interval follow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.scoring.proportions import Values
from trtproof.scoring.weighing import Weighable, score_all
from trtproof.tensor import Array, Feeds


class SumScorer(ABC):
    """A scorer whose figures follow from sums over samples."""

    name: str
    """As in messages."""

    @abstractmethod
    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return one prediction per sample; override it for post-processing of your own."""

    @abstractmethod
    def addends(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Values:
        """Return one row per sample, float64 (samples, addends)."""

    @abstractmethod
    def figures(self, totals: Values) -> Mapping[str, Values]:
        """Return metric -> values of shape (rows,) for totals of shape (rows, addends).

        NaN where there is no such figure.
        """

    def weigh(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Weighable:
        """Return the addends of these samples and how figures follow from their sums.

        Raises:
            InputError: no samples, unequal numbers, or a label that is not what the scorer needs.
        """
        require_pairs(self.name, predictions, labels)
        rows = np.asarray(self.addends(predictions, labels), dtype=np.float64)
        return Weighable(
            parts=self.parts(predictions, rows), figures=lambda counts: self.figures(counts @ rows)
        )

    def parts(self, predictions: Sequence[Prediction], rows: Values) -> Sequence[Any]:
        """Return per sample what its addends are, equal for equal ones of other predictions."""
        del predictions
        return [tuple(row) for row in rows.tolist()]

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return metric -> value, of those metrics that exist for these samples.

        Raises:
            InputError: as `weigh`.
        """
        return score_all(self.weigh(predictions, labels))

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array] | None:
        """Return nothing: a set figure is no mean over samples."""
        del predictions, labels
        return None


def require_pairs(name: str, predictions: Sequence[Prediction], labels: Sequence[Label]) -> None:
    """Refuse an empty set, and one label too many or too few.

    Raises:
        InputError: names the scorer and the numbers.
    """
    if not predictions or len(predictions) != len(labels):
        raise InputError(
            f"{name} needs one label per prediction and at least one, got {len(predictions)} "
            f"predictions and {len(labels)} labels; "
            "run `dvc repro -f evaluate`, or correct the dataset's labels"
        )


def first_output(name: str, outputs: Feeds, batch: Batch, *, axes: str) -> Array:
    """Return the first output, whose axes are as in "samples, classes".

    Raises:
        InputError: there is none, or it has other axes.
    """
    if not outputs:
        raise InputError(f"{name} needs an output, the model gave none")
    output, values = next(iter(outputs.items()))
    if values.ndim != axes.count(",") + 1 or len(values) != len(batch.indices):
        raise InputError(
            f"{name} needs the first output to be ({axes}) of {len(batch.indices)} samples, but "
            f"{output!r} is {values.shape}; override `predictions` in a subclass and name it in "
            "`evaluate.scorers`"
        )
    return values


def is_broken(values: Array) -> bool:
    """Say whether an output of one sample has a NaN, so that it predicts nothing."""
    return values.dtype.kind == "f" and bool(np.isnan(values).any())


def ratio_pct(part: Values, whole: Values) -> Values:
    """Return 100 part / whole, NaN where the whole is 0."""
    found: Values = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(100.0 * part, whole, out=found, where=whole > 0)
    return found
