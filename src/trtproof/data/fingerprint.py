"""Print the hash of the first samples of the calibration split: a process of the probe.

Reading samples may import a library that the probe must not load on every repro.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator

from trtproof import stage
from trtproof.config import ModelConfig, load_section
from trtproof.data import open_split
from trtproof.data.base import Dataset
from trtproof.inputs import largest_batch
from trtproof.model_inputs import resolve_model
from trtproof.registry import extend_path


def fingerprint(dataset: Dataset, count: int) -> str:
    """Return 16 hex digits of the first `count` samples and of how they were preprocessed."""
    digest = hashlib.sha256()
    for text in _describe(dataset, count):
        digest.update(text)
    return digest.hexdigest()[:16]


def _describe(dataset: Dataset, count: int) -> Iterator[bytes]:
    yield json.dumps([dict(step) for step in dataset.preprocessing], sort_keys=True).encode()
    for batch in itertools.islice(dataset.batches(count), 1):
        for name, array in sorted(batch.feeds.items()):
            yield json.dumps([name, str(array.dtype), list(array.shape)]).encode()
            yield array.tobytes()


def main(count: str | None = None) -> None:
    """Print the fingerprint of the configured dataset; without a count, of the largest batch."""
    extend_path(load_section(list[str], "pythonpath"))
    if not count:
        count = str(largest_batch(resolve_model(load_section(ModelConfig, "model"))))
    sys.stdout.write(fingerprint(open_split("calibration"), int(count)) + "\n")


if __name__ == "__main__":
    stage.run(main)
