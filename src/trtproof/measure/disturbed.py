"""Which rounds are left out: by what the machine's counters say, never by the times measured.

A round is left out whole, for all contenders alike, and stays in the raw data. No latency is ever
a reason: this module does not see one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a round was disturbed."""

    PRESSURE = "other tasks waited for a processor"
    STEAL = "the hypervisor took processor time away"
    THROTTLED = "the hardware slowed itself down (heat or power brake)"
    FOREIGN = "other processes used the device"
    POWER_CAP = "a power cap held a block back unlike the others of its contender"


@dataclass(frozen=True)
class RoundEvidence:
    """What the counters say of one round; None where the machine does not tell.

    Shares are of the round's wall time: `pressure_share` with some task waiting for a processor,
    `steal_share` of all processors' time, `foreign_share` of the device's, by other processes.
    `throttled_ns` is the time of thermal slowdown and power brake; a power cap is not one of them,
    since under load it is the card's normal state.
    """

    pressure_share: float | None = None
    steal_share: float | None = None
    throttled_ns: int | None = None
    foreign_share: float | None = None


@dataclass(frozen=True)
class DisturbanceRule:
    """From where on a counter is a cause; and from where on leaving out would be choosing."""

    pressure_share: float = 0.10
    steal_share: float = 0.01
    foreign_share: float = 0.05
    most_left_out_share: float = 0.5


@dataclass(frozen=True)
class Selection:
    """The rounds that figures are computed from, and why others are not.

    `causes` names every disturbed round. With `mostly_disturbed` all rounds are in `kept`: nothing
    quiet is left to compare with, and every verdict is INCONCLUSIVE.
    """

    kept: tuple[int, ...]
    causes: Mapping[int, tuple[Cause, ...]]
    mostly_disturbed: bool

    @property
    def left_out(self) -> tuple[int, ...]:
        """Return the rounds that are measured and stored but not counted."""
        return () if self.mostly_disturbed else tuple(sorted(self.causes))


def find_causes(evidence: RoundEvidence, rule: DisturbanceRule) -> tuple[Cause, ...]:
    """Return every cause that the counters of one round give; what is not readable gives none."""
    seen = {
        Cause.PRESSURE: _exceeds(evidence.pressure_share, rule.pressure_share),
        Cause.STEAL: _exceeds(evidence.steal_share, rule.steal_share),
        Cause.THROTTLED: _exceeds(evidence.throttled_ns, 0),
        Cause.FOREIGN: _exceeds(evidence.foreign_share, rule.foreign_share),
    }
    return tuple(cause for cause, found in seen.items() if found)


def choose_rounds(
    rounds: Sequence[int], causes: Mapping[int, Sequence[Cause]], rule: DisturbanceRule
) -> Selection:
    """Return which rounds count; those that `causes` names (with at least one) do not.

    Args:
        rounds: every round's number.
        causes: round number -> its causes; quiet rounds may be absent or have none.
        rule: when so many are disturbed that all are kept.
    """
    disturbed = {number: tuple(causes[number]) for number in rounds if causes.get(number)}
    mostly = len(disturbed) > rule.most_left_out_share * len(rounds)
    kept = tuple(number for number in rounds if mostly or number not in disturbed)
    return Selection(kept=kept, causes=disturbed, mostly_disturbed=mostly)


def _exceeds(value: float | None, limit: float) -> bool:
    return value is not None and value > limit
