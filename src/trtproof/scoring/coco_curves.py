"""Average precision from matched detections, of images that count several times or not at all.

An image that is drawn twice brings its detections and its boxes twice. Detections of one image
follow each other in the order of scores, and repeats of one are either all right or all wrong: the
envelope of precision over recall is then that of one step as high as their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from trtproof.scoring.proportions import Values

BLOCK: Final = 4_000_000
"""Precisions that are computed at once."""

SINGLE: Final = {1: 0, 2: 5}
"""Which figure is that of which of the ten thresholds 0.50, 0.55 ... 0.95."""


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class over all images, best score first.

    `hits` and `misses` are (thresholds, detections): right, wrong, or neither (matched to a crowd).
    `images` are the places of the detections' images, `boxes` (images,) the boxes to be found.
    """

    images: NDArray[np.int64]
    hits: NDArray[np.bool_]
    misses: NDArray[np.bool_]
    boxes: Values


@dataclass(frozen=True)
class Matches:
    """All classes, what each image adds, and the recalls at which precision is read."""

    classes: Sequence[ClassMatches]
    images: Sequence[tuple[Any, ...]]
    recalls: Values

    @classmethod
    def from_images(
        cls, matched: Sequence[Mapping[str, Any] | None], *, images: int, recalls: Values
    ) -> Self:
        """Return pycocotools' matches: a record or None per class and image."""
        parts: list[list[Any]] = [[] for _ in range(images)]
        classes = []
        for start in range(0, len(matched), images):
            found = [item for item in matched[start : start + images] if item is not None]
            for item in found:
                kept = (item["dtMatches"] > 0).tolist(), np.asarray(item["dtIgnore"]).tolist()
                parts[item["image_id"] - 1].append((item["category_id"], *kept))
            if found:
                classes.append(_join(found, images))
        return cls(classes, [tuple(part) for part in parts], recalls)

    @property
    def detections_count(self) -> int:
        """Return how many detections there are over all images and classes."""
        return sum(len(item.images) for item in self.classes)

    def of_image(self, place: int) -> tuple[Any, ...]:
        """Return which detections of an image match what."""
        return self.images[place]


def average_precisions(
    matches: Matches, counts: Values, *, names: Sequence[str]
) -> dict[str, Values]:
    """Return the mean over classes for images that count so often, (resamples, images).

    `names` are those of all thresholds, of 0.50, and of 0.75. Classes without a box in a resample
    do not count; NaN where no class has one.
    """
    total = np.zeros((len(counts), len(names)))
    classes = np.zeros(len(counts))
    for item in matches.classes:
        boxes = counts @ item.boxes
        present = boxes > 0
        found = _precisions(item, counts[present], boxes[present], matches.recalls)
        total[present, 0] += found.mean(axis=1)
        for place, threshold in SINGLE.items():
            total[present, place] += found[:, threshold]
        classes += present
    mean = np.full_like(total, np.nan)
    np.divide(100.0 * total, classes[:, None], out=mean, where=classes[:, None] > 0)
    return {name: mean[:, place] for place, name in enumerate(names)}


def _join(found: Sequence[Mapping[str, Any]], images: int) -> ClassMatches:
    """Return one class's records of images as one list of detections, in pycocotools' order."""
    scores = np.concatenate([item["dtScores"] for item in found])
    order = np.argsort(-scores, kind="mergesort")
    places = [np.full(len(item["dtScores"]), item["image_id"] - 1) for item in found]
    matched = np.concatenate([item["dtMatches"] for item in found], axis=1)[:, order] > 0
    ignored = np.concatenate([item["dtIgnore"] for item in found], axis=1)[:, order] > 0
    boxes = np.zeros(images)
    for item in found:
        boxes[item["image_id"] - 1] = np.count_nonzero(np.asarray(item["gtIgnore"]) == 0)
    return ClassMatches(
        images=np.concatenate(places)[order].astype(np.int64),
        hits=matched & ~ignored,
        misses=~matched & ~ignored,
        boxes=boxes,
    )


def _precisions(item: ClassMatches, counts: Values, boxes: Values, recalls: Values) -> Values:
    """Return the mean precision over the recalls, (resamples, thresholds).

    Only detections that are right at some threshold move the recall, and precision is largest at
    these, so that it is computed there.
    """
    thresholds, detections = item.hits.shape
    found = np.zeros((len(counts), thresholds))
    steps = np.flatnonzero(item.hits.any(axis=0))
    rows = max(1, BLOCK // max(1, thresholds * detections))
    for start in range(0, len(counts) if steps.size else 0, rows):
        block = slice(start, start + rows)
        weights = counts[block][:, item.images][:, np.newaxis, :]
        right = np.cumsum(weights[:, :, steps] * item.hits[:, steps], axis=2)
        wrong = np.cumsum(weights * item.misses, axis=2)[:, :, steps]
        drawn = right + wrong
        precision = np.divide(right, drawn, out=np.zeros_like(right), where=drawn > 0)
        best = np.maximum.accumulate(precision[:, :, ::-1], axis=2)[:, :, ::-1]
        reached = np.searchsorted(
            recalls, right / boxes[block][:, np.newaxis, np.newaxis], side="right"
        )
        read = np.diff(reached, axis=2, prepend=0)
        found[block] = (best * read).sum(axis=2) / len(recalls)
    return found
