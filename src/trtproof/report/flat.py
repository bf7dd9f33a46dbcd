"""Figures as the flat mappings that metrics files hold: a name per number, unknown ones absent."""

from __future__ import annotations

from collections.abc import Mapping

from trtproof.measure.quantiles import Quantile
from trtproof.measure.verdict import Verdict


def known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return what is known."""
    return {key: value for key, value in values.items() if value is not None}


def flatten_quantile(name: str, quantile: Quantile) -> dict[str, float]:
    """Return the percentile and, where there is one, its interval."""
    low, high = quantile.bounds or (None, None)
    return known({name: quantile.value, f"{name}_ci_lo": low, f"{name}_ci_hi": high})


def flatten_ratio(verdict: Verdict) -> dict[str, float]:
    """Return the ratio with the shown and the deciding interval, where rounds suffice.

    `all_rounds` and its interval have the left-out rounds in; absent where none were.
    """
    shown, gate, every = verdict.shown, verdict.gate, verdict.shown_all
    return known(
        {
            "value": shown.value,
            "ci_lo": shown.low,
            "ci_hi": shown.high,
            "gate_lo": gate.low,
            "gate_hi": gate.high,
            "all_rounds": every.value if every else None,
            "all_rounds_ci_lo": every.low if every else None,
            "all_rounds_ci_hi": every.high if every else None,
        }
    )
