"""Scorers: one file each."""

from __future__ import annotations

from trtproof.registry import Registry
from trtproof.scoring.base import NamedScorer, Scorer
from trtproof.scoring.own import load_own_scorer

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
        AdapterError: what the import path names is no scorer.
    """
    if ":" in name:
        return load_own_scorer(name)
    return SCORERS.load(name)
