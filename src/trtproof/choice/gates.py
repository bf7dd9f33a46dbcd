"""Gates first: the order of a sweep's jobs, and which of them need not run.

The lightest loads run first, so that every recipe's accuracy is known before anything is timed
twice, and latency is known from small loads up. A job is skipped where each of its variants either
missed a limit of accuracy in an earlier job (the same recipe, model, data and backend), or is
timed only under loads at least as heavy as one that missed a limit of latency (a larger batch or
one more stream never makes a request faster) and under such that an earlier job has timed. Only
`missed` skips; what is inconclusive runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

from trtproof.choice.cells import Cell, list_cells
from trtproof.choice.figures import Kind, make_vocabulary
from trtproof.choice.question import Question, parse_question
from trtproof.choice.results import LOADER, GitResults, JobResult, Results
from trtproof.choice.settings import JobSettings, Point, read_settings
from trtproof.choice.verdicts import CellVerdict, judge_constraint
from trtproof.compose import compose
from trtproof.config import load_section
from trtproof.errors import ConfigError
from trtproof.registry import extend_path
from trtproof.sweep.record import Exhaustive, Job, JobRecord, Status, Strategy

ACCURACY: Final = (Kind.DROP, Kind.SCORE)


def make_strategy(objective: str | None, constraints: Sequence[str]) -> Strategy:
    """Return how a sweep with these settings of its command line is run, in a project's folder.

    Raises:
        ConfigError: a word of them is wrong, or there are constraints and no objective.
    """
    if objective is None:
        if constraints:
            raise ConfigError(
                key="objective",
                problem="missing, though there are constraints",
                repair="add what is to be best, as in objective=throughput_ips",
            )
        return Exhaustive()
    return Gates(read_question(objective, constraints))


def read_question(objective: str, constraints: Sequence[str]) -> Question:
    """Return what is looked for, in the words of the project's own scorers.

    Raises:
        ConfigError: a word is wrong.
    """
    extend_path(load_section(list[str], "pythonpath"))
    scorers = load_section(list[str], "evaluate", "scorers")
    return parse_question(objective, constraints, make_vocabulary(scorers))


@dataclass(frozen=True)
class Verdicts:
    """Missed limits of finished jobs, by what they hold for, and the loads that were timed."""

    accuracy: dict[str, str] = field(default_factory=dict)
    latency: dict[str, list[tuple[Point, str]]] = field(default_factory=dict)
    timed: dict[str, set[Point]] = field(default_factory=dict)


class Gates:
    """A sweep's strategy under constraints."""

    def __init__(
        self,
        question: Question,
        *,
        results: Results | None = None,
        compose_job: Callable[[Sequence[str]], str] = compose,
    ) -> None:
        """Take what is looked for, where results come from and who composes a job's settings."""
        self._question = question
        self._results = results or GitResults()
        self._compose = compose_job
        self._settings: dict[tuple[str, ...], JobSettings] = {}

    def order(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the jobs by their heaviest load, the lightest first; else as they are."""
        return sorted(jobs, key=lambda job: (self._load(job).size, job.number))

    def should_skip(self, job: Job, finished: Sequence[JobRecord]) -> str | None:
        """Return why no variant of a job needs to run, or None where one does."""
        missed = self._collect(finished)
        settings = self._load(job)
        names = [name for name in settings.variants if name != settings.reference]
        reasons = [find_reason(settings, name, missed) for name in names]
        if not reasons or not all(reasons):
            return None
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))

    def _load(self, job: Job) -> JobSettings:
        if job.overrides not in self._settings:
            data = yaml.load(self._compose(job.overrides), LOADER)  # noqa: S506 - a safe one
            self._settings[job.overrides] = read_settings(data, f"job {job.number}")
        return self._settings[job.overrides]

    def _collect(self, finished: Sequence[JobRecord]) -> Verdicts:
        found = Verdicts()
        for job in finished:
            if job.status is Status.DONE:
                self._collect_job(self._results.read(job), found)
        return found

    def _collect_job(self, result: JobResult, found: Verdicts) -> None:
        for cell in list_cells(result):
            if cell.is_reference:
                continue
            key = result.settings.timing_key(cell.variant)
            found.timed.setdefault(key, set()).add((cell.batch, cell.streams))
            for constraint in self._question.constraints:
                verdict = judge_constraint(cell, constraint)
                if verdict.word == "missed":
                    _note(cell, verdict, found)


def _note(cell: Cell, verdict: CellVerdict, found: Verdicts) -> None:
    settings, kind = cell.result.settings, verdict.constraint.figure.kind
    if kind in ACCURACY:
        recipe = settings.variants[cell.variant]["recipe"]
        why = f"recipe {recipe} missed {verdict.constraint} in job {cell.result.job.number}"
        found.accuracy.setdefault(settings.accuracy_key(cell.variant), why)
    elif kind is Kind.LATENCY:
        why = f"{cell.variant} missed {verdict.constraint} at batch {cell.batch} with "
        why += f"{cell.streams} stream{'s' if cell.streams > 1 else ''} in job "
        why += f"{cell.result.job.number}, and a heavier load is no faster"
        key = settings.timing_key(cell.variant)
        found.latency.setdefault(key, []).append(((cell.batch, cell.streams), why))


def find_reason(settings: JobSettings, variant: str, missed: Verdicts) -> str | None:
    """Return why a variant of a job need not be timed, or None where it must."""
    if inaccurate := missed.accuracy.get(settings.accuracy_key(variant)):
        return inaccurate
    key = settings.timing_key(variant)
    slow, timed = missed.latency.get(key, []), missed.timed.get(key, set())
    reasons = []
    for batch, streams in settings.points:
        heavier = [why for (b, s), why in slow if b <= batch and s <= streams]
        if not heavier and (batch, streams) not in timed:
            return None
        reasons += heavier[:1]
    return reasons[0] if reasons else None
