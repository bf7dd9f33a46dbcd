"""COCO's mean average precision of object detection: matched by pycocotools.

pycocotools matches every image's detections once. A resample of the images then needs the matches
only, each as often as its image was drawn, so that an interval takes no further matching.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.extras import Extra
from trtproof.scoring.base import Prediction
from trtproof.scoring.coco_curves import Matches, average_precisions
from trtproof.scoring.resampling import FEWEST_RESAMPLES
from trtproof.scoring.set_scorer import require_pairs
from trtproof.scoring.values import unpack_value
from trtproof.scoring.weighing import Weighable, score_all
from trtproof.tensor import Array, Feeds

DETECTION: Final = Extra(module="pycocotools", name="detection")
CORNERS: Final = 4
MOST_DETECTIONS: Final = 100
"""Of one image and class, the best ones: as COCO's main figure counts."""

LEAST_RESAMPLES: Final = 200
MOST_DETECTIONS_DRAWN: Final = 30_000_000
"""Detections over all resamples of one interval; fewer resamples have a coarser percentile, and the
normal interval of theirs is the wider one then."""


@dataclass(frozen=True)
class CocoMap:
    """Score boxes, x1 y1 x2 y2 in pixels of any one frame.

    A prediction is {"boxes": [[x1, y1, x2, y2], ...], "scores": [...], "classes": [...]} after NMS,
    null where there is none (outputs with a NaN). A label is {"boxes": ..., "classes": ...}, maybe
    with "crowd": [0 or 1, ...] and "areas". `map_pct` is COCO's AP over the thresholds 0.50 to
    0.95, `map50_pct` and `map75_pct` those of one threshold; there is none without a labelled box.

    Source: Lin et al., Microsoft COCO: Common Objects in Context (2014), and pycocotools' COCOeval.
    """

    least_score: float = 0.0
    name: str = "coco_map"
    extra: Extra = DETECTION

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return ("map_pct", "map50_pct", "map75_pct")

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the detections that score more than `least_score`.

        The outputs are `boxes` (N, K, 4), `scores` (N, K) and `classes` or `labels` (N, K), after
        NMS and filled up with scores of 0 or below. Override it for a model that gives anything
        else: NMS belongs there.

        Raises:
            InputError: there are no such outputs.
        """
        classes = outputs.get("classes", outputs.get("labels"))
        boxes, scores = outputs.get("boxes"), outputs.get("scores")
        shape = None if scores is None else scores.shape
        if boxes is None or scores is None or classes is None or (
            boxes.shape != (*scores.shape, CORNERS) or classes.shape != shape
            or len(scores) != len(batch.indices)
        ):  # fmt: skip
            found = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
            raise InputError(
                f"{self.name} needs outputs boxes (N, K, 4), scores (N, K) and classes (N, K), got "
                f"{found}; override `predictions` in a subclass and name it in `evaluate.scorers`"
            )
        return [
            self._keep(boxes[place], scores[place], classes[place]) for place in range(len(scores))
        ]

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return the three figures, those that exist.

        Raises:
            InputError: no samples, unequal numbers, or boxes and classes that do not go together.
        """
        return score_all(self.weigh(predictions, labels))

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array] | None:
        """Return nothing: precision and recall are over all images."""
        del predictions, labels
        return None

    def weigh(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Weighable:
        """Return the matches of each image, and the figures of images drawn several times.

        Raises:
            InputError: as `score`.
        """
        require_pairs(self.name, predictions, labels)
        matches = _match(
            self._objects(predictions, "scores"), self._objects(labels, "boxes"), len(labels)
        )
        return Weighable(
            parts=[matches.of_image(place) for place in range(len(labels))],
            figures=partial(average_precisions, matches, names=self.metrics),
            resamples=_affordable(matches.detections_count),
        )

    def _keep(self, boxes: Array, scores: Array, classes: Array) -> Prediction:
        if np.isnan(boxes).any() or np.isnan(scores).any():
            return None
        kept = scores > self.least_score
        return {
            "boxes": boxes[kept].astype(np.float64).tolist(),
            "scores": scores[kept].astype(np.float64).tolist(),
            "classes": classes[kept].astype(np.int64).tolist(),
        }

    def _objects(self, items: Sequence[Any], key: str) -> list[dict[str, Any]]:
        """Return predictions or labels as COCO's annotations, image ids from 1 on.

        Raises:
            InputError: one has not the keys, or unequal numbers of them.
        """
        found: list[dict[str, Any]] = []
        for image, item in enumerate(items, start=1):
            try:
                found += _annotations(unpack_value(item), image) if item is not None else []
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                whose = "prediction" if key == "scores" else "label"
                raise InputError(
                    f"{self.name}: the {whose} of sample {image - 1} is not boxes of four corners "
                    f"with as many classes{' and scores' if key == 'scores' else ''}; correct "
                    f"{'`predictions`' if key == 'scores' else 'the dataset'}"
                ) from None
        return found


def _annotations(item: Mapping[str, Any], image: int) -> list[dict[str, Any]]:
    """Return one image's boxes as COCO's annotations.

    Raises:
        KeyError, TypeError, ValueError: something is missing or of another length.
    """
    boxes = np.asarray(item["boxes"], dtype=np.float64).reshape(-1, CORNERS)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    areas = item.get("areas", (sides[:, 2] * sides[:, 3]).tolist())
    columns = {
        "category_id": [int(value) for value in item["classes"]],
        "iscrowd": [int(value) for value in item.get("crowd", [0] * len(boxes))],
        "area": [float(value) for value in areas],
        "bbox": sides.tolist(),
    }
    if "scores" in item:
        columns["score"] = [float(value) for value in item["scores"]]
    rows = zip(*columns.values(), strict=True)
    return [{"image_id": image, **dict(zip(columns, row, strict=True))} for row in rows]


def _match(detections: list[dict[str, Any]], truths: list[dict[str, Any]], images: int) -> Matches:
    """Return which detection finds which labelled box at every threshold, by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    classes = sorted({item["category_id"] for item in (*detections, *truths)})
    sides = []
    for items in (truths, detections):
        side = COCO()
        side.dataset = {
            "images": [{"id": image} for image in range(1, images + 1)],
            "categories": [{"id": index} for index in classes],
            "annotations": [{"id": place, **item} for place, item in enumerate(items, start=1)],
        }
        sides.append(side)
    with redirect_stdout(io.StringIO()):
        for side in sides:
            side.createIndex()
        found = COCOeval(*sides, iouType="bbox")
        found.params.areaRng, found.params.areaRngLbl = [[0, 1e10]], ["all"]
        found.params.maxDets = [MOST_DETECTIONS]
        found.evaluate()
    return Matches.from_images(found.evalImgs, images=images, recalls=found.params.recThrs)


def _affordable(detections: int) -> int:
    """Return how many resamples take about half a minute, of 200 at least."""
    return min(FEWEST_RESAMPLES, max(LEAST_RESAMPLES, MOST_DETECTIONS_DRAWN // max(1, detections)))


COCO_MAP = CocoMap()
