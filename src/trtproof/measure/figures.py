"""The compared figures: one value per round of each, and how sure their ratios are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from trtproof.benchmark_config import FigureConfig, FigureName
from trtproof.measure.protocols import protocol_of
from trtproof.measure.quantiles import percentile
from trtproof.measure.ratios import ratio_of_rounds
from trtproof.measure.samples import DEVICE, LATENCY, counted
from trtproof.measure.schedule import AGAIN
from trtproof.measure.stopping import Width

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Figure:
    """A percentile of a column of one scenario's samples; lower is better."""

    column: str
    share: float
    scenario: str = LATENCY


FIGURES: Final[Mapping[FigureName, Figure]] = {
    "wall_p10": Figure("e2e_ns", 0.10),
    "wall_p50": Figure("e2e_ns", 0.50),
    "wall_p99": Figure("e2e_ns", 0.99),
    "cpu_p50": Figure("cpu_ns", 0.50),
    "device_p50": Figure("device_ns", 0.50, DEVICE),
}
"""By their key in benchmark.figures."""


def values_by_round(
    samples: DataFrame, figure: Figure, contender: str, batch: int
) -> dict[int, float]:
    """Return one value in nanoseconds per counted round; none where a part was not measured."""
    own = counted(samples)
    own = own[(own["contender"] == contender) & (own["batch"] == batch)]
    own = own[own[figure.column].notna()]
    if not own.empty:
        protocol_of(own, what=f"{contender} at batch {batch}")
    times = own[figure.column].to_numpy(dtype=np.int64)
    rounds = own["round"].to_numpy(dtype=np.int64)
    return {
        int(number): percentile(times[rounds == number], figure.share)
        for number in np.unique(rounds)
    }


def sessions_by_round(samples: DataFrame) -> dict[int, int]:
    """Return which generation of workers measured each round."""
    pairs = samples[["round", "session"]].drop_duplicates().to_numpy(dtype=np.int64)
    return {int(number): int(session) for number, session in pairs}


def find_widths(
    samples: DataFrame, wanted: Mapping[FigureName, FigureConfig], *, reference: str
) -> list[Width]:
    """Return how wide the shown interval of every ratio to the reference is, where it matters.

    Second runs are compared with the first ones of the same variant: noise floors gate, so they
    must be narrow too. Nothing without a reference.

    Args:
        samples: of the latency scenario, as only its rounds can be extended.
        wanted: figure -> how narrow.
        reference: the contender that others are compared with.
    """
    others = [str(name) for name in samples["contender"].unique() if name != reference]
    batches = [int(batch) for batch in samples["batch"].unique()]
    sessions = sessions_by_round(samples)
    return [
        Width(
            name=f"{contender} batch {batch} {key}",
            halfwidth=_halfwidth(
                values_by_round(samples, FIGURES[key], _base_of(contender, reference), batch),
                values_by_round(samples, FIGURES[key], contender, batch),
                sessions,
            ),
            wanted=setting.wanted_halfwidth,
        )
        for key, setting in wanted.items()
        if setting.wanted_halfwidth is not None and FIGURES[key].scenario == LATENCY
        for batch in batches
        for contender in _compared(others, samples, reference)
    ]


def _base_of(contender: str, reference: str) -> str:
    """Return what a contender is compared with: a second run with the first."""
    return contender.removesuffix(AGAIN) if contender.endswith(AGAIN) else reference


def _compared(others: Sequence[str], samples: DataFrame, reference: str) -> Sequence[str]:
    return others if (samples["contender"] == reference).any() else []


def _halfwidth(
    before: Mapping[int, float], after: Mapping[int, float], sessions: Mapping[int, int]
) -> float | None:
    common = sorted(
        number for number in before.keys() & after.keys() if before[number] > 0 < after[number]
    )
    if not common:
        return None
    ratio = ratio_of_rounds(
        [before[number] for number in common],
        [after[number] for number in common],
        sessions=[sessions[number] for number in common],
    )
    return ratio.halfwidth
