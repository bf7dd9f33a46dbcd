"""What the GPU's own clock said: launches alone, and the parts of whole requests.

Computed from the raw samples of the scenarios `device` and `parts` and from nothing else, by round
like latency. The names are trtexec's: H2D, GPU compute, D2H, enqueue.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from trtproof.measure.disturbed import Cause, Selection
from trtproof.measure.figures import sessions_by_round
from trtproof.measure.quantiles import MEDIAN, Method, Quantile, estimate_quantile, percentile
from trtproof.measure.ratios import SHOWN_CONFIDENCE
from trtproof.measure.samples import DEVICE, PARTS, WARMUP, counted, of_scenario
from trtproof.measure.schedule import AGAIN
from trtproof.measure.verdict import RoundValues, VerdictRule, judge
from trtproof.report.comparisons import NO_COMMON_ROUND, RAN_ONCE, Comparison
from trtproof.report.device_torch import find_device_best
from trtproof.report.figures import (
    Blocks,
    NotMeasured,
    blocks_by_round,
    estimate_percentiles,
)
from trtproof.report.skipped import Note, why_skipped

if TYPE_CHECKING:
    from pandas import DataFrame

DEVICE_FIGURE: Final = "device_p50"
"""Key of the compared figure, as in benchmark.figures."""

TITLE: Final = "device time, median"
COMPUTE: Final = "device"
ENQUEUE: Final = "enqueue"
SERIAL: Final = ("h2d", COMPUTE, "d2h")
"""Parts of a request that follow one another."""

PART_NAMES: Final = (*SERIAL, ENQUEUE)
PERCENT: Final = 100.0


@dataclass(frozen=True)
class DeviceTime:
    """One contender's launches alone at one batch size, in milliseconds.

    `cv_pct` is their standard deviation in percent of their mean. `values_ms` is round -> the
    block's median, of every round that was measured.
    """

    batch: int
    samples_count: int
    percentiles: Mapping[str, Quantile]
    mean_ms: float
    cv_pct: float
    values_ms: Mapping[int, float]
    sessions: Mapping[int, int]


@dataclass(frozen=True)
class Parts:
    """The median of every part of one contender's requests at one batch size, in milliseconds."""

    batch: int
    samples_count: int
    medians: Mapping[str, Quantile]

    @property
    def sum_ms(self) -> float:
        """Return what trtexec calls latency: both copies and what lies between, without the host.

        Source: TensorRT, samples/common/sampleReporting.cpp.
        """
        return sum(self.medians[name].value for name in SERIAL)


@dataclass(frozen=True)
class DeviceFindings:
    """One variant's, by batch size; the reference's comparisons are with its own second run.

    `control` is that of any variant which ran twice. `best_torch` is the variant of backend torch
    whose launches are the fastest, which `against_torch` compares with.
    """

    launches: Mapping[int, DeviceTime] | NotMeasured
    parts: Mapping[int, Parts] | NotMeasured
    comparisons: Mapping[int, Comparison | NotMeasured]
    control: Mapping[int, Comparison | NotMeasured] = field(default_factory=dict)
    best_torch: Mapping[int, str] = field(default_factory=dict)
    against_torch: Mapping[int, Comparison | NotMeasured] = field(default_factory=dict)


def read_device_times(
    samples: DataFrame | NotMeasured,
    record: Note,
    absent: Mapping[str, NotMeasured | None],
    reference: str,
    torch: Collection[str],
) -> dict[str, DeviceFindings]:
    """Return what was found of every variant.

    Args:
        samples: of all scenarios.
        record: run.json.
        absent: variant -> why nothing of it counts, or None.
        reference: the variant that others are compared with.
        torch: the variants of backend torch.
    """
    session = _Session(samples, record)
    launches = {name: session.launches(name, why) for name, why in absent.items()}
    again = {name: session.launches(f"{name}{AGAIN}", why) for name, why in absent.items()}
    second = again[reference]
    best = find_device_best(launches, torch, reference, again)
    return {
        name: DeviceFindings(
            launches=launches[name],
            parts=session.parts(name, why),
            comparisons=session.compare(launches[reference], second, second)
            if name == reference
            else session.compare(launches[reference], second, launches[name], again[name]),
            control=session.compare(launches[name], again[name], again[name]),
            best_torch=best.names,
            against_torch=session.compare(
                best.without(name), best.again, launches[name], again[name]
            ),
        )
        for name, why in absent.items()
    }


