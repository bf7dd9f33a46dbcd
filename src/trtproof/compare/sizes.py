"""Plain figures of two builds of a variant: sizes, memory, build time, layers.

They have no repetitions and so no interval: a difference is shown from a smallest effect on, and
never decides. Two builds of one key may differ; the time of one build is one sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from trtproof import artifacts
from trtproof.budget_config import CompareConfig
from trtproof.compare.pairs import Pair, Side
from trtproof.compare.result import SizeChange

LAYERS_FILE: Final = "layers.json"
INSPECTION: Final = "inspection"
"""Where a record's details keep the counts of an engine's inspector."""

BYTES: Final = "_bytes"
BYTES_PER_MIB: Final = 1024 * 1024

Figures = dict[tuple[str, str], float]
"""(what, unit) -> value."""


def compare_sizes(pair: Pair, config: CompareConfig) -> Iterator[SizeChange]:
    """Yield every plain figure that both builds have."""
    before, after = _figures(pair.base), _figures(pair.work)
    effects = {"s": config.build_time, "MiB": config.memory, "": 0.0}
    for (what, unit), value in after.items():
        if (what, unit) in before:
            yield SizeChange(
                variant=pair.variant,
                what=what,
                unit=unit,
                before=before[what, unit],
                after=value,
                minimum_effect=config.plan_size if what == "plan" else effects[unit],
            )


def _figures(side: Side) -> Figures:
    """Return the size of the plan, what the build recorded of memory and time, and its layers."""
    record = side.record
    plan = (str(record.plan), f"{record.plan}.data")
    size = sum((side.folder / name).stat().st_size for name in record.files if name in plan)
    found: Figures = {("plan", "MiB"): size / BYTES_PER_MIB}
    seconds = record.made.get("seconds")
    if seconds is not None:
        found["build", "s"] = float(seconds)
    for key, value in record.details.items():
        if key.endswith(BYTES) and isinstance(value, int | float):
            found[key.removesuffix(BYTES).replace("_", " "), "MiB"] = value / BYTES_PER_MIB
    return found | _counts(side)


def _counts(side: Side) -> Figures:
    """Return how many layers there are, by an engine's inspector where it has one."""
    inspected: Mapping[str, Any] = side.record.details.get(INSPECTION, {})
    counts: Figures = {
        (name, ""): float(value)
        for name, value in inspected.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
    if counts or not (side.folder / LAYERS_FILE).is_file():
        return counts
    stage = f"build@{side.record.variant}"
    layers = artifacts.read_json(side.folder / LAYERS_FILE, made_by=stage)["layers"]
    return {("layers", ""): float(len(layers))}
