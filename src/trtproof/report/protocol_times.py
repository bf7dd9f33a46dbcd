"""What a session measured by trtexec's own protocols, with trtexec's statistics.

Figures of two protocols are different quantities, and none of them is one of the session's own
protocol: they stand in a table of their own, without a ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.measure.disturbed import Cause
from trtproof.measure.samples import TRTEXEC, counted, of_scenario
from trtproof.measure.trtexec_figures import summarise
from trtproof.report.figures import NS_PER_MS, NS_PER_S, NotMeasured
from trtproof.report.skipped import why_skipped

if TYPE_CHECKING:
    from pandas import DataFrame

PARTS: Final = {"h2d": "h2d_ns", "compute": "device_ns", "d2h": "d2h_ns"}
"""Figure -> column of the samples; trtexec's latency is their sum."""

FIGURES: Final = ("latency", "compute", "h2d", "d2h", "enqueue")
CV: Final = "cv_pct"

Figures = Mapping[str, Mapping[str, float]]
"""Figure -> statistic -> milliseconds; the coefficient of variation is in per cent."""


@dataclass(frozen=True)
class ProtocolTimes:
    """One variant at one batch size by one protocol, or the `reason` why it has no figures.

    `causes` is what disturbed it, in words: there is no second one to take instead.
    """

    protocol: str
    switches: Mapping[str, bool]
    batch: int
    queries_count: int = 0
    queries_per_s: float = 0.0
    figures: Figures | None = None
    reason: str = ""
    causes: Sequence[str] = ()


def read_protocol_times(
    samples: DataFrame | NotMeasured,
    record: Mapping[str, Any],
    absent: Mapping[str, NotMeasured | None],
) -> dict[str, Sequence[ProtocolTimes] | NotMeasured]:
    """Return what was found of every variant.

    Args:
        samples: of all scenarios.
        record: run.json.
        absent: variant -> why nothing of it counts, or None.
    """
    scenarios, profile = record.get("scenarios", {}), str(record.get("profile", "of this session"))
    if why := why_skipped(scenarios, TRTEXEC, setting="trtexec", profile=profile):
        return {name: reason or why for name, reason in absent.items()}
    if isinstance(samples, NotMeasured):
        return {name: reason or samples for name, reason in absent.items()}
    notes, rows = scenarios[TRTEXEC], counted(of_scenario(samples, TRTEXEC))
    return {
        name: reason or [_read(note, rows) for note in notes if note["contender"] == name]
        for name, reason in absent.items()
    }


def protocol_figures(times: Sequence[ProtocolTimes] | NotMeasured) -> dict[str, dict[str, float]]:
    """Return one variant's figures by their key in metrics."""
    figures: dict[str, dict[str, float]] = {}
    for one in () if isinstance(times, NotMeasured) else times:
        for name, values in (one.figures or {}).items():
            figures[protocol_key(one, name)] = dict(values)
        if one.figures is not None:
            figures[rate_key(one)] = {"value": one.queries_per_s}
    return figures


def protocol_key(times: ProtocolTimes, figure: str) -> str:
    """Return where a figure stands in the metrics."""
    return f"{times.protocol}_b{times.batch}_{figure}_ms"


def rate_key(times: ProtocolTimes) -> str:
    """Return where the queries per second stand in the metrics."""
    return f"{times.protocol}_b{times.batch}_queries_per_s"


def _read(note: Mapping[str, Any], rows: DataFrame) -> ProtocolTimes:
    head = ProtocolTimes(note["protocol"], note["switches"], note["batch"])
    if "reason" in note:
        return ProtocolTimes(head.protocol, head.switches, head.batch, reason=note["reason"])
    own = rows[(rows["contender"] == note["contender"]) & (rows["batch"] == note["batch"])]
    own = own[own["protocol"] == note["protocol"]]
    return ProtocolTimes(
        protocol=head.protocol,
        switches=head.switches,
        batch=head.batch,
        queries_count=len(own),
        queries_per_s=len(own) * NS_PER_S / note["wall_ns"],
        figures=_summarise(own),
        causes=[Cause[name.upper()].value for name in note["causes"]],
    )


def _summarise(own: DataFrame) -> dict[str, dict[str, float]]:
    """Return the statistics of every figure that was timed; copies that were not are absent."""
    parts = {
        name: own[column].to_numpy(dtype=np.int64) / NS_PER_MS
        for name, column in PARTS.items()
        if own[column].notna().all()
    }
    columns = {"latency": np.sum(list(parts.values()), axis=0), **parts}
    columns["enqueue"] = own["enqueue_ns"].to_numpy(dtype=np.int64) / NS_PER_MS
    return {
        name: summarise([float(value) for value in columns[name]])
        for name in FIGURES
        if name in columns
    }
