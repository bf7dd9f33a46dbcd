"""One sample as a function of the user's own gives it, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trtproof.data.base import Label
from trtproof.errors import AdapterError
from trtproof.tensor import Array, Feeds

PAIR: Final = 2
KINDS: Final = "biuf"


@dataclass(frozen=True)
class Origin:
    """Where a sample comes from: whose function gave it, and which one it is."""

    function: str
    what: str

    def wrong(self, problem: str, repair: str) -> AdapterError:
        """Return the error that says what is wrong with it."""
        return AdapterError(
            function=self.function, problem=f"{self.what}: {problem}", repair=repair
        )


@dataclass(frozen=True)
class Sample:
    """Arrays by input name, without a batch axis; the label is None where there is none."""

    inputs: Feeds
    label: Label

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return input -> shape."""
        return {name: array.shape for name, array in self.inputs.items()}


def read_sample(given: Any, origin: Origin) -> Sample:
    """Return `(inputs, label)` or `inputs` as a sample.

    Raises:
        AdapterError: it is neither, or its arrays are no numbers.
    """
    is_pair = isinstance(given, tuple | list) and len(given) == PAIR
    inputs, label = given if is_pair else (given, None)
    arrays = read_arrays(inputs, origin)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise origin.wrong(
                f"{name!r} has NaN or infinity", "leave the sample out, or correct what makes it"
            )
    return Sample(arrays, label)


def read_arrays(given: Any, origin: Origin) -> Feeds:
    """Return arrays by input name.

    Raises:
        AdapterError: they have no names, or are no numbers.
    """
    if not isinstance(given, Mapping) or not given:
        what = "an empty dictionary" if isinstance(given, Mapping) else type(given).__name__
        raise origin.wrong(
            f"the inputs are {what}, not arrays by name",
            'return ({"input name": array}, label), named as `model.inputs` names them',
        )
    return {str(name): _as_array(str(name), value, origin) for name, value in given.items()}


def _as_array(name: str, value: Any, origin: Origin) -> Array:
    try:
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise origin.wrong(f"{name!r} is no array ({reason})", "return a NumPy array") from None
    if array.dtype.kind not in KINDS:
        raise origin.wrong(
            f"{name!r} is an array of {array.dtype}", "return a NumPy array of numbers"
        )
    return array


def require_alike(sample: Sample, first: Sample, origin: Origin) -> None:
    """Refuse a sample with other inputs, types or ranks than the first, or a lost label.

    Raises:
        AdapterError: says which.
    """
    if sample.inputs.keys() != first.inputs.keys():
        raise origin.wrong(
            f"it has the inputs {', '.join(sample.inputs)}, sample 0 has {', '.join(first.inputs)}",
            "give every sample the same inputs",
        )
    for name, array in sample.inputs.items():
        other = first.inputs[name]
        if array.dtype != other.dtype:
            raise origin.wrong(
                f"{name!r} is {array.dtype}, that of sample 0 is {other.dtype}",
                f"convert it, as in .astype({str(other.dtype)!r})",
            )
        if array.ndim != other.ndim:
            raise origin.wrong(
                f"{name!r} has shape {list(array.shape)}, that of sample 0 {list(other.shape)}",
                "give every sample the same number of axes",
            )
    if (sample.label is None) != (first.label is None):
        has, had = ("no", "one") if sample.label is None else ("a", "none")
        raise origin.wrong(f"it has {has} label, sample 0 has {had}", "label all samples or none")


def same_sample(one: Sample, other: Sample) -> str:
    """Return the name of what differs between two samples; an empty text where nothing does."""
    for name, array in one.inputs.items():
        if name not in other.inputs or not np.array_equal(array, other.inputs[name]):
            return repr(name)
    return "" if repr(one.label) == repr(other.label) else "the label"
