"""--exportTimes: one object of twelve times per request, in milliseconds.

Source: TensorRT's samples/common/sampleReporting.cpp, exportJSONTrace; the same in 8.4 to 11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from trtproof.errors import InputError
from trtproof.measure.trtexec_figures import summarise

PARTS: Final = {"h2d": "H2d", "compute": "Compute", "d2h": "D2h"}
FIGURES: Final = ("latency", "compute", "h2d", "d2h", "enqueue")
NAMES: Final = (
    "startEnqMs",
    "endEnqMs",
    "latencyMs",
    *(f"{end}{word}Ms" for word in PARTS.values() for end in ("start", "end")),
    *(f"{part}Ms" for part in PARTS),
)
TOLERANCE_MS: Final = 0.01
"""trtexec writes six significant digits, so that differences of late times are rounded."""

RELATIVE_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Times:
    """Figure -> milliseconds of every request; latency is the sum of its parts, not host wall.

    `wall_ms` is from the first request's first copy to the last one's last.
    """

    columns: Mapping[str, Sequence[float]]
    wall_ms: float

    @property
    def samples_count(self) -> int:
        """Return the number of requests."""
        return len(self.columns["latency"])

    @property
    def has_transfers(self) -> bool:
        """Say whether any request's copies took any time."""
        return any(map(any, (self.columns["h2d"], self.columns["d2h"])))

    @property
    def queries_per_s(self) -> float | None:
        """Return what trtexec calls Throughput; None where the requests span no time."""
        return 1000 * self.samples_count / self.wall_ms if self.wall_ms > 0 else None

    def summary(self) -> dict[str, dict[str, float]]:
        """Return figure -> its statistics as trtexec itself computes them."""
        return {name: summarise(values) for name, values in self.columns.items()}


def read_times(data: Any, *, file: str, warm_up_ms: float = 0.0) -> Times:
    """Return the times of an exported file, checked, without requests of the warm-up.

    Args:
        data: the parsed file.
        file: its name, for errors.
        warm_up_ms: requests that began to compute earlier are left out, as trtexec does.

    Raises:
        InputError: it is not such a file, or its times contradict each other; names the request.
    """
    if not isinstance(data, list) or not data:
        raise _wrong(file, "it has no list of requests")
    rows = [_read_request(entry, file, position) for position, entry in enumerate(data)]
    kept = [
        (row, entry)
        for row, entry in zip(rows, data, strict=True)
        if entry["startComputeMs"] >= warm_up_ms
    ]
    if not kept:
        raise InputError(
            f"{file} has no request that began after {warm_up_ms:g} ms of warm-up; state warmUp=0 "
            "in --options if it had none"
        )
    return Times(
        columns={name: [row[name] for row, _ in kept] for name in FIGURES},
        wall_ms=max(entry["endD2hMs"] for _, entry in kept) - kept[0][1]["startH2dMs"],
    )


def _read_request(entry: Any, file: str, position: int) -> dict[str, float]:
    where = f"request {position}"
    if not isinstance(entry, Mapping):
        raise _wrong(file, f"{where} is not an object")
    for name in NAMES:
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise _wrong(file, f"{where} has {name} {value!r}, not a number")
    for part, word in PARTS.items():
        between = entry[f"end{word}Ms"] - entry[f"start{word}Ms"]
        _require_near(
            between, entry[f"{part}Ms"], entry[f"end{word}Ms"], f"{file}: {where}, {part}"
        )
    total = sum(entry[f"{part}Ms"] for part in PARTS)
    _require_near(total, entry["latencyMs"], total, f"{file}: {where}, latency")
    enqueue = entry["endEnqMs"] - entry["startEnqMs"]
    times = {part: float(entry[f"{part}Ms"]) for part in PARTS}
    times |= {"latency": float(entry["latencyMs"]), "enqueue": float(enqueue)}
    if min(times.values()) < 0:
        raise _wrong(file, f"{where} has a negative time")
    return times


def _require_near(found: float, stated: float, scale: float, what: str) -> None:
    """Refuse a stated time that is not the difference or the sum of the others."""
    if abs(found - stated) > TOLERANCE_MS + RELATIVE_TOLERANCE * abs(scale):
        raise InputError(
            f"{what} is stated as {stated} ms, but the other times make it {found:.6g} ms; "
            "export the file again"
        )


def _wrong(file: str, problem: str) -> InputError:
    return InputError(
        f"{file} is not what `trtexec --exportTimes` writes: {problem}; pass that file as --times"
    )
