"""What the machine's counters said during a session, round by round, as run.json has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SHARES: Final = ("pressure_share", "steal_share", "foreign_share")
"""Of a round's wall time: tasks waited, the hypervisor took, other programs used the device."""


@dataclass(frozen=True)
class Evidence:
    """Readings of all rounds; a counter that this machine does not have has no entry.

    `shares` maps a counter to its share in every round, `limits` to the share from which a round
    counts as disturbed. `throttled_ns` is what every round lost to heat or power, `frequency_mhz`
    the cores' median before and after every round.
    """

    shares: Mapping[str, Sequence[float]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    throttled_ns: Sequence[int] = ()
    frequency_mhz: Sequence[float] = ()


def read_evidence(record: Mapping[str, Any]) -> Evidence:
    """Return what run.json says of the rounds; nothing where it says nothing."""
    rounds = record.get("rounds", ())
    found = [entry.get("evidence") or {} for entry in rounds]
    states = [entry.get(when) or {} for entry in rounds for when in ("before", "after")]
    shares = {name: _known(found, name) for name in SHARES}
    limits = record.get("disturbed", {}).get("limits", {})
    return Evidence(
        shares={name: values for name, values in shares.items() if values},
        limits={name: float(limits[name]) for name in SHARES if name in limits},
        throttled_ns=[int(value) for value in _known(found, "throttled_ns")],
        frequency_mhz=_known(states, "frequency_mhz"),
    )


def _known(entries: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(entry[name]) for entry in entries if entry.get(name) is not None]
