"""`python -m trtproof.sweep` with a question: gates first, then the best side by side."""

from __future__ import annotations

from trtproof.choice.answer import recommend
from trtproof.choice.choose import choose
from trtproof.choice.command import ask, make_answer, plan_finals
from trtproof.choice.gates import make_strategy
from trtproof.choice.output import write_outputs
from trtproof.choice.results import GitResults
from trtproof.choice.winner import open_session
from trtproof.progress import note
from trtproof.sweep.app import Request
from trtproof.sweep.command import INTERRUPTED, run_sweep
from trtproof.sweep.opening import open_record
from trtproof.sweep.record import Exhaustive, SweepRecord, read_record
from trtproof.sweep.snapshot import take_snapshot


def run_question(request: Request) -> int:
    """Run a sweep and, where it has an objective, its last sessions; return the exit code.

    Raises:
        PipelineError: nothing could be run; the message has the repair.
    """
    begun = open_record(request, take_snapshot())
    objective, constraints = begun.objective, begun.constraints
    code = run_sweep(request, make_strategy(objective, constraints))
    if objective is None or code == INTERRUPTED:
        return code
    return max(code, finish(read_record(begun.name), objective, constraints))


def finish(record: SweepRecord, objective: str, constraints: tuple[str, ...]) -> int:
    """Measure the best of a sweep side by side, write the answer, and return the exit code.

    Raises:
        PipelineError: a result is not there, or the last session cannot be run.
    """
    question, results, code = ask(record, objective, constraints), GitResults(), 0
    choice = choose(record, question, results)
    if not choice.groups:
        note("no job is done, so that nothing can be chosen")
        return code
    finals = plan_finals(choice)
    if finals.plans:
        cells = "; ".join(cell.name for plan in finals.plans for cell in plan.finalists)
        note(f"the best, side by side in one session: {cells}")
        last = Request(finals.cells, objective, constraints, name=finals.name)
        code = run_sweep(last, Exhaustive())
    answer = make_answer(record, question, results, open_session)
    place = write_outputs(answer)
    for group in answer.groups:
        for line in recommend(group):
            note(line)
    note(f"`trtproof pareto {record.name}` shows every configuration; files in {place}/")
    return code
