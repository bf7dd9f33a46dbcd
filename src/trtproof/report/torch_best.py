"""The best PyTorch setting of a session, and every variant against it.

The reference is PyTorch as delivered. A speed-up over it alone says nothing about what PyTorch
itself can do, so every variant is also compared with the variant of backend torch whose median was
the smallest, over the same rounds and by the same rules. Taking the smallest of several medians
favours PyTorch, never the variant that is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from trtproof.config import VariantConfig
from trtproof.report.carried_noise import carry_noise
from trtproof.report.comparisons import Comparisons, Judge
from trtproof.report.figures import HEADLINE, NotMeasured, Timing
from trtproof.report.flat import flatten_ratio

TORCH: Final = "torch"
"""The backend whose settings are compared with each other."""

NO_VARIANT: Final = "no variant of backend torch"
ITSELF: Final = "it is the best PyTorch setting"

Timings = Mapping[int, Timing | NotMeasured]
"""One contender's, by batch size."""


@dataclass(frozen=True)
class TorchBest:
    """The variant of backend torch with the smallest median at one batch size.

    `timed` are all variants of backend torch that were timed there, itself included.
    """

    name: str
    timed: tuple[str, ...]


def list_torch(variants: Mapping[str, VariantConfig]) -> list[str]:
    """Return the variants of backend torch."""
    return [name for name, config in variants.items() if config.backend == TORCH]


def find_best(
    variants: Mapping[str, VariantConfig], timings: Mapping[str, Timings], batch: int
) -> TorchBest | NotMeasured:
    """Return the best PyTorch setting at a batch size, or why there is none."""
    names = [name for name in list_torch(variants) if name in timings]
    if not names:
        return NotMeasured(NO_VARIANT)
    medians: dict[str, float] = {}
    for name in names:
        timing = timings[name][batch]
        if isinstance(timing, Timing):
            medians[name] = timing.p50_ms
    if not medians:
        first = timings[names[0]][batch]
        why = first.reason if isinstance(first, NotMeasured) else ""
        return NotMeasured(f"{NO_VARIANT} was timed ({names[0]}: {why})")
    return TorchBest(min(medians, key=lambda name: medians[name]), tuple(medians))


@dataclass(frozen=True)
class Control:
    """The two runs of whatever ran twice in the session: its noise.

    `first` and `again` are by variant; the reference's noise stands for that of a variant which ran
    once.
    """

    reference: str
    first: Mapping[str, Timings]
    again: Mapping[str, Timings]


def compare_with_best(
    best: Mapping[int, TorchBest | NotMeasured],
    timings: Mapping[str, Timings],
    control: Control,
    make_judge: Callable[[str, str], Judge],
) -> dict[str, dict[int, Comparisons | NotMeasured]]:
    """Return every variant against the best PyTorch setting, by batch size.

    Args:
        best: by batch size.
        timings: of all variants of the session.
        control: where the noise of the session is from.
        make_judge: the judge of the two variants that it is given.
    """
    return {
        name: {
            batch: _compare(name, own[batch], best[batch], timings, control, make_judge)
            for batch in own
        }
        for name, own in timings.items()
    }


def _compare(
    name: str,
    own: Timing | NotMeasured,
    best: TorchBest | NotMeasured,
    timings: Mapping[str, Timings],
    control: Control,
    make_judge: Callable[[str, str], Judge],
) -> Comparisons | NotMeasured:
    if isinstance(own, NotMeasured):
        return own
    if isinstance(best, NotMeasured):
        return best
    if name == best.name:
        return NotMeasured(ITSELF)
    before = timings[best.name][own.batch]
    if isinstance(before, NotMeasured):
        return before
    again = _find_again(best.name, before, control)
    judge = make_judge(best.name, name)
    return judge.compare(before, again, own, control.again[name][own.batch])


def _find_again(name: str, timing: Timing, control: Control) -> Timing | NotMeasured:
    """Return the best setting's second run, or one that varies as the reference's did."""
    second = control.again[name][timing.batch]
    if isinstance(second, Timing):
        return second
    first = control.first[control.reference][timing.batch]
    again = control.again[control.reference][timing.batch]
    if isinstance(first, NotMeasured):
        return first
    return again if isinstance(again, NotMeasured) else carry_noise(timing, first, again)


def torch_key(figure: str, batch: int) -> str:
    """Return where a comparison with the best PyTorch setting stands in the metrics."""
    return f"speedup_vs_best_torch{'' if figure == HEADLINE else f'_{figure}'}_b{batch}_ratio"


def list_ratios(against: Mapping[int, Comparisons | NotMeasured]) -> dict[str, dict[str, float]]:
    """Return one variant's ratios to the best PyTorch setting by their key in metrics."""
    return {
        torch_key(figure, batch): flatten_ratio(one.verdict)
        for batch, found in against.items()
        if not isinstance(found, NotMeasured)
        for figure, one in found.items()
    }
