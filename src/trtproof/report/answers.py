"""Is what was timed what was scored: the timed engines' answers beside the evaluated ones.

The benchmark stores what its workers answered to the samples that they rotate over; evaluate stores
the raw outputs of its first samples. Where they differ by more than the benchmark's own tolerance,
the times are of something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trtproof import artifacts
from trtproof.measure.answers import ANSWERS_FILE, relative_error
from trtproof.report.evaluated import Evaluation
from trtproof.report.figures import NotMeasured
from trtproof.report.findings import AnswerCheck
from trtproof.report.sources import Sources
from trtproof.scoring.kept import is_ragged
from trtproof.tensor import Array, Feeds


@dataclass(frozen=True)
class TimedAnswers:
    """What the workers answered: `outputs` is variant -> outputs, one row per sample in `indices`.

    `tolerance` is the largest max|difference| / max|answer| that still counts as the same answer.
    """

    indices: tuple[int, ...]
    tolerance: float
    outputs: Mapping[str, Feeds]


def load_answers(record: Mapping[str, Any], sources: Sources) -> TimedAnswers:
    """Return the benchmark's answers; none where it stored none.

    Raises:
        InputError: the file is broken.
    """
    outputs: dict[str, dict[str, Array]] = {}
    path = artifacts.BENCHMARK / ANSWERS_FILE
    for name, array in sources.read_arrays(path, made_by="benchmark").items():
        variant, _, output = name.partition("/")
        outputs.setdefault(variant, {})[output] = array
    described = record.get("answers", {})
    return TimedAnswers(
        indices=tuple(int(index) for index in described.get("indices", ())),
        tolerance=float(described.get("tolerance", 0.0)),
        outputs=outputs,
    )


def check_answers(
    variant: str, timed: TimedAnswers, evaluation: Evaluation | NotMeasured
) -> AnswerCheck | NotMeasured:
    """Return how far the answers are apart, or why they were not compared."""
    if isinstance(evaluation, NotMeasured):
        return evaluation
    if variant not in timed.outputs:
        return NotMeasured("the benchmark stored no answers")
    if not evaluation.outputs:
        return NotMeasured("no outputs are kept (`evaluate.keep_outputs` is 0)")
    kept = len(next(iter(evaluation.outputs.values())))
    places = {index: row for row, index in enumerate(evaluation.predictions["indices"][:kept])}
    pairs = [(row, places[index]) for row, index in enumerate(timed.indices) if index in places]
    if not pairs:
        return NotMeasured("no timed sample is among the kept outputs")
    rows, kept_rows = [row for row, _ in pairs], [row for _, row in pairs]
    whole = {name: array for name, array in evaluation.outputs.items() if not is_ragged(array)}
    if not whole:
        return NotMeasured("the extents of its outputs change from batch to batch")
    errors = [
        relative_error(expected[kept_rows], [timed.outputs[variant][output][rows]])
        for output, expected in whole.items()
        if output in timed.outputs[variant]
    ]
    return AnswerCheck(len(pairs), max(errors, default=float("inf")))


def refuse_other_answers(check: AnswerCheck | NotMeasured, tolerance: float) -> NotMeasured | None:
    """Return why times are not those of what was scored, or None where nothing speaks for it."""
    if isinstance(check, NotMeasured) or check.error <= tolerance:
        return None
    return NotMeasured(
        f"the timed engine answers otherwise than the evaluated one: by {check.error:.2g} of the "
        f"largest value on {check.samples_count} samples, {tolerance:g} is allowed "
        "(benchmark.answer_tolerance); run `dvc repro -f evaluate benchmark`"
    )
