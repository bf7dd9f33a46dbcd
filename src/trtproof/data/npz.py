"""Samples that the user stored as .npz: an array (N, ...) per model input, and maybe `labels`.

The arrays are what the model takes, already preprocessed: nothing is applied to them here. With
`options.inputs: ${model.inputs}` names, types and shapes are checked, and arrays of other names are
left alone; without it every array but `labels` is an input.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct

from trtproof.config import DatasetConfig, InputConfig, decode
from trtproof.data.arrays import ArrayDataset, require_inputs, resolve_count
from trtproof.data.base import Label, Split
from trtproof.errors import InputError, MissingFileError
from trtproof.model_inputs import resolve_inputs
from trtproof.tensor import Array, Feeds, TensorSpec

LABELS: Final = "labels"


class _Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.options`: the model's inputs, where they shall be checked."""

    inputs: dict[str, InputConfig] | str | None = None


class _SplitOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`dataset.calibration` and `dataset.evaluation`: the file, and how many of its samples."""

    file: str
    count: Annotated[int, Meta(ge=1)] | None = None


class NpzFormat:
    """Open .npz files."""

    def files(self, config: DatasetConfig, split: Split) -> Sequence[Path]:
        """Return the split's file."""
        return (Path(_decode_split(config, split).file),)

    def open(self, config: DatasetConfig, split: Split) -> ArrayDataset:
        """Return the split's samples in the file's order.

        Raises:
            ConfigError: an unknown option, or more samples than there are.
            InputError: the file is missing or broken, an input is missing, lengths differ, or a
                value is not finite.
        """
        options = decode(_Options, config.options, key="dataset.options")
        chosen = _decode_split(config, split)
        path = Path(chosen.file)
        arrays = _read_arrays(path, key=f"dataset.{split}.file")
        labels = arrays.pop(LABELS, None)
        feeds = _select_inputs(arrays, options.inputs, path)
        length = _require_one_length(feeds, labels, path)
        count = resolve_count(chosen.count, length, key=f"dataset.{split}")
        _require_finite(feeds, path)
        return ArrayDataset(
            feeds={name: np.ascontiguousarray(array[:count]) for name, array in feeds.items()},
            labels=None if labels is None else _to_labels(labels[:count]),
            preprocessing=({"step": "stored", "version": 1},),
            synthetic=config.synthetic,
        )


def _decode_split(config: DatasetConfig, split: Split) -> _SplitOptions:
    return decode(_SplitOptions, getattr(config, split), key=f"dataset.{split}")


def _read_arrays(path: Path, *, key: str) -> dict[str, Array]:
    repair = "write it again with numpy.savez"
    try:
        with path.open("rb") as file:  # numpy leaves a file open that it fails to read
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise InputError(f"{path} holds a single array, not named arrays; {repair}")
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise MissingFileError(path, repair=f"correct `{key}`") from None
    except EOFError:
        raise InputError(f"{path} is empty or cut short; {repair}") from None
    except (zipfile.BadZipFile, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is not a whole .npz file ({error}); {repair}") from None


def _select_inputs(
    arrays: dict[str, Array], stated: dict[str, InputConfig] | str | None, path: Path
) -> Feeds:
    if stated is not None:
        inputs = resolve_inputs(stated)
        specs = [TensorSpec(name, item.dtype, tuple(item.shape)) for name, item in inputs.items()]
        require_inputs(arrays, specs, where=str(path))
        return {name: arrays[name] for name in inputs}
    if not arrays:
        raise InputError(
            f"{path} has no input array; store one array per model input under the input's name"
        )
    return arrays


def _require_one_length(feeds: Feeds, labels: Array | None, path: Path) -> int:
    """Return the number of samples that all arrays share."""
    arrays = feeds if labels is None else {**feeds, LABELS: labels}
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        stated = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(
            f"{path}: arrays differ in length ({stated}); store one row per sample in each"
        )
    length = next(iter(lengths.values()))
    if length == 0:
        raise InputError(f"{path} has no samples; store at least one row per array")
    return length


def _require_finite(feeds: Feeds, path: Path) -> None:
    for name, array in feeds.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if bad.any():
            raise InputError(
                f"{path}: {name!r} has NaN or infinity, first in sample {int(bad.argmax())} "
                f"of {len(array)}; remove or repair these samples"
            )


def _to_labels(labels: Array) -> list[Label]:
    plain: list[Label] = labels.tolist()
    return plain


FORMAT: Final = NpzFormat()
