"""What is known of a model before a project exists: its inputs, outputs, and how sure that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

BATCH: Final = "batch"
BATCH_EXTENTS: Final = (1, 8, 16)
"""Smallest, usual and largest batch of a new project: what conf/'s own batches need."""


@dataclass(frozen=True)
class Input:
    """One input; `shape` mixes extents and axis names, integers lie in `low` .. `high`."""

    dtype: str
    shape: Sequence[int | str]
    low: int = 0
    high: int = 2

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Input:
        """Return the input that a child process described."""
        return cls(
            dtype=str(data["dtype"]),
            shape=tuple(data["shape"]),
            low=int(data["low"]),
            high=int(data["high"]),
        )


@dataclass(frozen=True)
class Described:
    """A model as init found it.

    `outputs` maps name -> shape, whose first extent is the batch. `ran` says that the model
    answered inputs of these shapes; else they are a guess. `files` are what it read.
    """

    name: str
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Sequence[int | str]]
    axes: Mapping[str, tuple[int, int, int]]
    ran: bool
    files: Sequence[str] = field(default=())

    @property
    def fixed_batch(self) -> int | None:
        """Return the only batch that the model takes; None where the batch is dynamic."""
        extent = next(iter(self.inputs.values())).shape[0]
        return extent if isinstance(extent, int) else None

    @property
    def classes(self) -> int | None:
        """Return how many classes the first output ranks; None where it is no (batch, classes)."""
        shape = next(iter(self.outputs.values()))
        is_matrix = len(shape) == len((BATCH, "classes"))
        return shape[1] if is_matrix and isinstance(shape[1], int) and shape[1] > 1 else None


def to_identifier(text: str) -> str:
    """Return a text as a name for files and settings, as in "my_net" of "My-Net v2.onnx"."""
    words = re.sub(r"[^0-9a-zA-Z]+", "_", text).strip("_").lower()
    return words if words[:1].isalpha() else f"model_{words}".rstrip("_")
