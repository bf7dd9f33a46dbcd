"""A scorer of the user's own, held to the contract of trtproof.scoring.base.Scorer.

What it may leave out is filled in, its predictions and labels are stored as JSON and given back as
they were (also to the report, which reads them from a file), and what is wrong with it is one line
that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import AdapterError
from trtproof.extras import Extra
from trtproof.own_code import calling
from trtproof.registry import load_object
from trtproof.scoring.base import Prediction, Scorer
from trtproof.scoring.values import pack_value, unpack_value
from trtproof.scoring.weighing import Weighable
from trtproof.tensor import Array, Feeds

REPAIR: Final = (
    "give it predictions(outputs, batch), and score(predictions, labels) or "
    "per_sample(predictions, labels)"
)


class OwnScorer:
    """The scorer at an import path: an instance, or a class that takes no arguments."""

    def __init__(self, path: str, given: Any) -> None:
        self.path = path
        self._given = given
        self._unpacked: dict[int, tuple[Any, Any]] = {}
        """By id: what was unpacked (held, so that its id stays its own) and what came of it."""

    @property
    def lower_is_better(self) -> tuple[str, ...]:
        """Return the metrics of which lower is better."""
        stated = getattr(self._given, "lower_is_better", ())
        return (stated,) if isinstance(stated, str) else tuple(stated)

    @property
    def metrics(self) -> tuple[str, ...] | None:
        """Return the names of its metrics where it states them, as registered scorers do."""
        stated = getattr(self._given, "metrics", None)
        return None if stated is None else tuple(stated)

    @property
    def extra(self) -> Extra | None:
        """Return the optional package that it needs, as those do that build on a shipped one."""
        found: Extra | None = getattr(self._given, "extra", None)
        return found

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return one prediction per sample, as JSON.

        Raises:
            AdapterError: it failed, or gave another number or kind of predictions.
        """
        with calling(self.path, doing="in predictions()"):
            found = list(self._given.predictions(outputs, batch))
        if len(found) != len(batch.indices):
            raise self._wrong(
                f"predictions() gave {len(found)} for a batch of {len(batch.indices)} samples",
                "return one prediction per sample",
            )
        return [pack_value(prediction, owner=self.path) for prediction in found]

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return metric -> value; where it has no `score`, the means of `per_sample`.

        Raises:
            AdapterError: it failed, or what it gave is no metric.
        """
        if not hasattr(self._given, "score"):
            found = self.per_sample(predictions, labels) or {}
            return {metric: float(np.mean(values)) for metric, values in found.items()}
        values = self._call("score", predictions, labels)
        is_partial = hasattr(self._given, "weigh")  # figures that do not exist are left out
        if not isinstance(values, Mapping) or not (values or is_partial):
            raise self._wrong(
                f"score() gave {type(values).__name__}, not metric -> value",
                'return a dictionary, as in {"f1_pct": 91.5}',
            )
        return {self._metric(name): self._number(name, value) for name, value in values.items()}

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array] | None:
        """Return metric -> one float64 per sample, or None where it has no `per_sample`.

        Raises:
            AdapterError: it failed, or gave another number of values than samples.
        """
        if not hasattr(self._given, "per_sample"):
            return None
        values = self._call("per_sample", predictions, labels)
        if values is None:
            return None
        if not isinstance(values, Mapping):
            raise self._wrong(
                f"per_sample() gave {type(values).__name__}, not metric -> values",
                "return a dictionary of arrays, or None",
            )
        found = {self._metric(name): self._numbers(name, given) for name, given in values.items()}
        for name, array in found.items():
            if array.shape != (len(predictions),):
                raise self._wrong(
                    f"per_sample() gave {name} of shape {list(array.shape)} for "
                    f"{len(predictions)} samples",
                    "return one number per sample",
                )
        return found

    def weigh(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Weighable | None:
        """Return what its set figures are computed from, None where it has no `weigh`.

        Raises:
            AdapterError: it failed, or gave something else.
        """
        if not hasattr(self._given, "weigh"):
            return None
        found = self._call("weigh", predictions, labels)
        if not isinstance(found, Weighable):
            raise self._wrong(
                f"weigh() gave {type(found).__name__}",
                "return a trtproof.scoring.weighing:Weighable",
            )
        return found

    def _call(self, method: str, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Any:
        """Return what a method gives for the predictions and labels as they were made."""
        given = [self._unpack(item) for item in predictions], [self._unpack(it) for it in labels]
        with calling(self.path, doing=f"in {method}()"):
            return getattr(self._given, method)(*given)

    def _unpack(self, stored: Any) -> Any:
        """Return a stored value as it was made; resamples ask for the same ones again and again."""
        if not isinstance(stored, list | dict):
            return stored
        known = self._unpacked.get(id(stored))
        if known is None:
            known = self._unpacked[id(stored)] = stored, unpack_value(stored)
        return known[1]

    def _metric(self, name: Any) -> str:
        if not isinstance(name, str) or "_" not in name or not name.replace("_", "").isalnum():
            raise self._wrong(
                f"it names a metric {name!r}",
                "take letters, digits and _, with the unit last, as in f1_pct or wer_ratio",
            )
        return name

    def _number(self, name: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise self._wrong(
                f"score() gave {name} as {type(value).__name__}", "return a number"
            ) from None

    def _numbers(self, name: str, values: Any) -> Array:
        try:
            return np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise self._wrong(
                f"per_sample() gave {name} as something else than numbers",
                "return one number per sample",
            ) from None

    def _wrong(self, problem: str, repair: str) -> AdapterError:
        return AdapterError(function=self.path, problem=problem, repair=repair)


def load_own_scorer(path: str) -> Scorer:
    """Return the scorer at "package.module:attribute".

    Raises:
        ImportPathError: it cannot be imported.
        AdapterError: it is no scorer.
    """
    given = load_object(path)
    if isinstance(given, type):
        make: Callable[[], Any] = given
        with calling(path, doing="to be made without arguments"):
            given = make()
    lacks = [] if callable(getattr(given, "predictions", None)) else ["predictions"]
    if not any(callable(getattr(given, name, None)) for name in ("score", "per_sample")):
        lacks.append("score or per_sample")
    if lacks:
        raise AdapterError(
            function=path,
            problem=f"a {type(given).__name__} is no scorer: it has no {' and no '.join(lacks)}",
            repair=REPAIR,
        )
    return OwnScorer(path, given)
