"""What was measured beside latency: load by streams, one variant alone for long, cold starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from trtproof.measure.disturbed import Cause
from trtproof.measure.quantiles import (
    MEDIAN,
    PUBLISHED,
    estimate_quantile,
    may_publish,
    percentile,
)
from trtproof.measure.ratios import GATE_CONFIDENCE, Bounds
from trtproof.measure.samples import COLD, SUSTAINED, THROUGHPUT, counted, of_scenario
from trtproof.measure.schedule import AGAIN
from trtproof.measure.targets import decisive_bounds
from trtproof.report.figures import NS_PER_MS, NotMeasured
from trtproof.report.skipped import Note, why_skipped
from trtproof.tensor import Array

if TYPE_CHECKING:
    from pandas import DataFrame

PHASES: Final = ("process", "import", "context", "open", "first", "rest")
"""Of a cold start, in their order; the last is what lies between the others.

A context is made on a GPU only.
"""


@dataclass(frozen=True)
class Load:
    """One batch size and number of streams, each stream with one request in flight at all times.

    `rates_ips` is samples per second of every window, one per round, without those that something
    disturbed (`left_out_count`; where most were, none is left out and `mostly_disturbed` says so).
    Latencies include waiting for the other streams; only those that the requests can bound are
    there. `cores` is how many processors were kept busy. `gates_ms` are the intervals that decide:
    of p50 the exact 99 % one over windows, of p99 that of trtproof.measure.targets; one is missing
    where windows or requests are too few.
    """

    batch: int
    streams: int
    rates_ips: tuple[float, ...]
    latencies_ms: Mapping[str, float]
    cores: float
    left_out_count: int = 0
    mostly_disturbed: bool = False
    gates_ms: Mapping[str, Bounds] = field(default_factory=dict)
    requests_count: int = 0

    @property
    def rate_ips(self) -> float:
        """Return the median over the windows."""
        return float(median(self.rates_ips))


@dataclass(frozen=True)
class Sustained:
    """One variant alone on the machine for long, then measured; `settled`: its medians agreed.

    `causes` is what disturbed it, in words: there is no second one to take instead.
    """

    batch: int
    samples_count: int
    latencies_ms: Mapping[str, float]
    settled: bool
    causes: Sequence[str] = ()


@dataclass(frozen=True)
class ColdStart:
    """From the start of a process to its first answer: medians over processes, by phase.

    `phases_ms` has those of PHASES that there were.
    """

    processes_count: int
    total_ms: float
    least_ms: float
    most_ms: float
    phases_ms: Mapping[str, float]


@dataclass(frozen=True)
class Scenarios:
    """One variant's; `again` is the load of its second run, where it had one."""

    throughput: Sequence[Load] | NotMeasured
    again: Sequence[Load]
    sustained: Sequence[Sustained] | NotMeasured
    cold: ColdStart | NotMeasured


def read_scenarios(samples: DataFrame | NotMeasured, record: Note) -> _Session:
    """Return what a session has of all scenarios, from its samples and run.json."""
    notes, rows = record.get("scenarios", {}), {}
    if not isinstance(samples, NotMeasured):
        rows = {name: counted(of_scenario(samples, name)) for name in (THROUGHPUT, SUSTAINED)}
    return _Session(rows=rows, notes=notes, profile=str(record.get("profile", "of this session")))


