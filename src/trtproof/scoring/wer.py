"""Word and character error rates of speech recognition, aligned by jiwer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from trtproof.data.base import Batch, Label
from trtproof.errors import InputError
from trtproof.extras import Extra
from trtproof.scoring.base import Prediction
from trtproof.scoring.proportions import Values
from trtproof.scoring.set_scorer import SumScorer, first_output, is_broken, ratio_pct
from trtproof.scoring.texts import read_code_points, require_text
from trtproof.tensor import Feeds

SPEECH: Final = Extra(module="jiwer", name="speech")


@dataclass(frozen=True)
class WordErrorRate(SumScorer):
    """Score transcripts: substituted, left out and added words by the words of all labels.

    A prediction and a label are texts as they are: normalise case and punctuation in the dataset
    and in a subclass. Null (outputs with a NaN) is an empty transcript. The rate is over all
    samples, not the mean of the samples' rates, and can be above 100 %.
    """

    name: str = "wer"
    extra: Extra = SPEECH

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it gives."""
        return ("wer_pct", "cer_pct")

    @property
    def lower_is_better(self) -> tuple[str, ...]:
        """Return the names of the error rates."""
        return self.metrics

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return the texts of the first output, Unicode code points (N, length) that end at a 0.

        For scores of a CTC head take CtcErrorRate; override this for anything else.

        Raises:
            InputError: there is no such output.
        """
        return read_code_points(self.name, outputs, batch)

    def addends(self, predictions: Sequence[Prediction], labels: Sequence[Label]) -> Values:
        """Return per sample errors and number of words, errors and number of characters.

        Raises:
            InputError: a label is no text, or has no word.
        """
        import jiwer

        rows = []
        for prediction, label in zip(predictions, labels, strict=True):
            wanted, found = require_text(self.name, label), prediction or ""
            if not wanted.strip():
                raise InputError(
                    f"{self.name} needs labels with at least one word, got {label!r}; leave such "
                    "samples out of the dataset"
                )
            words = jiwer.process_words(wanted, found)
            characters = jiwer.process_characters(wanted, found)
            rows.append([number for done in (words, characters) for number in _counts(done)])
        return np.asarray(rows, dtype=np.float64)

    def figures(self, totals: Values) -> Mapping[str, Values]:
        """Return errors by words and by characters; see `SumScorer`."""
        return {
            "wer_pct": ratio_pct(totals[:, 0], totals[:, 1]),
            "cer_pct": ratio_pct(totals[:, 2], totals[:, 3]),
        }


@dataclass(frozen=True)
class CtcErrorRate(WordErrorRate):
    """Score the first output of a CTC head, (N, time, symbols), by its best path.

    Write `SCORER = CtcErrorRate(vocabulary=("", "|", "a", "b"))` in your own module. The best
    symbol of each step is taken, repeats and blanks are left out, `separator` becomes a space.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.2.
    """

    vocabulary: tuple[str, ...] = ()
    blank: int = 0
    separator: str = "|"

    def predictions(self, outputs: Feeds, batch: Batch) -> Sequence[Prediction]:
        """Return one transcript per sample, null where an output is NaN.

        Raises:
            InputError: there is no such output, or it has another number of symbols.
        """
        scores = first_output(self.name, outputs, batch, axes="samples, time, symbols")
        if scores.shape[2] != len(self.vocabulary):
            raise InputError(
                f"{self.name} has a vocabulary of {len(self.vocabulary)} symbols, the output has "
                f"{scores.shape[2]}; correct `vocabulary` in your scorer"
            )
        return [
            None if is_broken(sample) else self._text(np.argmax(sample, axis=1).tolist())
            for sample in scores
        ]

    def _text(self, path: Sequence[int]) -> str:
        symbols = [self.vocabulary[index] for index, _ in groupby(path) if index != self.blank]
        return "".join(symbols).replace(self.separator, " ").strip()


def _counts(alignment: Any) -> tuple[int, int]:
    """Return errors and the length of the label, of jiwer's alignment."""
    wrong = alignment.substitutions + alignment.deletions
    return wrong + alignment.insertions, wrong + alignment.hits


WER = WordErrorRate()
