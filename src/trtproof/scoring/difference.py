"""How far one variant's raw outputs are from the reference's, per tensor."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Compare two outputs that hold the samples `indices`: of shape (N, ...), or N arrays.

    SQNR is 10 log10(sum reference^2 / sum (variant - reference)^2), in decibels. Whole numbers are
    compared as they are, so that `identical` is exact beyond 2^53 too.

    Raises:
        InputError: the shapes differ, or there is not one sample per index.
    """
    if reference.shape != variant.shape or len(reference) != len(indices):
        raise InputError(
            f"cannot compare outputs of shapes {reference.shape} and {variant.shape} "
            f"of {len(indices)} samples; run `dvc repro -f evaluate`"
        )
    firsts, seconds = _by_sample(reference), _by_sample(variant)
    for index, one, other in zip(indices, firsts, seconds, strict=True):
        if one.shape != other.shape:
            raise InputError(
                f"sample {index} has an output of shape {one.shape} and one of {other.shape}: the "
                "variants ran it in other batches; set evaluate.batch to 1"
            )
    before, after = (_flat(samples) for samples in (firsts, seconds))
    finite = np.isfinite(before) & np.isfinite(after)
    noise = after[finite] - before[finite]
    return TensorDifference(
        max_abs=float(np.abs(noise).max()) if noise.size else None,
        cosine=_cosine(before[finite], after[finite]),
        sqnr_db=_sqnr_db(before[finite], noise),
        nan_count=int(np.isnan(after).sum()),
        inf_count=int(np.isinf(after).sum()),
        identical=all(_is_same(one, other) for one, other in zip(firsts, seconds, strict=True)),
        worst_indices=_worst(firsts, seconds, indices),
    )


def _by_sample(output: Array) -> list[Array]:
    """Return one array per sample."""
    return [np.asarray(sample) for sample in output]


def _flat(samples: Sequence[Array]) -> Array:
    """Return all values in a row, as float64."""
    rows = [sample.astype(np.float64).ravel() for sample in samples]
    return np.concatenate(rows) if rows else np.empty(0)


def _is_same(before: Array, after: Array) -> bool:
    """Say whether two arrays have equal values, NaN in equal places included."""
    return np.array_equal(before, after, equal_nan=before.dtype.kind == after.dtype.kind == "f")


def _cosine(before: Array, after: Array) -> float | None:
    scale = float(np.linalg.norm(before) * np.linalg.norm(after))
    return float(before @ after) / scale if scale > 0 else None


def _sqnr_db(before: Array, noise: Array) -> float | None:
    signal, power = float(np.square(before).sum()), float(np.square(noise).sum())
    return float(10 * np.log10(signal / power)) if signal > 0 and power > 0 else None


def _worst(
    firsts: Sequence[Array], seconds: Sequence[Array], indices: Sequence[int]
) -> tuple[int, ...]:
    pairs = zip(firsts, seconds, strict=True)
    largest = np.asarray([_largest(before, after) for before, after in pairs])
    order = np.argsort(-largest, kind="stable")[:WORST_COUNT]
    return tuple(int(indices[position]) for position in order if largest[position] > 0)


def _largest(first: Array, second: Array) -> float:
    """Return the largest difference of one sample; infinite where one side only is finite."""
    before, after = first.astype(np.float64), second.astype(np.float64)
    finite = np.isfinite(before)
    if (finite != np.isfinite(after)).any():
        return float("inf")
    return float(np.abs(after[finite] - before[finite]).max(initial=0.0))
