"""Does the calibration set represent the evaluation inputs, and does int8 pay for it if not?

Two tiers. "Different": the sets are no two draws of the same thing, by tests with a stated rate of
false alarms. "Harmful": the calibrated ranges cost precision on the evaluation inputs. A set can be
different and harmless; harm is what stops. Labels take no part. Ranges are compared as the method
"max" has them: a set is judged, not a method.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trtproof.calibration import Calibration
from trtproof.calibration.exchangeability import (
    Exceedance,
    find_differing,
    measure_exceedance,
    shared_tensors,
)
from trtproof.calibration.histogram import Statistics
from trtproof.calibration.samples import LARGEST, Sizes
from trtproof.precision.graph import MASK_MAGNITUDE
from trtproof.precision.regret import (
    Regret,
    expected_loss_db,
    leave_out_beyond,
    measure_regret,
    saturated_share,
)

ODD_SHARE: Final = 0.01
ODD_COUNT: Final = 2
"""Inputs that may be odd ones out, at least ODD_COUNT: how far they go says nothing of the set."""

DIGITS: Final = 4
"""Significant digits of what is written: other CPUs differ in the last bits."""


@dataclass(frozen=True)
class TensorCheck:
    """One tensor that int8 quantises, in both sets.

    `exceeding_share` is that of evaluation inputs beyond the calibrated range, None where samples
    cannot be told apart; `saturated_share` is that of their values that the range cuts. It and
    `regret` leave out how far the few largest inputs go; `is_odd` says that only they go beyond.
    """

    name: str
    calibrated_largest: float
    evaluation_largest: float
    exceeding_share: float | None
    is_odd: bool
    differs: bool
    regret: Regret
    saturated_share: float

    @property
    def is_unseen(self) -> bool:
        """Say whether it was zero in every calibration sample, but is not for other inputs."""
        return self.calibrated_largest == 0 and not self.is_odd

    def to_json(self) -> dict[str, Any]:
        """Return plain data for coverage.json."""
        return {
            "calibrated_largest": _rounded(self.calibrated_largest),
            "evaluation_largest": _rounded(self.evaluation_largest),
            "exceeding_share": _rounded(self.exceeding_share),
            "differs": self.differs,
            "regret_db": _rounded(self.regret.regret_db),
            "set_loss_db": _rounded(self.regret.set_loss_db),
            "saturated_share": _rounded(self.saturated_share),
        }


@dataclass(frozen=True)
class Comparison:
    """The calibration set against the evaluation inputs, over at least one tensor.

    `zero_tensors` were zero for both: nothing is known of them.
    """

    tensors: Sequence[TensorCheck]
    exceedance: Exceedance | None
    zero_tensors: Sequence[str]

    @property
    def differing_share(self) -> float:
        """Return the share of tensors whose sizes per sample differ."""
        return float(np.mean([item.differs for item in self.tensors]))

    @property
    def regrets_db(self) -> list[float]:
        """Return what each tensor loses against its best scale."""
        return [item.regret.regret_db for item in self.tensors]

    @property
    def expected_loss_db(self) -> float:
        """Return what int8 loses on the evaluation inputs because of the calibration set."""
        return expected_loss_db([item.regret for item in self.tensors])

    @property
    def most_saturated(self) -> TensorCheck:
        """Return the tensor of which most is cut."""
        return max(self.tensors, key=lambda item: (item.saturated_share, item.name))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for coverage.json."""
        found = self.exceedance
        exceedance = None
        if found is not None:
            exceedance = {
                "mean_share": _rounded(found.mean_share),
                "expected_share": _rounded(found.expected_share),
                "ratio": _rounded(found.ratio),
                "p_value": _rounded(found.p_value),
            }
        return {
            "tensors_count": len(self.tensors),
            "exceedance": exceedance,
            "differing_share": _rounded(self.differing_share),
            "regret_db": {
                "mean": _rounded(float(np.mean(self.regrets_db))),
                "max": _rounded(max(self.regrets_db)),
            },
            "expected_loss_db": _rounded(self.expected_loss_db),
            "saturated_share_max": _rounded(self.most_saturated.saturated_share),
            "zero_tensors": list(self.zero_tensors),
            "tensors": {item.name: item.to_json() for item in self.tensors},
        }


def compare(
    calibration: Calibration, evaluation: Calibration, names: Collection[str]
) -> Comparison | None:
    """Return how the calibration suits the evaluation inputs, by these tensors.

    Tensors that hold masks are left out: their largest values stand for "never". None where no
    tensor is left.
    """
    known = {
        name: (calibration.tensors[name], evaluation.tensors[name])
        for name in sorted(names)
        if name in calibration.tensors and name in evaluation.tensors
    }
    measured = {name: pair for name, pair in known.items() if _is_measured(*pair)}
    if not measured:
        return None
    first, second = calibration.samples, evaluation.samples.finite()
    has_samples = bool(second.digests) and bool(shared_tensors(first, second))
    exceedance = measure_exceedance(first, second) if has_samples else None
    differing = find_differing(first, second) if has_samples else set()
    shares: Mapping[str, float] = exceedance.shares if exceedance else {}
    tensors = []
    for name, (seen, other) in measured.items():
        usual = _usual_largest(second.sizes.get(name), other.largest)
        values = leave_out_beyond(other, max(seen.largest, usual))
        tensors.append(
            TensorCheck(
                name=name,
                calibrated_largest=seen.largest,
                evaluation_largest=other.largest,
                exceeding_share=shares.get(name),
                is_odd=other.largest > seen.largest >= usual,
                differs=name in differing,
                regret=measure_regret(values, seen.largest),
                saturated_share=saturated_share(values, seen.largest),
            )
        )
    zero = [name for name, pair in known.items() if pair[0].largest == pair[1].largest == 0]
    return Comparison(tensors, exceedance, zero)


def _is_measured(seen: Statistics, other: Statistics) -> bool:
    """Say whether a tensor holds values to keep for the evaluation inputs, and no mask."""
    return other.largest > 0 and max(seen.largest, other.largest) < MASK_MAGNITUDE


def _usual_largest(sizes: Sizes | None, largest: float) -> float:
    """Return the largest magnitude of a tensor without the few inputs that may be odd ones out.

    That is the tensor's own largest where samples cannot be told apart.
    """
    if sizes is None or not len(sizes):
        return largest
    left_out = min(len(sizes) - 1, max(ODD_COUNT, int(ODD_SHARE * len(sizes))))
    return float(np.sort(sizes[:, LARGEST])[-1 - left_out])


def _rounded(value: float | None) -> float | None:
    """Return a number with DIGITS significant digits, without a negative zero."""
    return None if value is None else float(f"{value:.{DIGITS}g}") + 0.0
