"""Texts from outputs: what the scorers of answers and of speech share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trtproof.data.base import Batch
from trtproof.errors import InputError
from trtproof.scoring.set_scorer import first_output
from trtproof.tensor import Array, Feeds


def read_code_points(name: str, outputs: Feeds, batch: Batch) -> Sequence[str]:
    """Return the texts of the first output, Unicode code points (N, length) that end at a 0.

    Raises:
        InputError: there is no such output, or it is not of whole numbers.
    """
    codes = first_output(name, outputs, batch, axes="samples, characters")
    if codes.dtype.kind not in "iu":
        raise InputError(
            f"{name} needs texts, and the first output is {codes.dtype}; override `predictions` in "
            "a subclass that turns your outputs into texts, and name it in `evaluate.scorers`"
        )
    return ["".join(map(chr, _until_zero(row).tolist())) for row in codes]


def _until_zero(row: Array) -> Array:
    ends = np.flatnonzero(row <= 0)
    return row[: ends[0]] if ends.size else row


def require_text(name: str, label: object) -> str:
    """Return a label that is a text.

    Raises:
        InputError: it is none.
    """
    if not isinstance(label, str):
        raise InputError(f"{name} needs labels that are texts, got {label!r}; correct the dataset")
    return label
