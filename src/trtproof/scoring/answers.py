"""F1 and exact match of answers in words, as question answering is scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from re import findall
from typing import Any

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.scoring.base import Prediction
from trtproof.scoring.set_scorer import require_pairs
from trtproof.scoring.texts import read_code_points, require_text
from trtproof.tensor import Array, Feeds


@dataclass(frozen=True)
class AnswerF1:
    """Score texts: the overlap of their words, the best of several allowed answers.

    A prediction is a text (null for none), a label a text or a list of allowed ones. Words are
    compared in lower case without punctuation and English articles, and count as often as they
    occur. Two empty texts agree.

    Source: Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (2016),
    section 6.1 and its evaluation script.
    """

    name: str = "answers"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return ("answer_f1_pct", "answer_match_pct")

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the texts of the first output, Unicode code points (N, length) that end at a 0.

        Override it for a model that gives anything else, as in spans of tokens.

        Raises:
            InputError: there is no such output.
        """
        return read_code_points(self.name, outputs, batch)

    def score(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, float]:
        """Return the means over samples.

        Raises:
            InputError: no samples, unequal numbers, or a label that is no text.
        """
        values = self.per_sample(predictions, labels)
        return {metric: float(array.mean()) for metric, array in values.items()}

    def per_sample(
        self, predictions: Sequence[Prediction], labels: Sequence[Label]
    ) -> Mapping[str, Array]:
        """Return 0 to 100 per sample, float64 of shape (N,).

        Raises:
            InputError: as `score`.
        """
        require_pairs(self.name, predictions, labels)
        found = [
            self._best(prediction, label)
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        return dict(zip(self.metrics, 100.0 * np.asarray(found).T, strict=True))

    def _best(self, prediction: Prediction, label: Any) -> tuple[float, float]:
        """Return the best F1 and match over the allowed answers."""
        allowed = label if isinstance(label, list | tuple) and label else [label]
        wanted = [_words(require_text(self.name, answer)) for answer in allowed]
        if prediction is None:
            return 0.0, 0.0
        words = _words(prediction)
        return max(_overlap(words, item) for item in wanted), float(words in wanted)


def _words(text: str) -> list[str]:
    return [word for word in findall(r"\w+", text.lower()) if word not in {"a", "an", "the"}]


def _overlap(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    shared = sum((Counter(found) & Counter(wanted)).values())
    return 2.0 * shared / (len(found) + len(wanted))


ANSWERS = AnswerF1()
