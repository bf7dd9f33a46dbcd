"""From the comparison of calibration set and evaluation inputs to one word and its reasons.

Every threshold is measured or derived: docs/calibration.md has the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from trtproof.calibration_check import Comparison, TensorCheck
from trtproof.errors import CalibrationError

Word = Literal["alike", "different", "harmful", "not compared"]

MOST_RATIO: Final = 3.0
"""Exceedances per expected one: above it, and beyond chance, the ranges are too small."""

MOST_CHANCE: Final = 0.01
MOST_DIFFERING_SHARE: Final = 0.05
COSTLY_DB: Final = 2.0
"""A third of a bit."""

COSTLY_TENSOR_DB: Final = 10.0
HARMFUL_DB: Final = 5.0
"""More than three quarters of a bit of every value, of eight."""

HARMFUL_SATURATED_SHARE: Final = 0.01
FEW_SAMPLES: Final = 100
MANY_DUPLICATES_SHARE: Final = 0.1
WORST_COUNT: Final = 5
NAMED_COUNT: Final = 3
FAR_BEYOND: Final = 2.0
"""Times the calibrated range: half of such a value is cut."""

REPAIR: Final = (
    "calibrate with inputs like those of the evaluation (`dataset.calibration`), or set "
    "`calibrate.harmful: warn` to go on"
)


@dataclass(frozen=True)
class CalibrationVerdict:
    """What to tell the user.

    `harms` and `differences` are the reasons of the word; `remarks` are for any word.
    """

    word: Word
    harms: Sequence[str]
    differences: Sequence[str]
    remarks: Sequence[str]
    worst: Sequence[str]
    """The tensors that lose most, the worst first."""

    summary: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data for coverage.json."""
        return {
            "verdict": self.word,
            "summary": self.summary,
            "harms": list(self.harms),
            "differences": list(self.differences),
            "remarks": list(self.remarks),
            "worst_tensors": list(self.worst),
        }

    def lines(self) -> list[str]:
        """Return what to print: the summary, then every reason and remark that it lacks."""
        reasons = self.differences if self.word == "different" else ()
        return [self.summary, *(f"- {line}" for line in (*reasons, *self.remarks))]

    def refuse_harm(self) -> None:
        """Stop where the set is harmful.

        Raises:
            CalibrationError: names the worst tensors and the repair.
        """
        if self.word == "harmful":
            tensors = ", ".join(map(repr, self.worst[:NAMED_COUNT]))
            raise CalibrationError(f"{self.summary} (worst: {tensors}); {REPAIR}")


def judge(comparison: Comparison | None, coverage: Mapping[str, Any]) -> CalibrationVerdict:
    """Return the verdict; `coverage` is what is known of the samples themselves."""
    remarks = list(_remarks(comparison, coverage))
    if comparison is None:
        summary = "not compared: no tensor that int8 quantises has values in both sets"
        summary = _say_given(summary, coverage)
        return CalibrationVerdict("not compared", (), (), remarks, (), summary)
    harms, differences = list(_harms(comparison)), list(_differences(comparison))
    word: Word = "harmful" if harms else "different" if differences else "alike"
    return CalibrationVerdict(
        word=word,
        harms=harms,
        differences=differences,
        remarks=remarks,
        worst=[item.name for item in _rank(comparison)[:WORST_COUNT]],
        summary=_say_given(_summarise(word, comparison, harms), coverage),
    )


def _say_given(summary: str, coverage: Mapping[str, Any]) -> str:
    """Return a summary that says so where a file gave the ranges."""
    given = coverage.get("given")
    if given is None:
        return summary
    said = summary.replace("the calibration set", "this set of ranges")
    return f"given by {given['file']}, not calibrated here: {said}"


def _rank(comparison: Comparison) -> list[TensorCheck]:
    """Return the tensors by what their ranges cost: never seen, then cut, then lost."""
    return sorted(
        comparison.tensors,
        key=lambda item: (
            not item.is_unseen,
            item.saturated_share <= HARMFUL_SATURATED_SHARE,
            -item.regret.set_loss_db,
            item.name,
        ),
    )


