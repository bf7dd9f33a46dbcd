"""`trtproof check`: the budget as a list of cases that a CI system understands.

It judges what the last `dvc repro` left, on whichever machine that was: nothing is run and nothing
is probed, so that results which a machine with the device has pushed can be judged anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from trtproof.compare.command import Sides, compare_stored, find_stale, require_up_to_date
from trtproof.compare.pairs import match_variants
from trtproof.compare.result import (
    FINE,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    REGRESSION,
    Comparison,
    ScoreWord,
    Strictness,
)
from trtproof.compare.revision import open_revision, open_workspace
from trtproof.config import load_section
from trtproof.hardware import load_hardware
from trtproof.measure.verdict import Word
from trtproof.registry import extend_path
from trtproof.report.cells import Facts
from trtproof.report.limits import TargetVerdict
from trtproof.report.load import load_findings
from trtproof.report.metrics import make_metrics
from trtproof.report.partial import read_settings
from trtproof.report.targets import judge_targets

JUDGED: Final = ("build@", "evaluate@", "benchmark")
"""Prefixes of the stages whose results are judged."""


class Outcome(StrEnum):
    """What became of one case."""

    MET = "met"
    MISSED = "missed"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not measured"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Case:
    """One limit and one variant; `why` is one line."""

    variant: str
    name: str
    outcome: Outcome
    why: str


def run_check(base: str | None) -> list[Case]:
    """Return every case: the budget's, and with `base` one per verdict on recorded sessions.

    Raises:
        InputError: the workspace is not up to date, or a result of the revision cannot be had.
    """
    extend_path(load_section(list[str], "pythonpath"))  # scorers of the user's own
    stale = find_stale()
    for prefix in JUDGED:
        require_up_to_date(stale, prefix)
    findings = load_findings(read_settings())
    facts = Facts(make_metrics(findings), findings.hardware.slug)
    cases = [case_of_target(item) for item in judge_targets(findings, facts)]
    if base is None:
        return cases
    with tempfile.TemporaryDirectory(prefix="trtproof-") as folder:
        revision, work = open_revision(base, Path(folder)), open_workspace()
        sides = Sides(
            base=revision,
            work=work,
            matching=match_variants(revision, work),
            hardware=load_hardware(),
            reference=load_section(str, "reference"),
            stale=stale,
        )
        return [*cases, *list_cases(compare_stored(sides))]


def case_of_target(item: TargetVerdict) -> Case:
    """Return one limit of the budget as a case; a run too short to decide misses nothing."""
    outcome = {"met": Outcome.MET, "missed": Outcome.MISSED, "not measured": Outcome.NOT_MEASURED}
    found = outcome.get(item.word, Outcome.INCONCLUSIVE)
    why = "; ".join(part for part in (f"measured {item.measured}", item.why) if part)
    if item.is_indicative and found in {Outcome.MET, Outcome.MISSED}:
        found, why = (
            Outcome.INCONCLUSIVE,
            f"indicative: {found} in a run too short to decide, {why}",
        )
    return Case(item.variant, f"{item.target}, {item.limit}", found, why)


def list_cases(found: Comparison) -> list[Case]:
    """Return a comparison of recorded sessions as cases: everything in it that may decide."""
    title, cases = found.subject.base, []
    for time in found.times:
        if time.decides or not time.verdict.gates:
            outcome = Outcome.MISSED if time.verdict.word is Word.SLOWER else Outcome.MET
            if not time.verdict.gates or time.verdict.word is Word.INCONCLUSIVE:
                outcome = Outcome.INCONCLUSIVE
            name = f"{time.title}, batch {time.batch}, not slower than {title}"
            why = f"{time.verdict.word}, {time.verdict.shown.value:.3f} times as fast"
            cases.append(Case(time.variant, name, outcome, f"{why}; {time.verdict.reason}"))
    for score in found.scores:
        name = f"{score.metric}, not worse than {title}"
        cases.append(Case(score.variant, name, SCORES[score.word], f"{score.word}; {score.reason}"))
    if found.refused:
        differing = "; ".join(map(str, found.refused))
        cases.append(Case("all", f"same conditions as {title}", Outcome.NOT_COMPARABLE, differing))
    return cases + [
        Case(item.variant, f"comparable with {title}", Outcome.NOT_COMPARABLE, item.reason)
        for item in found.absent
        if item.blocks
    ]


SCORES: Final = {
    ScoreWord.BETTER: Outcome.MET,
    ScoreWord.SAME: Outcome.MET,
    ScoreWord.WORSE: Outcome.MISSED,
    ScoreWord.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}


def exit_code(cases: Sequence[Case], strictness: Strictness) -> int:
    """Return the command's exit code: the gravest of all cases."""
    outcomes = {case.outcome for case in cases}
    if Outcome.MISSED in outcomes:
        return REGRESSION
    if Outcome.NOT_COMPARABLE in outcomes:
        return NOT_COMPARABLE
    unsettled = {Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED} & outcomes
    return INCONCLUSIVE if unsettled and strictness is Strictness.STRICT else FINE


def render_cases(cases: Sequence[Case]) -> str:
    """Return the terminal's text."""
    if not cases:
        return "No budget is declared in conf/budget/: there is nothing to judge."
    width = max(len(case.outcome) for case in cases)
    lines = [
        f"{case.outcome.ljust(width)}  {case.variant}: {case.name} ({case.why})" for case in cases
    ]
    met = sum(case.outcome is Outcome.MET for case in cases)
    return "\n".join([*lines, f"{met} of {len(cases)} met."])
