"""How far one variant's raw outputs are from the reference's, per tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trtproof.errors import InputError
from trtproof.tensor import Array

WORST_COUNT = 5
"""Samples named per tensor: enough to look at, few enough for a table."""


@dataclass(frozen=True)
class TensorDifference:
    """One output of a variant against the reference's, over the same samples.

    `max_abs`, `cosine` and `sqnr_db` are over the elements that are finite on both sides, and
    None where they do not exist: no such element, a zero vector, or no noise at all (`identical`
    says so). `nan_count` and `inf_count` are the variant's own. `worst_indices` are the samples
    with the largest difference, worst first; a sample with an element that is finite on one side
    only comes before all others.
    """

    max_abs: float | None
    cosine: float | None
    sqnr_db: float | None
    nan_count: int
    inf_count: int
    identical: bool
    worst_indices: tuple[int, ...]


def compare_tensors(reference: Array, variant: Array, indices: Sequence[int]) -> TensorDifference:
    """Compare two arrays of shape (N, ...) that hold the samples `indices`.

    SQNR is 10 log10(sum reference^2 / sum (variant - reference)^2), in decibels.

    Raises:
        InputError: the shapes differ, or there is not one sample per index.
    """
    if reference.shape != variant.shape or len(reference) != len(indices):
        raise InputError(
            f"cannot compare outputs of shapes {reference.shape} and {variant.shape} "
            f"of {len(indices)} samples; run `dvc repro -f evaluate`"
        )
    before, after = reference.astype(np.float64), variant.astype(np.float64)
    finite = np.isfinite(before) & np.isfinite(after)
    noise = np.where(finite, after, 0.0) - np.where(finite, before, 0.0)
    return TensorDifference(
        max_abs=float(np.abs(noise).max()) if finite.any() else None,
        cosine=_cosine(before[finite], after[finite]),
        sqnr_db=_sqnr_db(before[finite], noise[finite]),
        nan_count=int(np.isnan(after).sum()),
        inf_count=int(np.isinf(after).sum()),
        identical=bool(np.array_equal(before, after, equal_nan=True)),
        worst_indices=_worst(before, after, noise, indices),
    )


def compare_outputs(
    reference: Mapping[str, Array], variant: Mapping[str, Array], indices: Sequence[int]
) -> dict[str, TensorDifference]:
    """Return tensor name -> difference, for every output of the reference.

    Raises:
        InputError: an output is missing, or as `compare_tensors`.
    """
    missing = sorted(reference.keys() - variant.keys())
    if missing:
        raise InputError(f"there is no output {missing[0]!r} to compare; run `dvc repro evaluate`")
    return {
        name: compare_tensors(values, variant[name], indices)
        for name, values in sorted(reference.items())
    }


def _cosine(before: Array, after: Array) -> float | None:
    scale = float(np.linalg.norm(before) * np.linalg.norm(after))
    return float(before @ after) / scale if scale > 0 else None


def _sqnr_db(before: Array, noise: Array) -> float | None:
    signal, power = float(np.square(before).sum()), float(np.square(noise).sum())
    return float(10 * np.log10(signal / power)) if signal > 0 and power > 0 else None


def _worst(before: Array, after: Array, noise: Array, indices: Sequence[int]) -> tuple[int, ...]:
    axes = tuple(range(1, noise.ndim))
    largest = np.abs(noise).max(axis=axes, initial=0.0)
    broken = (np.isfinite(before) != np.isfinite(after)).any(axis=axes)
    largest = np.where(broken, np.inf, largest)
    order = np.argsort(-largest, kind="stable")[:WORST_COUNT]
    return tuple(int(indices[position]) for position in order if largest[position] > 0)
