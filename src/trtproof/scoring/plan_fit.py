"""Whether samples are what a plan takes, told in the dataset's words before any backend's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trtproof.data.arrays import require_extents, require_inputs
from trtproof.data.base import Batch
from trtproof.tensor import Signature

Profile = Mapping[str, Mapping[str, int]]
"""Axis name -> its `min` and `max`."""


def require_fit(batch: Batch, signature: Signature, profiles: Sequence[Profile]) -> None:
    """Refuse a batch that a plan cannot take.

    Raises:
        InputError: an input is missing, or has another type or shape, or an extent beyond every
            profile; names the batch's first sample.
    """
    where = f"sample {batch.indices[0]} of the evaluation split"
    require_inputs(batch.feeds, signature.inputs, where=where)
    require_extents(batch.feeds, signature.inputs, find_extents(profiles), where=where)


def find_extents(profiles: Sequence[Profile]) -> dict[str, tuple[int, int]]:
    """Return axis -> the smallest and the largest extent over all profiles."""
    found: dict[str, tuple[int, int]] = {}
    for profile in profiles:
        for axis, bound in profile.items():
            low, high = found.get(axis, (bound["min"], bound["max"]))
            found[axis] = min(low, bound["min"]), max(high, bound["max"])
    return found
