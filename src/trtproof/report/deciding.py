"""The intervals of times and loads that decide whether a limit is met, as the metrics keep them.

With them a limit that nobody had set when a session was measured can be judged later, from git
alone: it is met where the whole interval is on its right side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trtproof.measure.quantiles import PUBLISHED
from trtproof.measure.ratios import Bounds
from trtproof.measure.targets import decisive_bounds
from trtproof.report.figures import Timing
from trtproof.report.relative import rate_of
from trtproof.report.scenarios import Load

MOSTLY_DISTURBED: Final = "mostly_disturbed_count"
"""Key of a session's 1 where most of its rounds were disturbed, so that no latency decides."""


def latency_gates(timing: Timing) -> dict[str, float]:
    """Return the ends of the median's and the P99's interval in milliseconds, by metrics key."""
    tail = decisive_bounds(timing.latencies_ms, PUBLISHED["p99"])
    return _ends({"p50_gate": timing.decisive_p50_ms, "p99_gate": tail})


def load_latencies(load: Load) -> dict[str, float]:
    """Return a load's percentiles in milliseconds with the intervals that decide.

    A load that was mostly disturbed has none of these.
    """
    gates = {} if load.mostly_disturbed else load.gates_ms
    return {**load.latencies_ms, **_ends({f"{name}_gate": ends for name, ends in gates.items()})}


def load_rates(load: Load) -> dict[str, float]:
    """Return a load's samples per second, as `load_latencies`."""
    rate = rate_of(load)
    return {
        "value": rate.value,
        "min": min(load.rates_ips),
        "max": max(load.rates_ips),
        **_ends({"ci": rate.shown, "gate": None if load.mostly_disturbed else rate.gate}),
    }


def _ends(bounds: Mapping[str, Bounds | None]) -> dict[str, float]:
    return {
        f"{name}_{end}": found[place]
        for name, found in bounds.items()
        if found is not None
        for place, end in enumerate(("lo", "hi"))
    }
