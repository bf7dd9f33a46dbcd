"""Labels of any kind in an .npz file, without Python objects.

- `labels`: one row per sample: numbers, texts (of numpy's string type), masks.
- `labels.NAME`: the same, for labels that are dictionaries with such a key.
- `X.lengths` beside either, X being its name: the rows of X belong to the samples in order, so many
  to each. Boxes of four samples are thus `labels.boxes` (7, 4) and `labels.boxes.lengths` [2, 0, 4,
  1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from trtproof.data.base import Label
from trtproof.errors import InputError
from trtproof.tensor import Array

LABELS: Final = "labels"
LENGTHS: Final = ".lengths"
WHOLE: Final = 2
"""Axes from which on a sample's label stays an array: as lists, masks would be slow."""


def read_labels(arrays: dict[str, Array], *, where: str) -> list[Label] | None:
    """Take the labels' arrays out of a file's, and return one label per sample; None for none.

    Raises:
        InputError: lengths do not fit, or there are both `labels` and `labels.NAME`.
    """
    names = [name for name in arrays if name == LABELS or name.startswith(f"{LABELS}.")]
    taken = {name: arrays.pop(name) for name in names}
    found = {
        name: _split(name, array, taken, where=where)
        for name, array in taken.items()
        if not name.endswith(LENGTHS)
    }
    stray = [name for name in taken if name.endswith(LENGTHS) and _stem(name) not in found]
    if stray:
        raise InputError(f"{where}: {stray[0]!r} is there without {_stem(stray[0])!r}; store both")
    if LABELS not in found:
        return _join(found, where=where) if found else None
    if len(found) > 1:
        other = next(name for name in found if name != LABELS)
        raise InputError(f"{where} has both {LABELS!r} and {other!r}; keep one kind")
    return found[LABELS]


def _split(name: str, array: Array, taken: Mapping[str, Array], *, where: str) -> list[Label]:
    """Return one label per sample of one array."""
    lengths = taken.get(name + LENGTHS)
    if lengths is None:
        return [_plain(row) for row in array] if array.ndim else []
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or (lengths < 0).any():
        raise InputError(
            f"{where}: {name + LENGTHS!r} is not one whole number per sample; store the number of "
            f"rows of {name!r} that each sample has"
        )
    if not array.ndim or int(lengths.sum()) != len(array):
        raise InputError(
            f"{where}: {name + LENGTHS!r} add up to {int(lengths.sum())}, {name!r} has "
            f"{len(array) if array.ndim else 0} rows; store one row per label of a sample"
        )
    return [rows.tolist() for rows in np.split(array, np.cumsum(lengths)[:-1])]


def _join(found: Mapping[str, Sequence[Label]], *, where: str) -> list[Label]:
    """Return dictionaries of several arrays' labels."""
    lengths = {name: len(labels) for name, labels in found.items()}
    if len(set(lengths.values())) > 1:
        stated = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{where}: labels differ in length ({stated}); store one per sample")
    keys = [name.removeprefix(f"{LABELS}.") for name in found]
    return [dict(zip(keys, row, strict=True)) for row in zip(*found.values(), strict=True)]


def _plain(row: Array) -> Label:
    """Return a row as numbers, texts or lists of them; one of several axes stays an array."""
    return row.copy() if np.ndim(row) >= WHOLE else row.tolist()


def _stem(name: str) -> str:
    return name.removesuffix(LENGTHS)
