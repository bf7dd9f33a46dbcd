"""--exportProfile: the time of every layer, measured with the profiler's own overhead in it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from trtproof.errors import InputError

KEYS: Final = {"averageMs": "average_ms", "medianMs": "median_ms", "percentage": "share_pct"}


def read_profile(data: Any, *, file: str) -> dict[str, Any]:
    """Return {count, layers: [{name, average_ms, median_ms, share_pct}]}, checked.

    Raises:
        InputError: it is not such a file; names the layer.
    """
    if not isinstance(data, list) or not data or not isinstance(data[0], Mapping):
        raise _wrong(file, "it has no list of layers")
    if "count" not in data[0]:
        raise _wrong(file, "its first entry has no count of runs")
    layers = [_read_layer(entry, file, position) for position, entry in enumerate(data[1:])]
    if not layers:
        raise _wrong(file, "it has no list of layers")
    return {"count": int(data[0]["count"]), "layers": layers}


def _read_layer(entry: Any, file: str, position: int) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise _wrong(file, f"layer {position} has no name")
    layer: dict[str, Any] = {"name": entry["name"]}
    for theirs, ours in KEYS.items():
        value = entry.get(theirs, 0 if theirs == "medianMs" else None)
        if not isinstance(value, int | float) or not isfinite(value) or value < 0:
            raise _wrong(file, f"layer {position} has {theirs} {value!r}")
        layer[ours] = float(value)
    return layer


def _wrong(file: str, problem: str) -> InputError:
    return InputError(
        f"{file} is not what `trtexec --exportProfile` writes: {problem}; pass that file as "
        "--profile"
    )
