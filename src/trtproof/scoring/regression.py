"""Mean absolute and root mean square error of predicted numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.scoring.proportions import Values
from trtproof.scoring.set_scorer import SumScorer, require_pairs
from trtproof.scoring.values import unpack_value
from trtproof.tensor import Array, Feeds


@dataclass(frozen=True)
class NumberErrors(SumScorer):
    """Score the first output against labels of as many numbers, all counting alike.

    `unit` is the labels' and ends the metrics' names, as in `mae_kelvin`: give it in your own
    module, `SCORER = NumberErrors(unit="kelvin")`. A sample with a NaN or an infinity among its
    outputs has no prediction (null), and then there is neither figure: no error would be large
    enough.
    """

    unit: str = "units"
    name: str = "errors"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return (f"mae_{self.unit}", f"rmse_{self.unit}")

    @property
    def lower_is_better(self) -> tuple[str, ...]:
        """Return the names of both errors."""
        return self.metrics

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the numbers of each sample in a row, null where one is not finite.

        Raises:
            InputError: there is no output, or not one row per sample.
        """
        if not outputs:
            raise InputError(f"{self.name} needs an output, the model gave none")
        output, values = next(iter(outputs.items()))
        if not values.ndim or len(values) != len(batch.indices):
            raise InputError(
                f"{self.name} needs {len(batch.indices)} samples in the first output, but "
                f"{output!r} is {values.shape}; override `predictions` in a subclass"
            )
        rows = [row.ravel().astype(np.float64) for row in np.asarray(values)]
        return [row.tolist() if np.isfinite(row).all() else None for row in rows]

    def addends(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Values:
        """Return per sample the sums of |difference| and of its square, and how many numbers.

        Raises:
            InputError: a label is not as many numbers as the prediction.
        """
        rows = []
        for prediction, label in zip(predictions, labels, strict=True):
            if prediction is None:
                rows.append([np.nan, np.nan, 1.0])
                continue
            wanted = self._numbers(label)
            found = np.atleast_1d(np.asarray(unpack_value(prediction), dtype=np.float64)).ravel()
            if wanted.shape != found.shape:
                raise InputError(
                    f"{self.name} needs as many numbers in a label as the model gives, got "
                    f"{wanted.size} for {found.size}; correct the dataset or `predictions`"
                )
            away = np.abs(found - wanted)
            rows.append([float(away.sum()), float(np.square(away).sum()), float(away.size)])
        return np.asarray(rows)

    def figures(self, totals: Values) -> Mapping[str, Values]:
        """Return both errors; see `SumScorer`."""
        mean, square = totals[:, 0] / totals[:, 2], totals[:, 1] / totals[:, 2]
        return dict(zip(self.metrics, (mean, np.sqrt(square)), strict=True))

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array]:
        """Return the mean absolute error of each sample, where all have as many numbers.

        Raises:
            InputError: as `weigh`.
        """
        require_pairs(self.name, predictions, labels)
        sums = self.addends(predictions, labels)
        alike = len(set(sums[:, 2].tolist())) == 1
        return {self.metrics[0]: sums[:, 0] / sums[:, 2]} if alike else {}

    def _numbers(self, label: Label) -> Values:
        try:
            numbers = np.atleast_1d(np.asarray(unpack_value(label), dtype=np.float64)).ravel()
        except (TypeError, ValueError):
            numbers = np.asarray([np.nan])
        if not np.isfinite(numbers).all():
            raise InputError(
                f"{self.name} needs labels that are finite numbers, got {str(label)[:60]}; "
                "correct the dataset"
            )
        return numbers


ERRORS = NumberErrors()
