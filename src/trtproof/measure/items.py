"""The samples that requests rotate over, in a worker. Workers import this module: numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trtproof.tensor import Feeds, concatenate


def load_items(path: Path, names: Sequence[str]) -> list[Feeds]:
    """Return the samples one by one, each as a batch of one; the file's arrays are numbered."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[str(place)] for place, name in enumerate(names)}
    count = len(next(iter(arrays.values())))
    return [
        {name: array[place : place + 1] for name, array in arrays.items()} for place in range(count)
    ]


def make_requests(items: Sequence[Feeds], batch: int) -> list[Feeds]:
    """Return one request per item: that item and the ones that follow it, around the end."""
    count = len(items)
    return [
        concatenate([items[(first + offset) % count] for offset in range(batch)])
        for first in range(count)
    ]
