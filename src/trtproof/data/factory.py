"""Samples from a function of the user's own: `dataset.factory`.

It is called as `factory(split, **dataset.options, **dataset.<split>)` and returns the samples: a
sequence (`len` and `[i]`, as PyTorch's datasets), something sized to iterate over, or a generator,
which is read whole. A sample is `(inputs, label)` or `inputs`: arrays by input name, without a
batch axis.

Consecutive samples of equal shapes share a batch; one of another shape begins the next. With
`dataset.collate` all do: it takes the inputs of several samples and returns them as arrays of one
batch, padded as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof.config import DatasetConfig
from trtproof.data.base import Batch, Label, Split
from trtproof.data.samples import (
    Origin,
    Sample,
    read_arrays,
    read_sample,
    require_alike,
    same_sample,
)
from trtproof.errors import AdapterError, ConfigError
from trtproof.own_code import calling, require_callable
from trtproof.registry import load_object
from trtproof.tensor import Feeds

Collate = Callable[[list[Feeds]], Any]


class FactoryFormat:
    """Open what `dataset.factory` returns."""

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return nothing: what the function reads is named in `dataset.files`."""
        del config, split
        return ()

    def open(self, config: DatasetConfig, split: Split) -> OwnDataset:
        """Return the split, once its first sample is found to be the same when asked again.

        Raises:
            ConfigError: no factory, or options that it does not take.
            ImportPathError: a function cannot be imported.
            AdapterError: the function fails, or its samples break the contract.
        """
        if config.factory is None:
            raise ConfigError(
                key="dataset.factory",
                problem="null, but `dataset.format: factory` needs one",
                repair="write it as 'package.module:attribute'",
            )
        options = _merge_options(config, split)
        make = load_object(config.factory)
        require_callable(make, config.factory, "dataset.options", split, **options)
        with calling(config.factory, doing=f"for the {split} split"):
            given = make(split, **options)
        opened = OwnDataset(
            path=config.factory,
            split=split,
            samples=_as_samples(given, config.factory),
            collate=_load_collate(config),
            synthetic=config.synthetic,
        )
        opened.require_repeatable()
        return opened


