"""Is a difference only one of clocks? Times are compared in cycles as well.

A contender whose blocks happened to run at another clock is faster or slower for a reason that is
not its own. Where the mean clocks of two sides differ, the same comparison is made of time times
clock; a verdict that does not hold there is INCONCLUSIVE (the idea is nvbench's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from trtproof.measure.ratios import Ratio
from trtproof.measure.verdict import Verdict, Word, choose_word
from trtproof.report.comparisons import Comparisons
from trtproof.report.figures import NotMeasured

EQUAL_SHARE: Final = 0.01
"""Mean clocks within this share of each other are the same."""

Clocks = Mapping[tuple[str, int], float]
"""Mean clock in MHz by contender and batch size."""


def check_clocks(
    comparisons: Mapping[int, Comparisons | NotMeasured],
    clocks_mhz: Clocks,
    names: tuple[str, str],
    minimum_effects: Mapping[str, float],
) -> dict[int, Comparisons | NotMeasured]:
    """Return the comparisons, those that only clocks explain as INCONCLUSIVE.

    Args:
        comparisons: by batch size.
        clocks_mhz: of all contenders; one that is not there is not checked.
        names: the reference's, then the contender's.
        minimum_effects: figure -> the smallest difference that matters, as a share.
    """
    checked: dict[int, Comparisons | NotMeasured] = {}
    for batch, found in comparisons.items():
        before, after = (clocks_mhz.get((name, batch)) for name in names)
        if isinstance(found, NotMeasured) or not before or not after:
            checked[batch] = found
            continue
        checked[batch] = {
            key: replace(
                one, verdict=check_verdict(one.verdict, before, after, minimum_effects[key])
            )
            for key, one in found.items()
        }
    return checked


def check_verdict(
    verdict: Verdict, before_mhz: float, after_mhz: float, minimum_effect: float
) -> Verdict:
    """Return a verdict on times that also holds in cycles; otherwise INCONCLUSIVE, with both."""
    difference = after_mhz / before_mhz - 1
    if abs(difference) <= EQUAL_SHARE or verdict.word is Word.INCONCLUSIVE:
        return verdict
    factor = before_mhz / after_mhz  # time ratio times this is the ratio of cycles
    shown, gate = _scale(verdict.shown, factor), _scale(verdict.gate, factor)
    word, _ = choose_word(shown, gate, verdict.noise_floor, minimum_effect)
    told = f"its clock was {abs(100 * difference):.2g} % {'higher' if difference > 0 else 'lower'}"
    if word is verdict.word:
        return replace(verdict, reason=f"{verdict.reason}; {told}, and in cycles it is {word} too")
    reason = f"{told} than the other side's: {verdict.word} in time, {word} in cycles"
    return replace(verdict, word=Word.INCONCLUSIVE, reason=reason)


def _scale(ratio: Ratio, factor: float) -> Ratio:
    low, high = (None if end is None else end * factor for end in (ratio.low, ratio.high))
    return replace(ratio, value=ratio.value * factor, low=low, high=high)