def _summarise(word: Word, comparison: Comparison, harms: Sequence[str]) -> str:
    loss = f"{max(0.0, comparison.expected_loss_db):.1f} dB"
    if word == "harmful":
        return f"the calibration set is harmful: {'; '.join(harms)}"
    if word == "alike":
        return "the calibration set is like the evaluation inputs, as far as the model can tell"
    if comparison.expected_loss_db <= COSTLY_DB:
        return (
            "the calibration set differs from the evaluation inputs, but harmlessly: int8 is "
            f"expected to lose {loss} by it"
        )
    return (
        "the calibration set differs from the evaluation inputs and costs some precision: int8 is "
        f"expected to lose {loss} by it"
    )


def _harms(comparison: Comparison) -> Iterator[str]:
    unseen = [item.name for item in comparison.tensors if item.is_unseen]
    if unseen:
        yield (
            f"{_count(len(unseen), 'tensor')} zero in every calibration sample, but not for "
            "evaluation inputs"
        )
    cut = comparison.most_saturated
    if cut.saturated_share > HARMFUL_SATURATED_SHARE and not unseen:
        yield (
            f"its ranges cut {cut.saturated_share:.1%} of the values of {cut.name!r}, which was "
            f"calibrated to {cut.calibrated_largest:.3g} and reaches {cut.evaluation_largest:.3g}"
        )
    if comparison.expected_loss_db > HARMFUL_DB:
        yield f"int8 is expected to lose {comparison.expected_loss_db:.1f} dB by its ranges"


def _differences(comparison: Comparison) -> Iterator[str]:
    found = comparison.exceedance
    if found is not None and found.ratio > MOST_RATIO and found.p_value <= MOST_CHANCE:
        yield (
            f"evaluation inputs go beyond the calibrated ranges {found.ratio:.1f} times as often "
            f"as inputs of the same kind would (1 in {1 / found.expected_share:.0f})"
        )
    if comparison.differing_share > MOST_DIFFERING_SHARE:
        yield (
            f"{comparison.differing_share:.0%} of {_count(len(comparison.tensors), 'tensor')} "
            "reach other sizes than for evaluation inputs (Kolmogorov-Smirnov, 1 % false alarms)"
        )
    if comparison.expected_loss_db > COSTLY_DB:
        yield f"int8 is expected to lose {comparison.expected_loss_db:.1f} dB by the ranges"
    worst = max(comparison.tensors, key=lambda item: (item.regret.set_loss_db, item.name))
    if worst.regret.set_loss_db > COSTLY_TENSOR_DB:
        yield f"the range of {worst.name!r} alone costs it {worst.regret.set_loss_db:.1f} dB"


def _remarks(comparison: Comparison | None, coverage: Mapping[str, Any]) -> Iterator[str]:
    count, duplicates = coverage["samples_count"], coverage["duplicates_count"]
    shared, broken = (coverage["evaluation"][key] for key in ("shared_count", "not_finite_count"))
    if count < FEW_SAMPLES and "given" not in coverage:
        yield f"only {_count(count, 'sample')}: take {FEW_SAMPLES}, better 300 to 500"
    if duplicates > MANY_DUPLICATES_SHARE * count:
        yield f"{duplicates} of {count} samples repeat others"
    if shared:
        yield (
            f"{shared} of {count} calibration samples are evaluation inputs too: the scores of "
            "quantised variants are flattered"
        )
    if broken:
        yield f"NaN or infinities in float32 for {_count(broken, 'evaluation input')}: left out"
    yield from _odd_inputs(comparison) if comparison is not None else ()
    if comparison is not None and comparison.zero_tensors:
        names = ", ".join(map(repr, comparison.zero_tensors[:NAMED_COUNT]))
        yield f"{_count(len(comparison.zero_tensors), 'tensor')} zero for every input: {names}"


def _odd_inputs(comparison: Comparison) -> Iterator[str]:
    """Yield that only a few inputs go far beyond some range, which is no fault of the set."""
    odd = [
        item
        for item in comparison.tensors
        if item.is_odd and item.evaluation_largest > FAR_BEYOND * item.calibrated_largest
    ]
    if odd:
        worst = max(odd, key=lambda item: (item.evaluation_largest, item.name))
        yield (
            f"a few evaluation inputs go far beyond the ranges, as of {worst.name!r} "
            f"({worst.evaluation_largest:.3g}, calibrated to {worst.calibrated_largest:.3g}): "
            "int8 cuts their values, so look at them"
        )


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
