"""Top-k accuracy of a classifier: is the label among the k largest outputs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.tensor import Array, Feeds

MATRIX = 2
"""Axes of (N, C)."""


@dataclass(frozen=True)
class TopK:
    """Score the k best classes of the first output: (N, C) logits or probabilities.

    A prediction is the list of the k best class indices, best first; of equal outputs the lower
    index wins. A sample with a NaN among its outputs predicts no class, `[]`: it stays among the
    samples and can only be a miss.
    """

    k: int

    @property
    def name(self) -> str:
        """Return the scorer's registered name."""
        return f"top{self.k}"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return (f"{self.name}_pct",)

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return N lists of k class indices (or none, where an output is NaN).

        Raises:
            InputError: there is no output, the first is not (N, C), or C < k.
        """
        logits = self._logits(outputs, len(batch.indices))
        # float64 before the minus: an unsigned output would wrap, a half would not sort faster
        order = np.argsort(-logits, axis=1, kind="stable")[:, : self.k]
        broken = np.any(np.isnan(logits), axis=1).tolist()
        return [
            [] if is_broken else [int(index) for index in row]
            for row, is_broken in zip(order, broken, strict=True)
        ]

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return the share of samples in percent, as in {"top1_pct": 98.6}.

        Raises:
            InputError: no samples, unequal numbers, or a label that is not a class index.
        """
        hits = self.per_sample(predictions, labels)
        return {metric: float(values.mean()) for metric, values in hits.items()}

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array]:
        """Return 100 for a hit and 0 for a miss, float64 of shape (N,).

        Raises:
            InputError: as `score`.
        """
        if not predictions or len(predictions) != len(labels):
            raise InputError(
                f"{self.name} needs one label per prediction and at least one, got "
                f"{len(predictions)} predictions and {len(labels)} labels; "
                "run `dvc repro -f evaluate`, or correct the dataset's labels"
            )
        hits = [
            self._class_index(label) in prediction
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        return {f"{self.name}_pct": np.where(hits, 100.0, 0.0)}

    def _logits(self, outputs: Feeds, samples_count: int) -> Array:
        if not outputs:
            raise InputError(f"{self.name} needs an output, the model gave none")
        name, values = next(iter(outputs.items()))
        if values.ndim != MATRIX or len(values) != samples_count:
            raise InputError(
                f"{self.name} needs the first output to be (samples, classes) = "
                f"({samples_count}, C), but {name!r} is {values.shape}; "
                "name a scorer of your own in `evaluate.scorers`"
            )
        if values.shape[1] < self.k:
            raise InputError(
                f"{self.name} needs at least {self.k} classes, but {name!r} has {values.shape[1]}; "
                f"take {self.name} out of `evaluate.scorers`"
            )
        return values.astype(np.float64)

    def _class_index(self, label: Label) -> int:
        if isinstance(label, bool) or not isinstance(label, Integral):
            raise InputError(
                f"{self.name} needs labels that are class indices, got {label!r}; "
                "correct the dataset, or name a scorer of your own in `evaluate.scorers`"
            )
        return int(label)


TOP1 = TopK(1)
TOP5 = TopK(5)
