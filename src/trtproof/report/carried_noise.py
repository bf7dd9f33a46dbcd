"""The noise of a session carried to contenders that did not run twice in it.

The reference runs twice in every session. How its second run differs from its first, round by
round, stands for what the machine does to contenders that ran once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trtproof.report.figures import Timing


def carry_noise(timing: Timing, control: Timing, again: Timing) -> Timing:
    """Return what a second run of `timing` would have been, had it varied as the control's did."""
    values = {
        key: carry_rounds(own, control.values_ms[key], again.values_ms[key])
        for key, own in timing.values_ms.items()
        if key in again.values_ms and key in control.values_ms
    }
    return replace(timing, values_ms=values)


def carry_rounds(
    own: Mapping[int, float], control: Mapping[int, float], again: Mapping[int, float]
) -> dict[int, float]:
    """Return each round's value times the ratio of the control's two runs in that round.

    The ratio of the result to `own` is then the control's A/A ratio, which is what a verdict takes
    as the noise of the session.
    """
    return {
        number: value * again[number] / control[number]
        for number, value in own.items()
        if number in again and number in control
    }
