"""What the samples were: how many, which, of what classes, and which of them are in both splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from trtproof.calibration.samples import Samples
from trtproof.data.base import Batch, Dataset, Label
from trtproof.tensor import Array


class Coverage:
    """Count samples as they pass; the result does not depend on their order."""

    def __init__(self, *, synthetic: bool) -> None:
        self._synthetic = synthetic
        self.digests: list[str] = []
        """The samples' hashes, as they came."""

        self._classes: Counter[str] = Counter()
        self._is_labelled = True

    def add(self, batch: Batch) -> None:
        """Count the samples of a batch."""
        for position in range(len(batch.indices)):
            sample = {name: array[position] for name, array in batch.feeds.items()}
            self.digests.append(sha256_sample(sample))
        labels = _class_labels(batch.labels)
        self._is_labelled = self._is_labelled and labels is not None
        self._classes.update(labels or ())

    def to_json(self) -> dict[str, Any]:
        """Return plain data for coverage.json.

        `samples_sha256` covers the sorted hashes of all samples; `class_counts` is null where
        labels are not classes.
        """
        ordered = sorted(self.digests)
        return {
            "schema": 1,
            "samples_count": len(ordered),
            "samples_sha256": _sha256_all(ordered),
            "duplicates_count": len(ordered) - len(set(ordered)),
            "class_counts": dict(sorted(self._classes.items())) if self._is_labelled else None,
            "synthetic": self._synthetic,
        }


def hash_samples(dataset: Dataset, batch: int) -> list[str]:
    """Return the hash of every sample of a split, in its order."""
    return [
        sha256_sample({name: array[position] for name, array in part.feeds.items()})
        for part in dataset.batches(batch)
        for position in range(len(part.indices))
    ]


def describe_evaluation(
    calibration: Samples, evaluation: Sequence[str], compared: Samples
) -> dict[str, Any]:
    """Return what coverage.json says of the evaluation inputs; `evaluation` are all their hashes.

    `shared_count` is how many calibration samples are evaluation inputs too; `compared` are the
    inputs that activations were compared on.
    """
    known = set(evaluation)
    return {
        "samples_count": len(evaluation),
        "samples_sha256": _sha256_all(evaluation),
        "compared_count": len(compared.digests),
        "not_finite_count": len(compared.digests) - len(compared.finite().digests),
        "shared_count": sum(digest in known for digest in calibration.digests),
    }


def sha256_sample(sample: dict[str, Array]) -> str:
    """Return the SHA-256 of one sample: names, types, shapes and bytes of its inputs."""
    digest = hashlib.sha256()
    for name in sorted(sample):
        array = np.ascontiguousarray(sample[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _sha256_all(digests: Sequence[str]) -> str:
    """Return one hash of many samples, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _class_labels(labels: Sequence[Label] | None) -> list[str] | None:
    """Return the labels as class names, or None where they are something else."""
    if labels is None or not all(isinstance(label, int | str | np.integer) for label in labels):
        return None
    return [str(label) for label in labels]
