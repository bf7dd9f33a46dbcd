"""Scorers: one file each."""

from __future__ import annotations

from trtproof.registry import Registry, load_object
from trtproof.scoring.base import NamedScorer, Scorer

SCORERS: Registry[NamedScorer] = Registry(
    "scorer",
    {
        "top1": "trtproof.scoring.topk:TOP1",
        "top5": "trtproof.scoring.topk:TOP5",
    },
)


def load_scorer(name: str) -> Scorer:
    """Return a registered scorer, or the one at an import path.

    Raises:
        UnknownNameError, ImportPathError: neither.
    """
    if ":" in name:
        scorer: Scorer = load_object(name)
        return scorer
    return SCORERS.load(name)
