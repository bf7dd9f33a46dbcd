"""The summary in run.json: every scenario's figures at a glance, from the samples alone.

Times are nanoseconds. The report computes its own figures; this is for reading run.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trtproof.measure.figures import FIGURES, sessions_by_round, values_by_round
from trtproof.measure.quantiles import percentile
from trtproof.measure.ratios import ratio_of_rounds
from trtproof.measure.samples import counted

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PERCENTILES: Final = (0.1, 0.5, 0.9, 0.95, 0.99)


def summarize(
    samples: DataFrame, contenders: Sequence[str], *, reference: str
) -> dict[str, dict[str, Any]]:
    """Return percentiles and speed-up by batch and contender.

    Args:
        samples: of the latency scenario.
        contenders: those to show.
        reference: the contender that others are compared with.
    """
    batches = sorted(int(batch) for batch in samples["batch"].unique())
    return {
        str(batch): {
            contender: _summarize_contender(samples, contender, batch, reference)
            for contender in contenders
        }
        for batch in batches
    }


def _summarize_contender(
    samples: DataFrame, contender: str, batch: int, reference: str
) -> dict[str, Any]:
    kept = counted(samples)
    own = kept[(kept["contender"] == contender) & (kept["batch"] == batch)]
    before = values_by_round(samples, FIGURES["wall_p50"], reference, batch)
    after = values_by_round(samples, FIGURES["wall_p50"], contender, batch)
    return {
        "samples_count": len(own),
        "e2e_ns": _percentiles(own["e2e_ns"]),
        "cpu_ns": _percentiles(own["cpu_ns"].dropna()),
        "round_medians_ns": list(after.values()),
        "speedup": _speedup(before, after, sessions_by_round(samples))
        if contender != reference
        else None,
    }


def _speedup(
    before: Mapping[int, float], after: Mapping[int, float], sessions: Mapping[int, int]
) -> dict[str, Any] | None:
    common = sorted(before.keys() & after.keys())
    if not common:
        return None
    ratio = ratio_of_rounds(
        [before[number] for number in common],
        [after[number] for number in common],
        sessions=[sessions[number] for number in common],
    )
    return asdict(ratio)


def _percentiles(values: Series[Any]) -> dict[str, float]:
    array = values.to_numpy(dtype=np.int64)
    if not len(array):
        return {}
    return {f"p{share * 100:g}": percentile(array, share) for share in PERCENTILES}
