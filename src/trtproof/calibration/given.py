"""Ranges that a file gives, instead of a data pass: a TensorRT calibration cache, or JSON.

A cache holds int8 scales (trtproof.calibration.cache_file). JSON maps a tensor to its int8 scale,
to {"amax": largest magnitude} or to {"min": ..., "max": ...}; the mapping is the whole file or
stands under "scales" or "tensors", so that a ranges.json of another run is such a file.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trtproof import artifacts
from trtproof.calibration.cache_file import SEPARATOR
from trtproof.calibration.files import Calibration
from trtproof.calibration.histogram import Statistics, count_bins
from trtproof.errors import CalibrationError, MissingFileError

STEPS: Final = 127
"""Steps of int8 from zero to the end of a range."""

UNNAMED: Final = "(Unnamed Layer*"
"""How TensorRT calls a tensor of its own, which no ONNX graph has."""

NAMED_COUNT: Final = 3
KEYS: Final = ("scales", "tensors")
DIGITS: Final = 8
"""Hexadecimal ones of a float32."""

Range = tuple[float, float]


@dataclass(frozen=True)
class RangeNames:
    """What a file's names are checked against: all tensors, activations, and those of products."""

    tensors: Collection[str]
    activations: Collection[str]
    multiplied: Collection[str]


def read_given(path: Path, graph: RangeNames) -> Calibration:
    """Return the ranges in a file as a calibration without samples.

    Its coverage says under `given` where they are from, what was left out (weights, tensors of
    TensorRT's own), and for which inputs of products there is none.

    Raises:
        MissingFileError: there is no such file.
        CalibrationError: it is no such file, a value is no range, or the graph lacks a tensor.
    """
    ranges, kind = _read(path)
    named = {name: pair for name, pair in ranges.items() if not name.startswith(UNNAMED)}
    unknown = sorted(set(named) - set(graph.tensors))
    if unknown:
        raise CalibrationError(
            f"{path}: {_count(unknown)} of {len(ranges)} {'is' if len(unknown) == 1 else 'are'} "
            "not in the exported graph; name the tensors as artifacts/export/model.onnx does"
        )
    taken = {name: pair for name, pair in named.items() if name in set(graph.activations)}
    if not taken:
        raise CalibrationError(
            f"{path} has no range of an activation of the exported graph; take a file of this model"
        )
    given = {
        "file": path.name,
        "sha256": artifacts.sha256_file(path),
        "kind": kind,
        "tensors_count": len(taken),
        "left_out_count": len(ranges) - len(taken),
        "missing": sorted(set(graph.multiplied) - set(taken)),
    }
    coverage = {
        "schema": 1,
        "given": given,
        "samples_count": 0,
        "duplicates_count": 0,
        "synthetic": False,
    }
    return Calibration({name: _statistics(*pair) for name, pair in taken.items()}, coverage)


def say_calibrated(calibration: Calibration) -> list[str]:
    """Return what was calibrated, or for which tensors a file gives no range."""
    given, count = calibration.coverage.get("given"), len(calibration.tensors)
    if given is None:
        return [f"calibrated {count} tensors on {calibration.coverage['samples_count']} samples"]
    lines = [f"took the ranges of {count} tensors from {given['file']}"]
    if given["missing"]:
        lines.append(
            f"it has none for {_count(given['missing'])}, which convolutions or matrix products "
            "read: add them, or exclude the nodes that read them in the recipe"
        )
    return lines


def _read(path: Path) -> tuple[dict[str, Range], str]:
    """Return tensor -> range, and what kind of file it is."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingFileError(path, repair="put it there, or correct `calibrate.from`") from None
    except UnicodeDecodeError:
        raise _no_file(path) from None
    if text.lstrip().startswith("{"):
        return _read_json(path, text), "JSON"
    return _read_cache(path, text), "calibration cache"


def _read_json(path: Path, text: str) -> dict[str, Range]:
    try:
        data = json.loads(text)
    except ValueError:
        raise _no_file(path) from None
    inner = next((data[key] for key in KEYS if isinstance(data.get(key), dict)), data)
    return {name: _range(path, name, value) for name, value in inner.items()}


def _range(path: Path, name: str, value: Any) -> Range:
    """Return the range that a JSON value states."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping) and {"min", "max"} <= value.keys():
        low, high = value["min"], value["max"]
    elif isinstance(value, Mapping) and "amax" in value:
        low, high = None, value["amax"]
    else:
        low, high = None, STEPS * value if _is_number(value) else value
    if not _is_number(high) or not _is_number(0.0 if low is None else low):
        raise _no_range(path, name, value)
    found = (-float(high) if low is None else float(low), float(high))
    if found[0] > found[1] or not max(map(abs, found)) > 0:
        raise _no_range(path, name, value)
    return found


def _read_cache(path: Path, text: str) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for line in text.splitlines()[1:]:
        if not line.strip():
            continue
        name, separator, digits = line.rpartition(SEPARATOR)
        if not separator or len(digits.strip()) != DIGITS:
            raise _no_file(path)
        try:
            (scale,) = struct.unpack(">f", bytes.fromhex(digits.strip()))
        except ValueError:
            raise _no_file(path) from None
        if not 0 < scale < math.inf:
            raise _no_range(path, name, scale)
        found[name] = (-STEPS * scale, STEPS * scale)
    if not found:
        raise _no_file(path)
    return found


def _statistics(low: float, high: float) -> Statistics:
    """Return a tensor's statistics of which only the range is known: one value, its largest."""
    lowest, highest = float(np.float32(low)), float(np.float32(high))
    counts = count_bins(np.array([max(abs(lowest), abs(highest))], dtype=np.float32))
    bins = np.flatnonzero(counts)
    return Statistics(lowest, highest, bins, counts[bins])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _count(names: Collection[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:NAMED_COUNT])
    more = ", ..." if len(names) > NAMED_COUNT else ""
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'} ({shown}{more})"


def _no_file(path: Path) -> CalibrationError:
    return CalibrationError(
        f"{path} is neither a calibration cache (a first line, then TENSOR: eight hexadecimal "
        "digits) nor JSON of scales; correct `calibrate.from`"
    )


def _no_range(path: Path, name: str, value: Any) -> CalibrationError:
    return CalibrationError(
        f"{path}: {value!r} of tensor {name!r} is no range; give a positive scale, "
        '{"amax": ...} or {"min": ..., "max": ...}'
    )
