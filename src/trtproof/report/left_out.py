"""Which rounds of the session count: what the benchmark decided, read back.

The report decides nothing here: the samples' status says which rounds were left out, run.json why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtproof.measure.disturbed import Cause, Selection
from trtproof.measure.samples import DISTURBED
from trtproof.report.figures import NotMeasured

if TYPE_CHECKING:
    from pandas import DataFrame


def read_selection(samples: DataFrame | NotMeasured, record: Mapping[str, Any]) -> Selection:
    """Return the rounds that count, the causes of all disturbed ones, and whether most were."""
    if isinstance(samples, NotMeasured):
        return Selection(kept=(), causes={}, mostly_disturbed=False)
    every = {int(number) for number in samples["round"].unique()}
    gone = {int(number) for number in samples[samples["status"] == DISTURBED]["round"].unique()}
    disturbance = record.get("disturbed", {})
    causes = {
        int(number): tuple(Cause[name.upper()] for name in names)
        for number, names in disturbance.get("causes", {}).items()
    }
    return Selection(
        kept=tuple(sorted(every - gone)),
        causes=dict.fromkeys(sorted(gone), ()) | causes,
        mostly_disturbed=bool(disturbance.get("mostly_disturbed", False)),
    )
