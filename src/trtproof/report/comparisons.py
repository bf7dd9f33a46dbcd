"""Contenders against the reference by every figure that may decide, each with one of four words.

What decides depends on the device. On a processor, which others use too, the wall median moves with
the neighbours: P10 and CPU time decide there, the median is shown. On a GPU the wall median and P99
decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from trtproof.measure.disturbed import Selection
from trtproof.measure.protocols import require_one_protocol
from trtproof.measure.verdict import RoundValues, Verdict, VerdictRule, judge
from trtproof.report.figures import CPU_TIME, HEADLINE, NotMeasured, Timing

Device = Literal["cpu", "gpu"]
WALL_P10: Final = "wall_p10"
WALL_P99: Final = "wall_p99"
TITLES: Final = {
    HEADLINE: "wall median",
    WALL_P10: "wall P10",
    WALL_P99: "wall P99",
    CPU_TIME: "CPU time, median",
}
"""Of the compared figures, by their key in measure.figures."""

SHOWN: Final[Mapping[Device, Sequence[str]]] = {
    "cpu": (HEADLINE, WALL_P10, CPU_TIME),
    "gpu": (HEADLINE, WALL_P99),
}
"""What contenders are compared by, the headline first."""

DECISIVE: Final[Mapping[Device, Sequence[str]]] = {
    "cpu": (WALL_P10, CPU_TIME),
    "gpu": (HEADLINE, WALL_P99),
}

RAN_ONCE: Final = NotMeasured("it ran once in this session")
NO_COMMON_ROUND: Final = "no round counted for both it and the reference"


@dataclass(frozen=True)
class Comparison:
    """One contender and the reference at one batch size, by one figure.

    `decides` says whether this figure may decide on this device and the run was long enough.
    """

    title: str
    verdict: Verdict
    decides: bool


Comparisons = Mapping[str, Comparison]
"""By the figure's key, the headline first."""


@dataclass(frozen=True)
class Judge:
    """What is equal for all comparisons with one contender.

    `minimum_effects` is figure -> the smallest difference that matters, as a share; a figure
    without one is not compared.
    """

    device: Device
    profile: str
    selection: Selection
    minimum_effects: Mapping[str, float]

    def compare(
        self,
        reference: Timing,
        again: Timing | NotMeasured,
        contender: Timing,
        contender_again: Timing | NotMeasured = RAN_ONCE,
    ) -> Comparisons | NotMeasured:
        """Return how many times as good as the reference the contender is, by each figure.

        Args:
            reference: the variant that the others are compared with.
            again: its second run in the same session, which tells the noise.
            contender: any contender of the session; `again` itself for the noise alone.
            contender_again: its own second run, where it had one: the noisier of both counts.

        Raises:
            InputError: they were measured by different protocols.
        """
        runs = (reference, again, contender, contender_again)
        protocols = (item.protocol for item in runs if isinstance(item, Timing))
        require_one_protocol(protocols, what="a comparison")
        second, other = (
            item.values_ms if isinstance(item, Timing) else {} for item in (again, contender_again)
        )
        found = {}
        for key in SHOWN[self.device]:
            values = RoundValues(
                reference=reference.values_ms.get(key, {}),
                again=second.get(key, {}),
                contender=contender.values_ms.get(key, {}),
                sessions=reference.sessions,
                contender_again=other.get(key, {}),
            )
            if key in self.minimum_effects and self._common(values):
                found[key] = self._judge(key, values)
        return found if HEADLINE in found else NotMeasured(NO_COMMON_ROUND)

    def _common(self, values: RoundValues) -> set[int]:
        """Return the rounds that count and that all have."""
        common = values.reference.keys() & values.contender.keys() & set(self.selection.kept)
        return common & values.again.keys() if values.again else common

    def _judge(self, key: str, values: RoundValues) -> Comparison:
        rule = VerdictRule(minimum_effect=self.minimum_effects[key], profile=self.profile)
        verdict = judge(values, rule, self.selection)
        decides = key in DECISIVE[self.device] and verdict.gates
        return Comparison(TITLES[key], verdict, decides=decides)
