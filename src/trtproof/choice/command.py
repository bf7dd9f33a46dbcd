"""`trtproof pareto`: from the record of a sweep to its answer; and the sweep's last sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trtproof.choice.answer import Answer, GroupAnswer
from trtproof.choice.choose import Choice, choose
from trtproof.choice.finals import SUFFIX, FinalPlan, final_name, plan_final
from trtproof.choice.gates import read_question
from trtproof.choice.output import write_outputs
from trtproof.choice.question import Question
from trtproof.choice.results import GitResults, Results
from trtproof.choice.winner import OpenSession, find_winner, open_session
from trtproof.errors import ConfigError, InputError, MissingFileError
from trtproof.sweep.record import (
    FOLDER,
    JobRecord,
    Status,
    SweepRecord,
    list_names,
    read_record,
)


@dataclass(frozen=True)
class Finals:
    """The last sessions of a sweep, one per group that has finalists."""

    name: str
    plans: Sequence[FinalPlan]

    @property
    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Return the overrides of each."""
        return tuple(plan.overrides for plan in self.plans)


def run_pareto(
    name: str | None, objective: str | None = None, constraints: Sequence[str] | None = None
) -> Answer:
    """Answer a sweep's question, or another one that its figures can answer, and write the files.

    Raises:
        MissingFileError: there is no such sweep.
        ConfigError: there is no objective, or a word is wrong.
        InputError: a job's result is not there.
    """
    record = read_record(name or latest_sweep())
    question = ask(record, objective, constraints)
    answer = make_answer(record, question, GitResults(), open_session)
    write_outputs(answer)
    return answer


def latest_sweep() -> str:
    """Return the name of the sweep that was run last, last sessions aside.

    Raises:
        MissingFileError: none was.
    """
    names = [name for name in list_names() if SUFFIX not in name]
    if not names:
        raise MissingFileError(FOLDER, repair="run one: `python -m trtproof.sweep -m ...`")
    return names[-1]


def ask(
    record: SweepRecord, objective: str | None = None, constraints: Sequence[str] | None = None
) -> Question:
    """Return the question: a given one, else the sweep's own.

    Raises:
        ConfigError: there is no objective, or a word is wrong.
    """
    chosen = objective or record.objective
    if chosen is None:
        raise ConfigError(
            key="objective",
            problem=f"sweep {record.name} has none",
            repair=f"say what is to be best: `trtproof pareto {record.name} --objective "
            "throughput_ips --constraint 'p99_ms<=4'`",
        )
    return read_question(chosen, record.constraints if constraints is None else constraints)


def make_answer(
    record: SweepRecord, question: Question, results: Results, open_recorded: OpenSession
) -> Answer:
    """Return what a sweep says, with its last sessions as far as they have run.

    Raises:
        InputError: no job is done, or a result is not there.
    """
    choice = choose(record, question, results)
    if not choice.groups:
        raise InputError(
            f"no job of sweep {record.name} is done; run "
            f"`python -m trtproof.sweep sweep.resume={record.name}`"
        )
    finals = plan_finals(choice)
    plans = {plan.group: plan for plan in finals.plans}
    answers = []
    for group in choice.groups:
        plan = plans.get(group.name)
        job = _final_job(finals.name, plan) if plan else None
        open_answer = GroupAnswer(group, plan, why_open=_why_open(job, record.name))
        if plan is not None and job is not None and job.status is Status.DONE:
            winner = find_winner(plan, question, results.read(job), open_recorded)
            open_answer = replace(open_answer, winner=winner)
        answers.append(open_answer)
    return Answer(choice, answers)


def plan_finals(choice: Choice) -> Finals:
    """Return the last sessions that a choice needs."""
    plans = [plan for group in choice.groups if (plan := plan_final(group)) is not None]
    return Finals(final_name(choice.sweep, plans), plans)


def _final_job(name: str, plan: FinalPlan) -> JobRecord | None:
    """Return the job of a last session, None where none was begun."""
    try:
        record = read_record(name)
    except MissingFileError:
        return None
    return next((job for job in record.jobs if job.overrides == plan.overrides), None)


def _why_open(job: JobRecord | None, sweep: str) -> str:
    """Return why there is no result of a last session, and what makes one."""
    if job is not None and job.status is Status.FAILED:
        what = f"the last session failed ({job.reason})"
    else:
        what = "the last session has not run"
    return f"{what}; `python -m trtproof.sweep sweep.resume={sweep}` runs it"