@dataclass(frozen=True)
class _Session:
    """Scenario -> its counted samples, and what run.json says of its measurements.

    `profile` names the profile, for scenarios that it leaves out.
    """

    rows: Mapping[str, DataFrame]
    notes: Mapping[str, Sequence[Note]]
    profile: str

    def find(self, variant: str, absent: NotMeasured | None) -> Scenarios:
        """Return what was measured of a variant; `absent` says why nothing of it counts."""
        return Scenarios(
            throughput=self._find_loads(variant, absent),
            again=() if absent else self._loads(f"{variant}{AGAIN}"),
            sustained=self._find_sustained(variant, absent),
            cold=self._find_cold(variant, absent),
        )

    def _find_loads(self, variant: str, absent: NotMeasured | None) -> Sequence[Load] | NotMeasured:
        return self._why_none(THROUGHPUT, variant, absent) or self._loads(variant)

    def _loads(self, contender: str) -> Sequence[Load]:
        by_load: dict[tuple[int, int], list[Note]] = {}
        for note in self._notes(THROUGHPUT, contender):
            by_load.setdefault((note["batch"], note["streams"]), []).append(note)
        return [
            self._load(contender, batch, streams, notes)
            for (batch, streams), notes in sorted(by_load.items())
        ]

    def _load(self, contender: str, batch: int, streams: int, notes: Sequence[Note]) -> Load:
        kept = [note for note in notes if not note["left_out"]]
        rows = self._rows(THROUGHPUT, contender, batch=batch, streams=streams)
        latencies_ms = _latencies_ms(rows)
        return Load(
            batch=batch,
            streams=streams,
            rates_ips=tuple(float(note["samples_per_s"]) for note in kept),
            latencies_ms=_percentiles_ms(latencies_ms),
            cores=sum(note["cpu_ns"] for note in kept) / sum(note["window_ns"] for note in kept),
            left_out_count=len(notes) - len(kept),
            mostly_disturbed=any(note["mostly_disturbed"] for note in notes),
            gates_ms=_gates_ms(rows),
            requests_count=len(latencies_ms),
        )

    def _find_sustained(
        self, variant: str, absent: NotMeasured | None
    ) -> Sequence[Sustained] | NotMeasured:
        if why := self._why_none(SUSTAINED, variant, absent):
            return why
        found = []
        for note in self._notes(SUSTAINED, variant):
            rows = self._rows(SUSTAINED, variant, batch=note["batch"], streams=1)
            latencies_ms = _latencies_ms(rows)
            found.append(
                Sustained(
                    batch=note["batch"],
                    samples_count=len(latencies_ms),
                    latencies_ms=_percentiles_ms(latencies_ms),
                    settled=bool(note["settled"]["converged"]),
                    causes=[Cause[name.upper()].value for name in note["causes"]],
                )
            )
        return found

    def _find_cold(self, variant: str, absent: NotMeasured | None) -> ColdStart | NotMeasured:
        if why := self._why_none(COLD, variant, absent):
            return why
        notes = self._notes(COLD, variant)
        totals_ms = [note["total_ns"] / NS_PER_MS for note in notes]
        return ColdStart(
            processes_count=len(notes),
            total_ms=median(totals_ms),
            least_ms=min(totals_ms),
            most_ms=max(totals_ms),
            phases_ms={
                phase: median(note[f"{phase}_ns"] / NS_PER_MS for note in notes)
                for phase in PHASES
                if all(f"{phase}_ns" in note for note in notes)
            },
        )

    def _why_none(
        self, scenario: str, variant: str, absent: NotMeasured | None
    ) -> NotMeasured | None:
        if absent is not None:
            return absent
        if why := why_skipped(self.notes, scenario, setting=scenario, profile=self.profile):
            return why
        if not self._notes(scenario, variant):
            return NotMeasured(f"{variant} was not in this scenario; run `dvc repro benchmark`")
        return None if self.rows else NotMeasured("the samples are missing; run `dvc checkout`")

    def _notes(self, scenario: str, contender: str) -> Sequence[Note]:
        notes = self.notes.get(scenario, ())
        return [note for note in notes if note.get("contender") == contender]

    def _rows(self, scenario: str, contender: str, *, batch: int, streams: int) -> DataFrame | None:
        """Return the counted requests of one load; None where there are no samples at all."""
        if scenario not in self.rows:
            return None
        rows = self.rows[scenario]
        rows = rows[(rows["contender"] == contender) & (rows["batch"] == batch)]
        return rows[rows["streams"] == streams]


def _latencies_ms(rows: DataFrame | None) -> Array:
    return np.empty(0) if rows is None else rows["e2e_ns"].to_numpy(dtype=np.int64) / NS_PER_MS


def _gates_ms(rows: DataFrame | None) -> dict[str, Bounds]:
    """Return by percentile the intervals that decide, of those that can be had."""
    if rows is None or rows.empty:
        return {}
    windows = [_latencies_ms(window) for _, window in rows.groupby("round")]
    median_ms = estimate_quantile(windows, MEDIAN, confidence=GATE_CONFIDENCE)
    found = {
        "p50": median_ms.bounds if median_ms else None,
        "p99": decisive_bounds(_latencies_ms(rows), PUBLISHED["p99"]),
    }
    return {name: bounds for name, bounds in found.items() if bounds is not None}


def _percentiles_ms(latencies_ms: Array) -> dict[str, float]:
    """Return the percentiles that so many requests bound."""
    count = len(latencies_ms)
    return {
        name: percentile(latencies_ms, share)
        for name, share in PUBLISHED.items()
        if count and may_publish(share, count)
    }
