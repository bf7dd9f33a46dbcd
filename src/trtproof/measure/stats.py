"""The statistics that a report needs most, under one name.

Each lives by its concern: ratios.py, quantiles.py; see also targets.py, verdict.py, stopping.py
and disturbed.py.
"""

from __future__ import annotations

from trtproof.measure.quantiles import percentile
from trtproof.measure.ratios import (
    Ratio,
    hodges_lehmann,
    ratio_of_rounds,
    signed_rank_interval,
)

__all__ = ["Ratio", "hodges_lehmann", "percentile", "ratio_of_rounds", "signed_rank_interval"]
