"""The best PyTorch setting by the GPU's own clock: who it is, and the noise carried to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trtproof.report.carried_noise import carry_rounds
from trtproof.report.figures import NotMeasured

if TYPE_CHECKING:
    from trtproof.report.device_times import DeviceTime

Launches = Mapping[int, "DeviceTime"]
"""One contender's launches alone, by batch size."""


@dataclass(frozen=True)
class DeviceBest:
    """By batch size: the variant of backend torch with the smallest median, and its launches.

    `again` is its second run; where it had none, one that varies as the reference's two runs do.
    """

    names: Mapping[int, str]
    launches: Launches
    again: Launches

    def without(self, variant: str) -> Launches:
        """Return the launches to compare a variant with: not with itself."""
        return {batch: own for batch, own in self.launches.items() if self.names[batch] != variant}


def find_device_best(
    launches: Mapping[str, Launches | NotMeasured],
    torch: Collection[str],
    reference: str,
    again: Mapping[str, Launches | NotMeasured],
) -> DeviceBest:
    """Return the best PyTorch setting of every batch size that one was timed at.

    Args:
        launches: of all variants.
        torch: the variants of backend torch.
        reference: the variant that always runs twice.
        again: the second runs, by variant.
    """
    names: dict[int, str] = {}
    best: dict[int, DeviceTime] = {}
    for name in torch:
        own = launches[name]
        for batch, one in {} if isinstance(own, NotMeasured) else own.items():
            if batch not in best or _median_ms(one) < _median_ms(best[batch]):
                names[batch], best[batch] = name, one
    control, varied = _known(launches[reference]), _known(again[reference])
    second = {
        batch: replace(
            one,
            values_ms=carry_rounds(
                one.values_ms, control[batch].values_ms, varied[batch].values_ms
            ),
        )
        for batch, one in best.items()
        if batch in control and batch in varied
    }
    for batch, name in names.items():
        own = _known(again[name])
        second |= {batch: own[batch]} if batch in own else {}
    return DeviceBest(names, best, second)


def _known(launches: Launches | NotMeasured) -> Launches:
    return {} if isinstance(launches, NotMeasured) else launches


def _median_ms(time: DeviceTime) -> float:
    return time.percentiles["p50"].value
