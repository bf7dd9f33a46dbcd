"""Mean intersection over union of semantic segmentation, from the confusion of all pixels.

A class map stands in JSON as runs of equal classes, row by row: {"shape": [H, W], "runs": [class,
length, class, length, ...]}. A label may be such a map, an array, or nested lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.scoring.base import Prediction
from trtproof.scoring.proportions import Values
from trtproof.scoring.set_scorer import SumScorer, first_output, is_broken, ratio_pct
from trtproof.scoring.values import unpack_value
from trtproof.tensor import Array, Feeds


@dataclass(frozen=True)
class MeanIou(SumScorer):
    """Score class maps (H, W) against labels of the same size.

    Per class: pixels that are it in both, by pixels that are it in either, over all samples; the
    mean is over the classes that any label or prediction has. Pixels whose label is `ignore` count
    nowhere. A sample with a NaN among its outputs predicts nothing (null): all its pixels are
    wrong.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 111 (2015) 98,
    section 3.4.
    """

    ignore: int = 255
    name: str = "mean_iou"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return ("mean_iou_pct", "pixel_accuracy_pct")

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the largest of C scores per pixel of the first output, (N, C, H, W).

        Of equal scores the lower class wins. A subclass whose model scores at another size than
        the labels' enlarges the scores here.

        Raises:
            InputError: there is no such output.
        """
        scores = first_output(self.name, outputs, batch, axes="samples, classes, height, width")
        return [
            None if is_broken(sample) else encode_map(np.argmax(sample, axis=0))
            for sample in scores
        ]

    def addends(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Values:
        """Return per sample and class the pixels that are right, predicted and labelled.

        Raises:
            InputError: a label is no class map, or of another size than the prediction.
        """
        pairs = [
            self._pixels(prediction, label)
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        classes = 1 + max((int(item.max(initial=0)) for pair in pairs for item in pair), default=0)
        return np.stack([_count(found, wanted, classes) for found, wanted in pairs])

    def parts(self, predictions: Sequence[Prediction], rows: Values) -> Sequence[Any]:
        """Return the rows without the classes beyond the last: how many there are varies."""
        del predictions
        return [tuple(np.trim_zeros(row, "b").tolist()) for row in rows]

    def figures(self, totals: Values) -> Mapping[str, Values]:
        """Return the mean over classes and the share of all pixels; see `SumScorer`."""
        right, predicted, labelled = (totals[:, kind::3] for kind in range(3))
        shares = ratio_pct(right, predicted + labelled - right)
        present = np.isfinite(shares)
        counted = present.sum(axis=1)
        summed = np.where(present, shares, 0.0).sum(axis=1)
        return {
            "mean_iou_pct": ratio_pct(summed / 100.0, counted.astype(np.float64)),
            "pixel_accuracy_pct": ratio_pct(right.sum(axis=1), labelled.sum(axis=1)),
        }

    def _pixels(self, prediction: Prediction, label: Label) -> tuple[Array, Array]:
        """Return predicted (-1 for none) and labelled classes of the pixels that count."""
        wanted = decode_map(label)
        found = np.full(wanted.shape, -1) if prediction is None else decode_map(prediction)
        if found.shape != wanted.shape:
            raise InputError(
                f"{self.name} needs labels of the prediction's size, got {wanted.shape} for "
                f"{found.shape}; override `predictions` in a subclass of "
                "trtproof.scoring.segmentation:MeanIou and resize there"
            )
        counts = wanted != self.ignore
        if (wanted[counts] < 0).any():
            raise InputError(
                f"{self.name} met the class {int(wanted[counts].min())} in a label; correct the "
                f"dataset, or set `ignore` (now {self.ignore}) in a subclass"
            )
        return found[counts], wanted[counts]


def encode_map(classes: Array) -> dict[str, Any]:
    """Return a class map as JSON: its shape, and runs of equal classes row by row."""
    flat = np.asarray(classes).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] - 1)) if flat.size else np.empty(0, int)
    lengths = np.diff(starts, append=flat.size)
    runs = np.stack([flat[starts].astype(np.int64), lengths], axis=1)
    return {"shape": list(np.shape(classes)), "runs": runs.ravel().tolist()}


def decode_map(value: Any) -> Array:
    """Return the classes of a map as `encode_map`, an array or nested lists state them, int64.

    Raises:
        InputError: it is neither.
    """
    value = unpack_value(value)
    if isinstance(value, Mapping) and {"shape", "runs"} <= value.keys():
        runs = np.asarray(value["runs"], dtype=np.int64).reshape(-1, 2)
        repeated: Array = np.repeat(runs[:, 0], runs[:, 1]).reshape(value["shape"])
        return repeated
    try:
        classes = np.asarray(value)
    except ValueError:
        classes = np.empty(0, dtype=object)
    if classes.dtype.kind not in "iu" or not classes.ndim:
        raise InputError(
            f"a class map is integers (height, width), got {str(value)[:60]}; correct the labels"
        )
    return classes.astype(np.int64)


def _count(found: Array, wanted: Array, classes: int) -> Values:
    right = np.bincount(wanted[found == wanted], minlength=classes)
    predicted = np.bincount(found[found >= 0], minlength=classes)
    labelled = np.bincount(wanted, minlength=classes)
    return np.stack([right, predicted, labelled], axis=1).ravel().astype(np.float64)


MEAN_IOU = MeanIou()
