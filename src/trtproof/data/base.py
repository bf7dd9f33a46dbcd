"""What samples are: a sized, ordered, deterministic sequence whose preprocessing is inside.

Calibration and evaluation therefore cannot preprocess differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from trtproof.tensor import Feeds

if TYPE_CHECKING:
    from trtproof.config import DatasetConfig

Split = Literal["calibration", "evaluation"]
Label = Any
"""What a scorer compares with: a class, a string, boxes of any number, an array; None for none.

It is what trtproof.scoring.values can store: numbers, strings, arrays of numbers, lists and
dictionaries of these. Samples of one split may have labels of different lengths.
"""


@dataclass(frozen=True)
class Batch:
    """Consecutive samples: feeds (N, ...) by input name, N labels or None, N sample indices."""

    feeds: Feeds
    labels: Sequence[Label] | None
    indices: Sequence[int]


class Dataset(Protocol):
    """One split of one dataset."""

    @property
    def synthetic(self) -> bool:
        """Say whether the samples are made up: shown wherever a number used them."""
        ...

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Return versioned steps, as in ({"step": "scale", "version": 1, "factor": 0.0625},).

        Export writes them to signature.json.
        """
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield all samples in order, `size` at a time, the last batch smaller; always equal."""
        ...


class DataFormat(Protocol):
    """Open splits of one kind of data.

    Registered in trtproof.data.FORMATS.
    """

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return every file whose bytes decide the split's samples: they go into its key."""
        ...

    def open(self, config: DatasetConfig, split: Split) -> Dataset:
        """Return the split.

        Raises:
            InputError, ConfigError: no samples, wrong shapes, unknown option; with the repair.
        """
        ...
