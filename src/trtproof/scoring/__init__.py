"""Scorers: one file each."""

from __future__ import annotations

from trtproof.extras import require_extra
from trtproof.registry import Registry
from trtproof.scoring.base import NamedScorer, Scorer
from trtproof.scoring.own import load_own_scorer

SCORERS: Registry[NamedScorer] = Registry(
    "scorer",
    {
        "top1": "trtproof.scoring.topk:TOP1",
        "top5": "trtproof.scoring.topk:TOP5",
        "f1": "trtproof.scoring.f1:F1",
        "answers": "trtproof.scoring.answers:ANSWERS",
        "mean_iou": "trtproof.scoring.segmentation:MEAN_IOU",
        "coco_map": "trtproof.scoring.coco:COCO_MAP",
        "wer": "trtproof.scoring.wer:WER",
        "errors": "trtproof.scoring.regression:ERRORS",
    },
)


def load_scorer(name: str) -> Scorer:
    """Return a registered scorer, or the one at an import path.

    Raises:
        UnknownNameError, ImportPathError: neither.
        AdapterError: what the import path names is no scorer.
        MissingExtraError: it needs a package that is not installed.
    """
    scorer = load_own_scorer(name) if ":" in name else SCORERS.load(name)
    require_extra(scorer, needed_by=f"scorer {name}")
    return scorer