@dataclass(frozen=True)
class OwnDataset:
    """One split of the user's own samples, each held to what the first one is."""

    path: str
    split: Split
    samples: Any
    """Sized, and either indexed or iterated over."""

    collate: tuple[str, Collate] | None
    synthetic: bool
    _first: list[Sample] = field(default_factory=list, repr=False)

    @property
    def preprocessing(self) -> tuple[Mapping[str, Any], ...]:
        """Return the one step that is known: the function that made the samples."""
        return ({"step": "own", "version": 1, "function": self.path},)

    def __len__(self) -> int:
        """Return the number of samples that the user's object states."""
        return len(self.samples)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the samples in order, `size` at a time, fewer before one of another shape.

        Raises:
            AdapterError: a sample breaks the contract, or there are more or fewer than stated.
        """
        waiting: list[tuple[int, Sample]] = []
        for index, sample in enumerate(self._read()):
            differs = not self.collate and waiting and waiting[0][1].shapes != sample.shapes
            if len(waiting) == size or differs:
                yield self._join(waiting)
                waiting = []
            waiting.append((index, sample))
        if waiting:
            yield self._join(waiting)

    def require_repeatable(self) -> None:
        """Refuse samples that change when they are asked for again.

        Raises:
            AdapterError: names the input.
        """
        first, again = next(self._read(), None), next(self._read(), None)
        if first is None or again is None:
            return
        if differing := same_sample(first, again):
            raise AdapterError(
                function=self.path,
                problem=f"sample 0 of the {self.split} split is another one when read again "
                f"({differing} differs)",
                repair="give the same samples every time: no augmentation, a generator of a fixed "
                "seed",
            )

    def _read(self) -> Iterator[Sample]:
        """Yield all samples, each checked."""
        stated, count = len(self.samples), 0
        for given in self._given():
            origin = Origin(self.path, f"sample {count} of the {self.split} split")
            sample = read_sample(given, origin)
            require_alike(sample, self._first[0] if self._first else sample, origin)
            if not self._first:
                self._first.append(sample)
            count += 1
            yield sample
        if count != stated:
            raise self._wrong(
                f"the {self.split} split ended after {count} samples, its len() is {stated}",
                "make both the same",
            )

    def _given(self) -> Iterator[Any]:
        """Yield what the user's object gives, one sample after the other."""
        if hasattr(self.samples, "__getitem__"):
            for index in range(len(self.samples)):
                with calling(self.path, doing=f"for sample {index} of the {self.split} split"):
                    given = self.samples[index]
                yield given
            return
        with calling(self.path, doing=f"to iterate over the {self.split} split"):
            iterator = iter(self.samples)
        for index in range(len(self.samples) + 1):  # one more, to see that there is none
            with calling(self.path, doing=f"for sample {index} of the {self.split} split"):
                item = next(iterator, self)
            if item is self:
                return
            yield item

    def _join(self, samples: Sequence[tuple[int, Sample]]) -> Batch:
        inputs = [sample.inputs for _, sample in samples]
        labels: list[Label] | None = [sample.label for _, sample in samples]
        return Batch(
            feeds=self._stack(inputs),
            labels=None if samples[0][1].label is None else labels,
            indices=[index for index, _ in samples],
        )

    def _stack(self, inputs: list[Feeds]) -> Feeds:
        """Return the inputs of several samples as one batch."""
        if self.collate is None:
            return {name: np.stack([one[name] for one in inputs]) for name in inputs[0]}
        path, collate = self.collate
        with calling(path, doing=f"for {len(inputs)} samples"):
            given = collate(inputs)
        feeds = read_arrays(given, Origin(path, "what it returned"))
        wrong = [name for name, array in feeds.items() if array.shape[:1] != (len(inputs),)]
        if wrong or feeds.keys() != inputs[0].keys():
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise AdapterError(
                function=path,
                problem=f"it made {shapes} of {len(inputs)} samples with {', '.join(inputs[0])}",
                repair="return every input, with the samples along axis 0",
            )
        return feeds

    def _wrong(self, problem: str, repair: str) -> AdapterError:
        return AdapterError(function=self.path, problem=problem, repair=repair)


def _merge_options(config: DatasetConfig, split: Split) -> dict[str, Any]:
    """Return the factory's keyword arguments: those of all splits, and the split's own."""
    own: Mapping[str, Any] = getattr(config, split)
    both = sorted(config.options.keys() & own.keys())
    if both:
        raise ConfigError(
            key=f"dataset.{split}.{both[0]}",
            problem="it is in dataset.options too",
            repair="keep one of them and run `trtproof compose`",
        )
    return {**config.options, **own}


def _as_samples(given: Any, path: str) -> Any:
    """Return what the factory gave as something sized; an iterator is read whole.

    Raises:
        AdapterError: it is none of what a dataset may be, or it is empty.
    """
    if isinstance(given, str | bytes | Mapping) or not (
        hasattr(given, "__getitem__") or isinstance(given, Iterable)
    ):
        raise AdapterError(
            function=path,
            problem=f"it returned {type(given).__name__}, not samples",
            repair="return a list, a dataset with len() and [i], or a generator of (inputs, label)",
        )
    if not hasattr(given, "__len__"):
        with calling(path, doing="to give its samples"):
            given = list(given)
    with calling(path, doing="to give its len()"):
        count = len(given)
    if count == 0:
        raise AdapterError(
            function=path, problem="it gave no samples", repair="return at least one"
        )
    return given


def _load_collate(config: DatasetConfig) -> tuple[str, Collate] | None:
    if config.collate is None:
        return None
    collate = load_object(config.collate)
    require_callable(collate, config.collate, "dataset.collate", [])
    return config.collate, collate


FORMAT: Final = FactoryFormat()
