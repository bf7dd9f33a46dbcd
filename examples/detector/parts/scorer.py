"""From cells to detections: `evaluate.scorers`; COCO's mAP is trtproof's."""

import numpy as np

from trtproof.scoring.coco import CocoMap


class Detections(CocoMap):
    """COCO's mAP of the boxes that non-maximum suppression leaves."""

    def predictions(self, outputs, batch):
        """Return the detections of each picture."""
        scores = 1.0 / (1.0 + np.exp(-outputs["logits"].astype(np.float64)))
        return [suppress(*pair) for pair in zip(outputs["boxes"], scores, strict=True)]


def suppress(boxes, scores, least=0.05, overlap=0.5):
    """Return the best box of each heap of the same class, best first."""
    kept = []
    for place in np.argsort(-scores, axis=None, kind="stable"):
        cell, kind = np.unravel_index(place, scores.shape)
        if scores[cell, kind] < least:
            break
        rivals = [boxes[other] for other, of in kept if of == kind]
        if all(iou(boxes[cell], rival) < overlap for rival in rivals):
            kept.append((cell, kind))
    return {
        "boxes": [boxes[cell] for cell, _ in kept],
        "scores": [scores[pair] for pair in kept],
        "classes": [kind for _, kind in kept],
    }


def iou(one, other):
    """Return the intersection over union of two boxes x1 y1 x2 y2."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)