class _Session:
    """The samples of both scenarios, and what run.json says of them."""

    def __init__(self, samples: DataFrame | NotMeasured, record: Note) -> None:
        self._samples = samples
        self._notes: Mapping[str, Sequence[Note]] = record.get("scenarios", {})
        self._profile = str(record.get("profile", "of this session"))
        figure = record.get("figures", {}).get(DEVICE_FIGURE, {})
        self._minimum_effect: float | None = figure.get("minimum_effect")

    def launches(
        self, contender: str, absent: NotMeasured | None
    ) -> Mapping[int, DeviceTime] | NotMeasured:
        """Return the launches of one contender by batch size."""
        rows = self._rows(DEVICE, contender, absent)
        if isinstance(rows, NotMeasured):
            return rows
        return {batch: _time(own, batch) for batch, own in _by_batch(rows)}

    def parts(
        self, contender: str, absent: NotMeasured | None
    ) -> Mapping[int, Parts] | NotMeasured:
        """Return the parts of one contender's requests by batch size."""
        rows = self._rows(PARTS, contender, absent)
        if isinstance(rows, NotMeasured):
            return rows
        return {batch: _take_apart(counted(own), batch) for batch, own in _by_batch(rows)}

    def compare(
        self,
        reference: Mapping[int, DeviceTime] | NotMeasured,
        again: Mapping[int, DeviceTime] | NotMeasured,
        contender: Mapping[int, DeviceTime] | NotMeasured,
        contender_again: Mapping[int, DeviceTime] | NotMeasured = RAN_ONCE,
    ) -> dict[int, Comparison | NotMeasured]:
        """Return how many times as fast as the reference's the contender's launches are."""
        if isinstance(contender, NotMeasured):
            return {}
        if isinstance(reference, NotMeasured) or self._minimum_effect is None:
            return dict.fromkeys(contender, NotMeasured("the reference has no device time"))
        second, other = (
            {} if isinstance(item, NotMeasured) else item for item in (again, contender_again)
        )
        return {
            batch: self._judge(
                (reference[batch], second.get(batch)),
                (own, other.get(batch)),
                self._minimum_effect,
            )
            for batch, own in contender.items()
            if batch in reference
        }

    def _judge(
        self,
        first: tuple[DeviceTime, DeviceTime | None],
        contender: tuple[DeviceTime, DeviceTime | None],
        minimum_effect: float,
    ) -> Comparison | NotMeasured:
        """Return the verdict on two variants, each with its second run where it had one."""
        (reference, again), (own, own_again) = first, contender
        values = RoundValues(
            reference=reference.values_ms,
            again=again.values_ms if again else {},
            contender=own.values_ms,
            sessions=reference.sessions,
            contender_again=own_again.values_ms if own_again else {},
        )
        selection = self._selection()
        if not values.reference.keys() & values.contender.keys() & set(selection.kept):
            return NotMeasured(NO_COMMON_ROUND)
        rule = VerdictRule(minimum_effect=minimum_effect, profile=self._profile)
        verdict = judge(values, rule, selection)
        return Comparison(TITLE, verdict, decides=verdict.gates)

    def _selection(self) -> Selection:
        """Return which rounds of these scenarios count."""
        notes = [note for note in self._notes.get(DEVICE, ()) if "round" in note]
        causes = {
            note["round"]: tuple(Cause[name.upper()] for name in note["causes"])
            for note in notes
            if note["causes"]
        }
        kept = {note["round"] for note in notes if not note["left_out"]}
        mostly = any(note["mostly_disturbed"] for note in notes)
        return Selection(kept=tuple(sorted(kept)), causes=causes, mostly_disturbed=mostly)

    def _rows(
        self, scenario: str, contender: str, absent: NotMeasured | None
    ) -> DataFrame | NotMeasured:
        """Return one contender's rows, disturbed ones included, or why there are none."""
        if why := absent or self._why_none(scenario, contender):
            return why
        if isinstance(self._samples, NotMeasured):
            return self._samples
        rows = of_scenario(self._samples, scenario)
        rows = rows[(rows["contender"] == contender) & (rows["status"] != WARMUP)]
        if counted(rows).empty:
            return NotMeasured("all its rounds were disturbed")
        if rows["device_ns"].isna().any():
            return NotMeasured("its runner does not mark requests by the device's clock")
        return rows

    def _why_none(self, scenario: str, contender: str) -> NotMeasured | None:
        if why := why_skipped(self._notes, scenario, setting="device", profile=self._profile):
            return why
        own = [note for note in self._notes[scenario] if note["contender"] == contender]
        if not own:
            return NotMeasured(f"{contender} was not in this scenario; run `dvc repro benchmark`")
        return NotMeasured(own[0]["reason"]) if "reason" in own[0] else None


def _by_batch(rows: DataFrame) -> list[tuple[int, DataFrame]]:
    return [(int(batch), rows[rows["batch"] == batch]) for batch in sorted(set(rows["batch"]))]


def _time(rows: DataFrame, batch: int) -> DeviceTime:
    column = f"{COMPUTE}_ns"
    blocks, sessions = blocks_by_round(counted(rows), column), sessions_by_round(rows)
    pooled = np.concatenate(list(blocks.values()))
    every = blocks_by_round(rows, column)
    return DeviceTime(
        batch=batch,
        samples_count=len(pooled),
        percentiles=estimate_percentiles(blocks, sessions),
        mean_ms=float(pooled.mean()),
        cv_pct=PERCENT * float(pooled.std() / pooled.mean()),
        values_ms={number: percentile(block, MEDIAN) for number, block in every.items()},
        sessions=sessions,
    )


def _take_apart(rows: DataFrame, batch: int) -> Parts:
    sessions = sessions_by_round(rows)
    medians = {name: _median(blocks_by_round(rows, f"{name}_ns"), sessions) for name in PART_NAMES}
    return Parts(batch=batch, samples_count=len(rows), medians=medians)


def _median(blocks: Blocks, sessions: Mapping[int, int]) -> Quantile:
    """Return the median of a part; without interval where the clock saw none of it in a block."""
    order = [sessions[number] for number in blocks]
    found = None
    if min(percentile(block, MEDIAN) for block in blocks.values()) > 0:
        found = estimate_quantile(list(blocks.values()), MEDIAN, sessions=order)
    if found is not None:
        return found
    pooled = np.concatenate(list(blocks.values()))
    value = percentile(pooled, MEDIAN)
    return Quantile(MEDIAN, value, None, Method.NONE, len(pooled), SHOWN_CONFIDENCE)
