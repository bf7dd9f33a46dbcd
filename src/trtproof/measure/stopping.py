"""When a session has enough rounds: by the width of its intervals or its budget, nothing else.

A rule that looked at the verdict would stop on the first lucky round; this module is not given one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class StopRule:
    """Rounds are added by `step_rounds`, never beyond `most_rounds`.

    A session whose profile does not extend has `most_rounds` equal to the rounds it starts with.
    """

    step_rounds: int = 4
    most_rounds: int = 32


@dataclass(frozen=True)
class Width:
    """How wide the interval of one gated figure is, and how wide it may be.

    Both are half-widths as shares of the value (0.01 is +-1 %); `halfwidth` is None where there
    are too few rounds for an interval.
    """

    name: str
    halfwidth: float | None
    wanted: float


class StopReason(StrEnum):
    """Why a session goes on or ends."""

    TOO_WIDE = "an interval is still wider than wanted"
    NARROW_ENOUGH = "every interval is as narrow as wanted"
    MOST_ROUNDS = "the largest number of rounds is reached"
    BUDGET = "the budget does not hold another step"


@dataclass(frozen=True)
class Extension:
    """How many rounds to add (none: stop), why, and which figures are still too wide."""

    rounds_count: int
    reason: StopReason
    too_wide: tuple[str, ...]


def decide_extension(
    widths: Sequence[Width],
    rule: StopRule,
    *,
    rounds_done: int,
    seconds_left: float,
    seconds_per_step: float,
) -> Extension:
    """Return whether another step of rounds is run.

    Args:
        widths: the gated figures.
        rule: how far a session may go.
        rounds_done: disturbed ones included.
        seconds_left: of the budget.
        seconds_per_step: what `step_rounds` more rounds cost, the restart of workers included.
    """
    too_wide = tuple(
        width.name for width in widths if width.halfwidth is None or width.halfwidth > width.wanted
    )
    step = min(rule.step_rounds, rule.most_rounds - rounds_done)
    needed_s = seconds_per_step * step / rule.step_rounds
    if not too_wide:
        return Extension(0, StopReason.NARROW_ENOUGH, too_wide)
    if step <= 0:
        return Extension(0, StopReason.MOST_ROUNDS, too_wide)
    if needed_s > seconds_left:
        return Extension(0, StopReason.BUDGET, too_wide)
    return Extension(step, StopReason.TOO_WIDE, too_wide)
