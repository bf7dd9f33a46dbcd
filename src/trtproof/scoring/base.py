"""Scorers: the user's metric, on any resample of the samples, so that each can be paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from trtproof.data.base import Batch, Label
from trtproof.tensor import Array, Feeds

Prediction = Any
"""One sample's prediction: a class list, boxes of any number, a string, an array, None for none.

A registered scorer returns it as JSON (trtproof.scoring.values.pack_value makes it so); one at an
import path may return arrays and NumPy numbers, which trtproof.scoring.own packs.
"""


class Scorer(Protocol):
    """One metric family.

    Registered in trtproof.scoring.SCORERS, or an import path. A metric's name ends in its unit:
    of one in `pct` or `ratio` a sample has at most 100 or 1. A scorer of which a lower value is
    better (an error rate) names such metrics in an attribute `lower_is_better`, a tuple of names.

    `labels` are as they are stored: JSON, an array packed as trtproof.scoring.values has it (a
    registered scorer unpacks it by `unpack_value`). `batch.labels` are as the dataset gives them.
    """

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return one prediction per sample; post-processing (NMS, decoding) lives here.

        Raises:
            InputError: an output is not what the scorer needs (missing, wrong shape, NaN).
        """
        ...

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return metric name with unit -> value, as in {"top1_pct": 98.6}, for these samples."""
        ...

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array] | None:
        """Return metric name -> one value per sample, whose mean is the metric.

        None where the metric does not decompose: its interval then comes from scoring resamples.
        """
        ...


class NamedScorer(Scorer, Protocol):
    """A scorer that says which metrics it gives before it has scored: every registered one."""

    @property
    def metrics(self) -> Sequence[str]:
        """Return the names of the metrics in `score`."""
        ...


def is_lower_better(scorer: Scorer, metric: str) -> bool:
    """Say whether a lower value of a scorer's metric is better."""
    return metric in getattr(scorer, "lower_is_better", ())
